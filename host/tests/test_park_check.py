"""Cleared to start: every limit by hand, then the questions to a simulated logger in virtual time.

The bus of the simulated logger carries, by hand: 0x100 every 10 ms, 0x200 every 100 ms (its DBC
says 50), 0x7AA every 20 ms (in no DBC); 0x300, due every 100 ms, never comes.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_replies import reply

from slog import messages as m
from slog.faults import CARD_FULL
from slog.layout import BUS_SILENT
from stagelog.card import read_card
from stagelog.errors import ContractError, DeviceError
from stagelog.listen import LiveLink
from stagelog.model import FRAME
from stagelog.park import findings as of
from stagelog.park.check import Check
from stagelog.park.findings import Finding, Heard
from stagelog.park.provision import Provision
from stagelog.park.signoff import CarCheck, load_checks, sign_off
from stagelog.park.unit import BAD, GOOD, WARN, Outcome, Unit
from stagelog.park.wanted import Wanted, head_of
from stagelog.park.works import Download, WrongCar
from stagelog.replies import Status
from stagelog.rig.play import play_on_bus
from stagelog.rig.target import SimTarget, tape_events

DBC = """VERSION ""
BS_:
BU_: ECU LOGGER
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
BO_ 512 Gear: 8 ECU
 SG_ GearNow : 0|8@1+ (1,0) [0|0] "" ECU
BO_ 768 Oil: 8 ECU
 SG_ OilPres : 0|8@1+ (1,0) [0|0] "kPa" ECU
BO_ 1024 Gnss: 8 ECU
 SG_ Lat : 0|8@1+ (1,0) [0|0] "" ECU
BO_ 1280 Rare: 8 ECU
 SG_ Once : 0|8@1+ (1,0) [0|0] "" ECU
BO_ 1536 Own: 8 LOGGER
 SG_ Self : 0|8@1+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 256 10;
