"""Many loggers at once, in virtual time: cables are pulled, loggers fail, and the others go on.

What the archive must hold is read from the cards themselves (stagelog.card), not over the cable.
"""

import io
import json
import random
import threading
import time

import numpy as np
import pytest

from slog import messages as m
from stagelog.archive import find_sessions
from stagelog.card import read_card
from stagelog.errors import DeviceError, InputError, OutputError, PortBusy
from stagelog.link import RequestError
from stagelog.park import works
from stagelog.park.runs import Run, worst_of
from stagelog.park.table import JsonEvents, Lines, plain, rich_table
from stagelog.park.unit import BAD, GOOD, WARN, Outcome, Unit
from stagelog.rig.play import saturated_tape
from stagelog.rig.virtual_park import VirtualPark, recorded

CARS = ("C01", "C01", "C01", "C02", "C02", "C02", "C03", "C03")


@pytest.fixture(scope="module")
def make_park(tmp_path_factory):
    """Return a function of VirtualPark's options that makes a park of `n` recorded loggers."""
    tape = saturated_tape(500_000, 400_000)
    made = []

    def make(n=3, cuts=(), n_away=2, is_hub=False, **args):
        folder = tmp_path_factory.mktemp("park")
        targets = [recorded(folder / str(k), CARS[k], k + 1, tape, **args) for k in range(n)]
        made.extend(targets)
        return VirtualPark(targets, cuts, n_away, is_hub)

    yield make
    for target in made:
        target.close()


def units_of(n):
    return [Unit(f"{k + 1:016x}", CARS[k], f"logger {k + 1}") for k in range(n)]


def download(park, archive, n, adopt=None, stage="SS1", around=lambda unit, work: work, **options):
    """Download from `n` expected loggers of a park; return the units. `around` returns what is
    called instead of the work on a unit.
    """
    run = Run(
        units_of(n),
        adopt or (lambda *_: pytest.fail("nobody else answers")),
        lambda unit: around(unit, works.Download(unit, archive, "E", stage)),
        park,
        **options,
    )
    return run.run()


def assert_archive_equals_cards(park, archive, numbers):
    """Every session on the cards is in the archive once, its blocks byte by byte."""
    held = find_sessions(archive)
    on_cards = 0
    for n in numbers:
        log = read_card(park.targets[n].card_path)
        for session in log.sessions:
            on_cards += 1
            key = (session.device_id, session.boot, session.nonce)
            found = [entry for entry in held if entry.key[:3] == key]
            assert len(found) == 1, session.identity.name
            first, last = int(session.rows[0]), int(session.rows[-1])
            assert found[0].path.read_bytes() == session.medium.view[first : last + 1].tobytes()
            assert found[0].folder.parent.name == f"car={CARS[n]}"
    assert len(held) == on_cards > 0
    assert not list(archive.rglob("*.part*"))


def test_eight_loggers_are_downloaded_at_once(make_park, tmp_path):
    park = make_park(8)
    units = download(park, tmp_path, 8)
    assert [unit.outcome.verdict for unit in units] == [GOOD] * 8
    assert worst_of(units) == 0
    assert_archive_equals_cards(park, tmp_path, range(8))
    again = download(park, tmp_path, 8)
    assert [unit.outcome.facts["n_bytes"] for unit in again] == [0] * 8
    assert_archive_equals_cards(park, tmp_path, range(8))


@pytest.mark.parametrize("seed", range(3))
def test_cables_that_are_pulled_again_and_again_cost_time_only(make_park, tmp_path, seed):
    """The wire form of a block is some 4,120 bytes: a cable that holds for 5,000 brings one."""
    rng = random.Random(seed)
    cuts = [iter([rng.randrange(5_000, 14_000) for _ in range(12)]) for _ in range(4)]
    park = make_park(4, cuts)
    units = download(park, tmp_path, 4)
    assert [unit.outcome.verdict for unit in units] == [GOOD] * 4, [u.outcome for u in units]
    assert park.n_pulled == sum(unit.n_lost for unit in units) >= 8
    assert_archive_equals_cards(park, tmp_path, range(4))
    n_blocks = sum(entry.values["n_blocks"] for entry in find_sessions(tmp_path))
    assert sum(unit.outcome.facts["n_bytes"] for unit in units) == n_blocks * 4096, "none twice"


