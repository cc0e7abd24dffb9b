"""main.py: which slot starts, what a failure costs, and that nothing it reads makes it stop."""

import importlib.util
from pathlib import Path

import pytest

from stagelog.flash.build import pack_app

_SPEC = importlib.util.spec_from_file_location(
    "main_world", Path(__file__).with_name("main_world.py")
)
main_world = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(main_world)
World, GOOD, FAILS, HANGS = (
    main_world.World,
    main_world.GOOD,
    main_world.FAILS,
    main_world.HANGS,
)


def app(source):
    return pack_app({"start.py": source.encode(), "boards/__init__.py": b"#"})


def board(a=None, b=None, slot="a", named_memory=False):
    files = {f"/slot.{slot}": b""} if slot else {}
    files.update({f"/{name}.app": app(x) for name, x in (("a", a), ("b", b)) if x is not None})
    return World(files, named_memory)


def test_has_at_most_64_lines():
    assert len(main_world.SOURCE.read_text().splitlines()) <= 64


@pytest.mark.parametrize("slot, started", [("a", 0), ("b", 1), (None, 0)])
def test_starts_the_named_slot(slot, started):
    assert board(GOOD, GOOD, slot).boot() == started


@pytest.mark.parametrize("named_memory", [False, True])
@pytest.mark.parametrize("bad", [FAILS, HANGS])
def test_goes_back_after_three_failures(bad, named_memory):
    world = board(GOOD, bad, "b", named_memory)
    assert [world.boot() for _ in range(5)] == [1, 1, 1, 0, 0]
    assert "slot.a" in world.flash.files and "slot.b" not in world.flash.files
    world.power_cut()
    assert world.boot() == 0


@pytest.mark.parametrize("chip", ["RP2040", "RP2350"])
def test_the_tries_are_counted_in_a_scratch_register_of_the_chip(chip):
    """On an RP2350 the RP2040's address is one of the USB's PLL: nothing else may be written."""
    world = World({"/slot.b": b"", "/a.app": app(GOOD), "/b.app": app(FAILS)}, chip=chip)
    assert [world.boot() for _ in range(4)] == [1, 1, 1, 0]
    assert set(world.memory) == {0, main_world.SCRATCH0[chip]}


def test_a_power_cut_gives_a_slot_its_tries_back():
    world = board(GOOD, FAILS, "b")
    world.boot()
    world.boot()
    world.power_cut()
    assert [world.boot() for _ in range(4)] == [1, 1, 1, 0]


def test_a_failure_resets_the_board():
    world = board(FAILS)
    world.boot()
    assert world.n_resets == 1


def test_gives_up_to_the_repl_when_both_slots_fail():
    world = board(FAILS, FAILS, "a")
    assert [world.boot() for _ in range(7)] == [0, 0, 0, 1, 1, 1, None]
    assert world.n_resets == 6


def test_a_success_forgets_earlier_failures():
    world = board(GOOD, None, "a")
    assert [world.boot() for _ in range(10)] == [0] * 10


@pytest.mark.parametrize("at", [0, 31, 32, 33, 40, 60, -1])
def test_any_damaged_byte_leads_to_the_other_slot(at):
    world = board(GOOD, GOOD, "b")
    content = bytearray(world.flash.files["b.app"])
    content[at] ^= 1
    world.flash.files["b.app"] = bytes(content)
    assert world.boot() == 0
    assert "slot.a" in world.flash.files


@pytest.mark.parametrize("n", [0, 1, 33, 34, 50])
def test_a_slot_cut_short_leads_to_the_other(n):
    world = board(GOOD, GOOD, "b")
    world.flash.files["b.app"] = world.flash.files["b.app"][:n]
    assert world.boot() == 0


@pytest.mark.parametrize("named_memory", [False, True])
def test_what_the_memory_holds_after_power_on_is_no_count(named_memory):
    """By chance 7 of 16 contents say that a slot has failed three times: (3/4)^2 say no."""
    for seed in range(200):
        world = World({"/slot.b": b"", "/b.app": app(FAILS), "/a.app": app(GOOD)}, named_memory)
        world.memory.update(dict.fromkeys(world.memory, World({}, seed=seed).memory[0]))
        assert [world.boot() for _ in range(4)] == [1, 1, 1, 0], seed


def test_the_watchdog_runs_before_anything_of_a_slot_does():
    world = board(GOOD)
    world.boot()
    assert world.watched == [8000]


def test_at_the_prompt_no_watchdog_runs():
    world = board(None, None, None)
    assert world.boot() is None and world.timeout_ms is None


def test_an_empty_board_goes_to_the_repl():
    world = World({})
    assert world.boot() is None and world.n_resets == 0


def test_without_a_name_the_other_slot_is_not_taken_for_good():
    world = board(None, GOOD, None)
    assert world.boot() is None