BA_ "GenMsgCycleTime" BO_ 512 50;
BA_ "GenMsgCycleTime" BO_ 768 100;
BA_ "GenMsgCycleTime" BO_ 1024 100;
BA_ "GenMsgCycleTime" BO_ 1280 5000;
BA_ "GenMsgCycleTime" BO_ 1536 100;
"""
CYCLES_ms = {0x100: 10, 0x200: 100, 0x7AA: 20}
NOW_NS = 1_768_658_602_000_000_000


def bus(seconds, cycles=None):
    """Return the tape of the bus above."""
    rows = [
        (t_ms * 1000, can_id)
        for can_id, cycle_ms in (cycles or CYCLES_ms).items()
        for t_ms in range(0, int(seconds * 1000), cycle_ms)
    ]
    rows.sort()
    frames = np.zeros(len(rows), FRAME)
    frames["t_us"] = [t_us for t_us, _ in rows]
    frames["can_id"] = [can_id for _, can_id in rows]
    frames["dlc"] = frames["n_bytes"] = 8
    return play_on_bus(frames, 500_000)[0]


@pytest.fixture
def make_logger(tmp_path):
    """Return a function that makes a running logger of a car, its bus busy for 20 s: (target,
    link).
    """
    made = []

    def make(car="C01", seconds=20, cycles=None, **args):
        folder = tmp_path / f"logger{len(made)}"
        folder.mkdir()
        settings = {"car": car, "buses": [{"bitrate_bps": 500_000}]}
        target = SimTarget(folder, settings=settings, **args)
        made.append(target)
        if seconds:
            world = target.logger.world
            world.add_events(tape_events(bus(seconds, cycles), target.now_us))
            target.run_for(2_000_000)
        stream = target.logger
        stream.close = lambda: None
        return target, LiveLink(stream, "port", lambda: target.now_us / 1e6)

    yield make
    for target in made:
        target.logger.app.board.card.image.close()


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_text(DBC)
    return Wanted("C01", None, b"SLST table", None, {None: path}, not_fitted=("Gnss",))


def unit_of(link, car="C01"):
    unit = Unit("53494d3030303031", car, "front")
    unit.hello = link.hello()
    return unit


def levels(findings):
    return {finding.topic: finding.level for finding in findings}


def status_of(**values):
    good = {"state": m.STATE_RECORDING, "n_buses": 1, "bus_state0": 1, "ring_blocks": 24}
    return reply(Status, m.STATUS_REPLY, **{**good, "blocks_free": 1_000_000, **values})


def test_a_logger_that_records_without_a_fault_is_good():
    (one,) = of.of_recording(status_of())
    assert one.level == GOOD
    stopped = list(of.of_recording(status_of(state=m.STATE_IDLE, fault=CARD_FULL)))
    assert [f.level for f in stopped] == [BAD, BAD]
    assert "the card is full of sessions" in stopped[1].text


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, GOOD),
        ({"bus_state0": BUS_SILENT}, BAD),
        ({"rec0": 1}, WARN),
        ({"tec0": 1}, WARN),
        ({"dropped0": 1}, WARN),
        ({"at_least0": 1}, WARN),
        ({"doubts0": 1}, WARN),
    ],
)
def test_what_a_bus_shows(values, level):
    assert of.worst_level(list(of.of_buses(status_of(**values)))) == level


def test_hours_left_by_hand():
    """2,520 frames/s are 10 blocks/s, 36,000 in an hour. With no frames the flush of 250 ms makes
    4 blocks/s at most: 14,400 in an hour.
    """
    status = status_of(blocks_free=36_000)
    assert of.hours_left(status, 2520, 250) == 1.0
    assert of.hours_left(status, 0, 250) == 2.5


@pytest.mark.parametrize(
    ("blocks_free", "hours", "level"),
    [
        (36_000 * 8 - 36, 8.0, BAD),
        (36_000 * 8, 8.0, WARN),  # exactly enough, less than 12 h
        (36_000 * 12 - 36, 8.0, WARN),
        (36_000 * 12, 8.0, GOOD),
        (36_000 * 10 - 36, None, WARN),
        (36_000 * 10, None, GOOD),
    ],
)
def test_the_card_must_last_for_the_stage(blocks_free, hours, level):
    findings = list(of.of_card(status_of(blocks_free=blocks_free), 2520, 250, hours))
    assert levels(findings)["card"] == level


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, GOOD),
        ({"write_worst_ms": 1200}, GOOD),  # 24 blocks of 100 ms are 2,400 ms; half of them
        ({"write_worst_ms": 1201}, WARN),
        ({"ring_worst": 12}, GOOD),
        ({"ring_worst": 13}, WARN),
    ],
)
def test_a_stall_that_fills_half_of_the_memory_is_amber(values, level):
    status = status_of(blocks_written=240, **values)
    assert levels(of.of_stall(status, 2520, 250))["stall"] == level


def test_a_card_that_wrote_little_is_not_known_to_be_good():
    """At 2,520 frames/s a block of 252 takes 100 ms: 140 of 240 writes are left after 100, 14 s.
    The session before counts, and its longest write, too: 1,300 ms are more than half of 2,400.
    """
    (one,) = of.of_stall(status_of(blocks_written=100, write_worst_ms=4), 2520, 250)
    assert one.level == WARN and one.remedy == "let it record for 14 s, then check again"
    assert one.text.startswith("longest of 100 writes 4 ms, memory lasts 2,400 ms: too few")
    (one,) = of.of_stall(status_of(blocks_written=100), 2520, 250, of.Writes(140, 900))
    assert one.level == GOOD and one.text.startswith("longest of 240 writes 900 ms")
    (one,) = of.of_stall(status_of(blocks_written=100), 2520, 250, of.Writes(140, 1300))
    assert one.level == WARN and one.remedy == "another card before the next stage"


def test_wear_is_named():
    for values, text in (
        ({"slots_skipped": 3}, "3 places skipped"),
        ({"verify_errors": 2}, "2 blocks read back wrong"),
        ({"write_errors": 1}, "1 write failed"),
    ):
        found = [f for f in of.of_card(status_of(**values), 2520, 250, None) if f.topic == "wear"]
        assert found == [Finding(WARN, "wear", text, "another card before the next stage")]


@pytest.mark.parametrize(
    ("off_us", "level"),
    [(None, GOOD), (1_000_000, GOOD), (-1_000_000, GOOD), (1_000_001, BAD), (-1_000_001, BAD)],
)
def test_a_clock_off_by_more_than_a_second_is_red(off_us, level):
    (one,) = of.of_clock(off_us)
    assert one.level == level


def test_what_was_heard():
    good = Heard(3.0, {0: 3000})
    assert levels(of.of_heard(good)) == {"bus 0": GOOD, "messages": GOOD}
    assert good.rate_Hz == 1000
    for change, level in (
        ({"missing": ["Oil"]}, BAD),
        ({"late": ["Oil"]}, WARN),
        ({"unknown": ["7AA"]}, WARN),
        ({"n_skipped": 1}, WARN),
        ({"n_frames": {0: 0}}, BAD),
    ):
        assert of.worst_level(list(of.of_heard(replace(good, **change)))) == level
    for deaf in (Heard(3.0, {0: 0, 1: 0}), Heard(0.0, {})):
        assert levels(of.of_heard(deaf)).get("messages") != GOOD, "nothing came"
    assert levels(of.of_heard(Heard(0.0, {}))) == {"messages": WARN}
    assert of.names([str(n) for n in range(8)]) == "0, 1, 2, 3, 4, 5 and 2 more"


def test_a_check_hears_what_is_missing_late_and_unknown(make_logger, wanted, tmp_path):
    _, link = make_logger()
    check = Check(unit_of(link), wanted, tmp_path / "a")
    before = link.clock()
    done = check(link)
    assert link.clock() - before < 10, "within ten seconds, of the logger's time"
    heard = done.facts["heard"]
    assert heard["missing"] == ["Oil"], "not Gnss, which is not fitted, nor Rare, nor our own"
    assert heard["late"] == ["Gear"]
    assert heard["unknown"] == ["7AA"]
    assert 480 < heard["n_frames"][0] < 510  # 3 s of 100 + 10 + 50 frames a second = 480
    assert done.verdict == BAD and "missing: Oil" in done.text
    topics = {f.topic for f in check.findings if f.level == BAD}
    assert topics == {"messages", "signal table"}  # it has none


def test_a_message_is_missing_only_if_what_was_heard_is_long_enough_for_it(
    make_logger, wanted, tmp_path
):
    """Oil would come once a second: two of it are due in 3 s of the bus; every 2 s: one, which may
    just have been missed. On a laptop so slow that only 0.3 s of the bus have come in 3 s of its
    own, none is.
    """
    for cycle_ms, speed, missing in ((1000, 1, ["Oil"]), (2000, 1, []), (1000, 10, [])):
        (tmp_path / "car.dbc").write_text(DBC.replace("768 100", f"768 {cycle_ms}"))
        target, link = make_logger()
        link.clock = lambda target=target, speed=speed: speed * target.now_us / 1e6
        heard = Check(unit_of(link), wanted, tmp_path / "a")(link).facts["heard"]
        assert heard["missing"] == missing and heard["listened_s"] >= 3.0


def test_a_check_of_a_good_car_is_green(make_logger, wanted, tmp_path, monkeypatch):
    (tmp_path / "car.dbc").write_text(
        DBC.replace("512 50", "512 100").replace("BO_ 768 Oil", "BO_ 1962 Oil").replace(
            'BO_ 768 100', 'BO_ 1962 20')
    )  # fmt: skip
    monkeypatch.setattr(of, "ENOUGH_WRITES", 5)  # a minute of virtual time is none of the clock
    _, link = make_logger()
    Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)(link)
    Download(unit_of(link), tmp_path / "a", "E", "S", stop=False)(link)
    done = Check(unit_of(link), replace(wanted, hours=0.1), tmp_path / "a")(link)
    assert (done.verdict, done.text) == (GOOD, "cleared"), done.facts["findings"]
    assert done.facts["signals_sha256_head"] == head_of(b"SLST table")


def test_a_check_compares_the_clock_with_that_of_the_log(make_logger, tmp_path):
    """Another laptop, 90 s ahead, has set the clock at the begin of the session."""
    target, link = make_logger(seconds=0)
    link.set_time(NOW_NS // 1000 + 90_000_000)
    target.play(bus(2))
    start_us = target.now_us
    clock = lambda: NOW_NS + (target.now_us - start_us) * 1000  # noqa: E731
    check = Check(unit_of(link), None, tmp_path, 0.0, clock)
    check(link)
    (found,) = [f for f in check.findings if f.topic == "clock"]
    assert found.level == BAD and "+92.0 s apart" in found.text  # 90 and 2 of bus


def test_a_check_names_sessions_that_the_archive_lacks(make_logger, tmp_path):
    _, link = make_logger()
    link.control(m.CONTROL_STOP, link.hello().boot)
    link.control(m.CONTROL_START, link.hello().boot)
    check = Check(unit_of(link), None, tmp_path / "a", 0.0)
    assert check(link).verdict == WARN
    assert "1 session, " in next(f.text for f in check.findings if f.topic == "sessions")


def test_wrong_car_settings_table_and_firmware_are_named(make_logger, wanted, tmp_path):
    _, link = make_logger(car="C02")
    other = replace(wanted, settings=b'{"car": "C01", "flush_ms": 100}', firmware="9.9.9")
    check = Check(unit_of(link), other, tmp_path / "a", 0.0)
    check(link)
    found = {f.topic: f for f in check.findings if f.level == BAD}
    assert {"car", "settings", "signal table", "firmware"} <= found.keys()
    assert found["car"].text == "it has C02, wanted is C01"
    assert found["firmware"].text == "it has 0.1.0, wanted is 9.9.9"


def test_the_program_that_runs_is_compared_by_its_sha256(make_logger, wanted, tmp_path):
    """Of the fleet file's 64 digits; a logger that does not report it is amber, not red."""
    target, link = make_logger()
    digest = bytes(range(32))
    target.app.board.nv.items[m.CONFIG_FIRMWARE] = digest

    def found_with(sha256):
        asked = replace(wanted, firmware_sha256=sha256)
        check = Check(unit_of(link), asked, tmp_path / "a", 0.0)
        assert check(link).facts["firmware_sha256"] == link.get_config(m.CONFIG_FIRMWARE).hex()
        done = Provision(unit_of(link), asked, tmp_path / "a", lambda s: None)(link)
        return [f for f in check.findings if f.topic == "firmware"], done

    (same,), done = found_with(digest.hex())
    assert (same.level, done.verdict) == (GOOD, GOOD)
    (other,), done = found_with("ff" * 32)
    assert (other.level, done.verdict) == (BAD, BAD)
    assert other.text == "it has 0001020304050607, wanted is ffffffffffffffff"
    assert found_with(None)[0] == []
    del target.app.board.nv.items[m.CONFIG_FIRMWARE]
    (old,), done = found_with(digest.hex())
    assert (old.level, done.verdict) == (WARN, WARN)
    assert old.text == "its SHA-256 is not known, wanted is 0001020304050607"