def test_a_hub_that_gives_each_logger_the_name_of_another_mixes_nothing(make_park, tmp_path):
    """Two cars' loggers; the hub starts again whenever the first one's cable is cut, in blocks of
    all of them: what comes on a port after that is another logger's. No download begins before
    all are connected, and the second logger's not before the first start of the hub.
    """
    cuts = [iter([9_000, 9_000, 9_000]), iter(()), iter(()), iter(())]
    park = make_park(4, cuts, is_hub=True)
    before = park.names()
    connected = threading.Barrier(4)

    def together(unit, work):
        called = []

        def call(link):
            if not called:
                called.append(link)
                connected.wait(60)
                end_s = time.monotonic() + 60
                while unit.place == "logger 2" and not park.n_pulled:
                    assert time.monotonic() < end_s, "the hub does not start again"
                    time.sleep(0.001)
            return work(link)

        return call

    units = download(park, tmp_path, 4, around=together)
    assert [unit.outcome.verdict for unit in units] == [GOOD] * 4, [u.outcome for u in units]
    assert units[1].n_lost >= 1
    assert park.n_pulled == 3 and sorted(park.names()) == sorted(before)
    assert max(unit.n_lost for unit in units[1:]) >= 1
    assert_archive_equals_cards(park, tmp_path, range(4))


def test_a_logger_that_dies_in_the_middle_stops_no_other(make_park, tmp_path):
    park = make_park(3, [iter(()), iter([9_000]), iter(())], n_away=10**9)
    units = download(park, tmp_path, 3, wait_s=1.0)
    assert [unit.outcome.verdict for unit in units] == [GOOD, BAD, GOOD]
    assert "what was received is kept" in units[1].outcome.text
    assert_archive_equals(tmp_path, 2)
    park._away[1] = 0  # it is repaired and plugged in
    units = download(park, tmp_path, 3)
    assert worst_of(units) == 0
    assert_archive_equals_cards(park, tmp_path, range(3))


def assert_archive_equals(archive, n):
    assert len(find_sessions(archive)) == n


def test_a_logger_that_brings_nothing_ends_after_five_losses(make_park, tmp_path):
    """HELLO and its answer are some 70 bytes: every cable is pulled during the next answer."""
    park = make_park(2, [iter([100] * 1000), iter(())], n_away=1)
    units = download(park, tmp_path, 2)
    assert [unit.outcome.verdict for unit in units] == [BAD, GOOD]
    assert "lost 5 times" in units[0].outcome.text


def test_missing_busy_and_unknown_loggers_are_named(make_park, tmp_path):
    park = make_park(3)
    park.out.add(0)
    park.held.add(1)

    def adopt(device_id, hello):
        unit = Unit(device_id, "?")
        unit.end(Outcome(WARN, "not in the fleet file"))
        return unit

    units = download(park, tmp_path, 2, adopt, wait_s=1.5)
    assert [unit.outcome.verdict for unit in units] == [BAD, BAD, WARN]
    assert "not found on any port" in units[0].outcome.text
    assert "port1: it is in use by another program" in units[1].outcome.text
    assert units[2].device_id == "0000000000000003" and not find_sessions(tmp_path)


def test_a_full_disk_is_the_end_of_one_only(make_park, tmp_path, monkeypatch):
    park = make_park(3)
    fetch = works.fetch_if_missing

    def full(link, root, session, folder, *rest):
        if session.device_id == bytes.fromhex("0000000000000002"):
            raise OutputError("x.part: No space left on device", "free some space")
        return fetch(link, root, session, folder, *rest)

    monkeypatch.setattr(works, "fetch_if_missing", full)
    units = download(park, tmp_path, 3)
    assert [unit.outcome.verdict for unit in units] == [GOOD, BAD, GOOD]
    assert "No space left" in units[1].outcome.text
    monkeypatch.setattr(works, "fetch_if_missing", fetch)
    download(park, tmp_path, 3)
    assert_archive_equals_cards(park, tmp_path, range(3))


def test_a_defect_of_our_own_stops_one_only_and_is_not_hidden(make_park, tmp_path, monkeypatch):
    park = make_park(2)
    fetch = works.fetch_if_missing

    def broken(link, root, session, *rest):
        if session.device_id == bytes.fromhex("0000000000000001"):
            raise ZeroDivisionError("a slip")
        return fetch(link, root, session, *rest)

    monkeypatch.setattr(works, "fetch_if_missing", broken)
    with pytest.raises(ZeroDivisionError):
        download(park, tmp_path, 2)
    assert_archive_equals(tmp_path, 1)