def test_provisioning_writes_what_differs_and_reads_it_back(make_logger, wanted, tmp_path):
    target, link = make_logger(car="")
    wanted = replace(wanted, settings=b'{"car": "C01", "flush_ms": 100}')
    done = Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)(link)
    assert done.verdict == GOOD and done.facts["written"] == ["settings", "signal table"]
    assert target.app.board.nv.items[m.CONFIG_SETTINGS] == wanted.settings
    assert target.app.board.nv.items[m.CONFIG_SIGNALS] == wanted.signals
    assert target.app.state == m.STATE_RECORDING
    again = Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)(link)
    assert again.facts["written"] == [] and "nothing to write" in again.text


def test_a_cable_lost_while_the_table_is_written_costs_no_restart(
    make_logger, wanted, tmp_path, monkeypatch
):
    """The logger has taken the table, its answer is lost: it must be restarted none the less."""
    _, link = make_logger()
    done = []
    replace_config, restart = link.replace_config, link.restart

    def lose(item, data):
        replace_config(item, data)
        if item == m.CONFIG_SIGNALS and not done:
            done.append("lost")
            raise DeviceError("port is gone")

    monkeypatch.setattr(link, "replace_config", lose)
    monkeypatch.setattr(link, "restart", lambda: done.append("restart") or restart())
    work = Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)
    with pytest.raises(DeviceError):
        work(link)
    assert work(link).facts["written"] == ["signal table"] and done == ["lost", "restart"]


def test_provisioning_keeps_what_the_fleet_does_not_name(make_logger, wanted, tmp_path):
    """A logger that lay in the box without a car, with a bit rate of its own."""
    target, link = make_logger(car="", seconds=0)
    slow = b'{"car": "", "buses": [{"bitrate_bps": 250000}]}'
    link.replace_config(m.CONFIG_SETTINGS, slow)
    Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)(link)
    after = json.loads(target.app.board.nv.items[m.CONFIG_SETTINGS])
    assert after == {"car": "C01", "buses": [{"bitrate_bps": 250000}]}


def test_provisioning_refuses_while_sessions_of_another_car_are_open(
    make_logger, wanted, tmp_path
):
    target, link = make_logger(car="C02")
    work = Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)
    before = dict(target.app.board.nv.items)
    with pytest.raises(WrongCar, match="it was in car C02, and its card holds 1 session"):
        work(link)
    assert target.app.board.nv.items == before
    Download(unit_of(link, "C02"), tmp_path / "a", "E", "S", stop=True)(link)
    link.control(m.CONTROL_STOP, link.hello().boot)
    target.run_for(500_000)
    Download(unit_of(link, "C02"), tmp_path / "a", "E", "S")(link)
    assert work(link).verdict == GOOD


def test_the_card_of_another_logger_is_refused_and_named(make_logger, wanted, tmp_path):
    other, link = make_logger(car="C02", device_id="0123456789abcdef", seed=5)
    link.control(m.CONTROL_STOP, link.hello().boot)
    target, link = make_logger(car="C01", seconds=0)
    target.card_swap(other.card_path)
    target.run_for(3_000_000)
    assert read_card(other.card_path).sessions
    with pytest.raises(WrongCar, match="1 session of logger 0123456789abcdef"):
        Provision(unit_of(link), wanted, tmp_path / "a", lambda s: None)(link)
    check = Check(unit_of(link), None, tmp_path / "a", 0.0)
    check(link)
    assert any("another logger, too: 0123456789abcdef" in f.text for f in check.findings)