def test_ctrl_c_leaves_everything_resumable(make_park, tmp_path):
    park = make_park(3)
    seen = []

    def show(units):
        seen.append(sum(unit.done for unit in units))
        if seen[-1] > 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(park, tmp_path, 3, show=show)
    assert threading.active_count() < 5, "no thread works on"
    units = download(park, tmp_path, 3)
    assert worst_of(units) == 0
    assert_archive_equals_cards(park, tmp_path, range(3))


def test_two_people_who_download_into_one_archive_lose_nothing(make_park, tmp_path):
    """Two laptops' runs at once, each with its own cable to the same loggers' cards."""
    parks = [make_park(3), make_park(3)]
    found = {}

    def person(n):
        found[n] = download(parks[n], tmp_path, 3)

    threads = [threading.Thread(target=person, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad = [u.outcome.text for units in found.values() for u in units if u.outcome.verdict == BAD]
    assert all("another stagelog" in text for text in bad), "\n".join(bad)
    assert_archive_equals_cards(parks[0], tmp_path, range(3))


def test_the_wrong_cars_logger_is_refused(make_park, tmp_path):
    park = make_park(1)
    unit = Unit("0000000000000001", "C03", "front")
    work = works.Download(unit, tmp_path, "E", "SS1")
    Run([unit], pytest.fail, lambda _: work, park).run()
    assert unit.outcome.verdict == BAD
    assert unit.outcome.text.startswith("its settings are those of car C01, not of C03")
    assert not list(tmp_path.iterdir())


def test_erase_takes_what_the_archive_holds_and_nothing_else(make_park, tmp_path):
    park = make_park(2)
    first = Run(units_of(1), pytest.fail, lambda u: works.Download(u, tmp_path, "E", "S"),
                VirtualPark(park.targets[:1]))  # fmt: skip
    assert worst_of(first.run()) == 0
    erase = Run(units_of(2), pytest.fail, lambda u: works.Erase(u, tmp_path), park)
    units = erase.run()
    assert [unit.outcome.verdict for unit in units] == [GOOD, BAD]
    assert "the archive does not hold it" in units[1].outcome.text
    assert [len(target.link.list_sessions()) for target in park.targets] == [0, 1]


def test_erase_leaves_a_session_whose_file_was_changed(make_park, tmp_path):
    park = make_park(1)
    download(park, tmp_path, 1)
    path = find_sessions(tmp_path)[0].path
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    (unit,) = Run(units_of(1), pytest.fail, lambda u: works.Erase(u, tmp_path), park).run()
    assert unit.outcome.verdict == BAD and "SHA-256" in unit.outcome.text
    assert len(park.targets[0].link.list_sessions()) == 1


def test_lines_and_events_name_every_step_once(make_park, tmp_path):
    park = make_park(2)
    text, events = io.StringIO(), io.StringIO()
    with Lines(text) as lines, JsonEvents(events) as objects:
        download(park, tmp_path, 2, show=lambda units: (lines(units), objects(units)))
    rows = text.getvalue().splitlines()
    assert (
        len([row for row in rows if row.startswith("C01 logger 2: good: 1 session, 1 new")]) == 1
    )
    found = [json.loads(line) for line in events.getvalue().splitlines()]
    assert {event["schema"] for event in found} == {"stagelog.park.event/1"}
    assert [e["verdict"] for e in found if e["verdict"]] == ["good", "good"]


def test_no_name_commands_the_terminal():
    unit = Unit("00" * 8, "\x1b[2JC\u202e1", "a\nb")
    unit.end(Outcome(BAD, "\x1b]0;title\x07"))
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=120, force_terminal=False).print(rich_table([unit]))
    assert not {"\x1b", "\x07", "\u202e"} & set(out.getvalue())
    assert plain("C01 ok") == "C01 ok"


def test_rate_and_time_left_by_hand():
    """2 MB of 10 in 2 s are 1 MB/s: 8 s are left."""
    now = [0.0]
    unit = Unit("00" * 8, "C01", clock=lambda: now[0])
    unit.begin("download", 10_000_000, "B")
    for now[0], done in ((0.0, 0), (1.0, 1_000_000), (2.0, 2_000_000)):
        unit.advance(done)
    assert np.isclose(unit.rate, 1e6) and np.isclose(unit.left_s, 8.0)


def test_a_logger_that_refuses_is_not_waited_for(make_park, tmp_path, monkeypatch):
    park = make_park(2)
    fetch = works.fetch_if_missing

    def refuse(link, root, session, *rest):
        if session.device_id == bytes.fromhex("0000000000000001"):
            raise RequestError("READ", m.NO_CARD)
        return fetch(link, root, session, *rest)

    monkeypatch.setattr(works, "fetch_if_missing", refuse)
    units = download(park, tmp_path, 2)
    assert [unit.outcome.verdict for unit in units] == [BAD, GOOD]
    assert units[0].n_lost == 0 and "no usable card" in units[0].outcome.text


def test_a_session_with_damaged_places_is_not_erased(make_park, tmp_path):
    """The newer session is whole, the older one has a place that reads as zeros: both stay."""
    park = make_park(1)
    target = park.targets[0]
    (session,) = target.link.list_sessions()
    with open(target.card_path, "r+b") as file:
        file.seek((session.position + 5) * 4096)
        file.write(bytes(4096))
    (unit,) = download(park, tmp_path, 1)
    assert unit.outcome.verdict == BAD and "INCOMPLETE" in unit.outcome.text
    (unit,) = Run(units_of(1), pytest.fail, lambda u: works.Erase(u, tmp_path), park).run()
    assert unit.outcome.verdict == BAD and "could not be read" in unit.outcome.text
    assert len(target.link.list_sessions()) == 1


@pytest.mark.parametrize("cuts", [[], [12_000, 12_000]])
def test_a_logger_that_was_stopped_for_the_download_records_again(make_park, tmp_path, cuts):
    park = make_park(1, [iter(cuts)])
    target = park.targets[0]
    target.link.control(m.CONTROL_START, target.link.hello().boot)
    target.play(saturated_tape(500_000, 300_000))
    (unit,) = Run(
        units_of(1), pytest.fail, lambda u: works.Download(u, tmp_path, "E", "S", True), park
    ).run()
    assert unit.outcome.verdict == GOOD and unit.outcome.facts["n_sessions"] == 2
    assert unit.n_lost == len(cuts)
    assert target.app.state == m.STATE_RECORDING


def test_a_logger_whose_profile_cannot_be_read_stops_no_other(make_park, tmp_path):
    park = make_park(2)

    def make(unit):
        if unit.device_id.endswith("1"):
            raise InputError("d9.toml: no such file")
        return works.Download(unit, tmp_path, "E", "S")

    units = Run(units_of(2), pytest.fail, make, park).run()
    assert [unit.outcome.verdict for unit in units] == [BAD, GOOD]
    assert units[0].outcome.text == "d9.toml: no such file"


class NoAnswer:
    """A link on which nobody answers."""

    tries = 3

    def ask(self, *_):
        raise DeviceError("no answer")

    def close(self):
        pass


def test_a_port_that_is_taken_while_it_is_asked_ends_no_run():
    """A board at its prompt gives its id, then another program has its port."""

    class Taken:
        n_opened = 0

        def names(self):
            return ["P"]

        def open(self, port):
            self.n_opened += 1
            if self.n_opened % 2:
                return NoAnswer()
            raise PortBusy(f"{port} is in use")

    (unit,) = units_of(1)
    Run([unit], pytest.fail, pytest.fail, Taken(), wait_s=0.3, identify=lambda _: "7" * 16).run()
    assert unit.outcome.verdict == BAD and "P is in use" in unit.outcome.text


def test_a_cable_may_be_lost_while_the_ports_are_listed(make_park):
    """The thread of a logger forgets its port just when the run goes through all ports."""
    park = make_park(1)
    (unit,) = units_of(1)
    listed, lost = threading.Event(), threading.Event()

    class Names(list):
        def __contains__(self, name):
            if unit.port is not None and not lost.is_set():
                listed.set()
                while unit.port is not None:
                    lost.wait(0.001)
                lost.set()
            return super().__contains__(name)

    class Ports:
        def names(self):
            return Names([*park.names(), "silent"])

        def open(self, port):
            return NoAnswer() if port == "silent" else park.open(port)

    def work(_):
        if not lost.is_set():
            assert listed.wait(10)
            raise DeviceError("the cable is out")
        return Outcome(GOOD, "done")

    Run([unit], pytest.fail, lambda _: work, Ports()).run()
    assert unit.outcome.text == "done" and unit.n_lost == 1