def test_another_contract_is_said(make_logger, wanted, tmp_path, monkeypatch):
    _, link = make_logger(seconds=0)
    unit = unit_of(link)
    hashes = iter([bytes(8), b"another."] * 9)
    monkeypatch.setattr(m, "contract_hash", lambda: next(hashes))
    with pytest.raises(ContractError, match="speaks contract"):
        Provision(unit, wanted, tmp_path)(link)


def ended(level, text="x", **facts):
    unit = Unit("00" * 8, "C01", "front")
    unit.end(Outcome(level, text, facts))
    return unit


def test_a_car_is_as_good_as_its_worst_logger_and_what_nobody_confirmed(tmp_path):
    hand = {"the box has power": True}
    assert CarCheck("C01", [ended(GOOD), ended(GOOD)], hand).light == "green"
    assert CarCheck("C01", [ended(GOOD), ended(WARN)], hand).light == "amber"
    assert CarCheck("C01", [ended(WARN), ended(BAD)], hand).light == "red"
    open_one = CarCheck("C01", [ended(GOOD)], {"the box has power": False})
    assert open_one.light == "amber" and "not confirmed" in str(open_one.findings[0])


def test_a_signed_line_stays_whatever_happens_to_the_next(tmp_path):
    check = CarCheck("C/../01", [ended(GOOD, settings_sha256_head="ab" * 8)], {})
    path = sign_off(tmp_path, "E", "../../S", check, "Ann", lambda: NOW_NS)
    assert path.resolve().is_relative_to(tmp_path)
    with open(path, "ab") as file:
        file.write(b'{"schema": "stagelog.check/1", "by": "B')  # the laptop's power goes
    sign_off(tmp_path, "E", "../../S", check, "Cem", lambda: NOW_NS)
    lines = load_checks(path.parent)
    assert [line["by"] for line in lines] == ["Ann", "Cem"]
    assert lines[0]["loggers"][0]["settings_sha256_head"] == "ab" * 8
    assert lines[0]["t_unix_us"] == NOW_NS // 1000 and lines[0]["light"] == "green"


def test_a_logger_without_a_name_is_no_other_cars():
    [none] = of.of_car("", "C01")
    assert (none.level, none.remedy) == (BAD, "'stagelog provision'")
    [other] = of.of_car("C02", "C01")
    assert (other.level, other.remedy) == (BAD, "the wrong car's logger: swap it")
    assert [f.level for f in of.of_car("C01", "C01")] == [GOOD]
