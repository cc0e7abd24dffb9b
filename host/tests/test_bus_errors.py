"""Error frames, counters and confinement of the simulated bus, walked through rule by rule.

Rule numbers are those of ISO 11898-1, 12.1.4.2 (fault confinement), a) to h).
"""

import numpy as np
import pytest

from stagelog.model import EXT
from stagelog.rig import tape
from stagelog.rig.bus import Bus, canbits, nodes
from stagelog.rig.bus.controller import OVERLOAD, SENT, Frame
from stagelog.rig.bus.faults import BitFault, Effect, stuck_dominant, stuck_recessive
from stagelog.rig.bus.node import to_table

MS = 10**6
BIT_NS = 2000
FRAME = Frame(0x123, 0, 4, b"\x55\x12\x55\x34")
N_BITS = canbits.n_frame_bits(*FRAME)
ACK_DELIMITER = -8  # counted from the end of EOF
ERROR_BITS = 6 + 8 + 3  # flag, delimiter, intermission


def sends(*frames, due_ns=0):
    table = to_table(frames)
    return [(np.full(len(table), due_ns, np.int64), table)]


def bus_with(*faults, n_frames=1, dash=True, **sender):
    """Return a bus with engine (sends FRAME), dash and gearbox (acknowledge) and logger."""
    bus = Bus(500_000)
    bus.add_node("engine", sends(*[FRAME] * n_frames), **sender)
    if dash:
        bus.add_node("dash")
        bus.add_node("gearbox")
    bus.add_node("logger", listen_only=True)
    for fault in faults:
        bus.add_fault(fault)
    return bus


def node(bus, name):
    return next(node for node in bus.nodes if node.name == name)


def errors(log, name):
    rows = log.seen_by(name)
    return rows[rows["kind"] == tape.ERROR]


def counters(bus):
    return {node.name: (node.tec, node.rec) for node in bus.nodes}


def test_a_clean_frame_leaves_all_counters_alone():
    bus = bus_with()
    log = bus.run(MS)
    assert len(log.rows) == 1 and set(counters(bus).values()) == {(0, 0)}


def test_one_receiver_misreads_a_bit_and_the_frame_is_sent_again():
    bus = bus_with(BitFault(Effect.HEAR_INVERTED, "dash", 0, ACK_DELIMITER))
    log = bus.run((N_BITS + 4) * BIT_NS)
    # dash noticed first and saw the others' flags behind its own: 1 + 8 by rules a), b); the
    # engine 8 by c); gearbox 1 by a)
    assert counters(bus) == {"engine": (8, 0), "dash": (0, 9), "gearbox": (0, 1), "logger": (0, 0)}
    log = log + bus.run(MS)
    # then the frame goes through: one less each, by g), h)
    assert counters(bus) == {"engine": (7, 0), "dash": (0, 8), "gearbox": (0, 0), "logger": (0, 0)}
    assert len(log.sent) == 1
    assert log.tape("logger")["kind"].tolist() == [tape.ERROR, tape.FRAME]


def test_a_disturbance_that_all_see_costs_sender_8_and_receivers_1():
    bus = bus_with(BitFault(Effect.WIRE_INVERT, None, 0, ACK_DELIMITER))
    log = bus.run((N_BITS + 4) * BIT_NS)
    assert counters(bus) == {"engine": (8, 0), "dash": (0, 1), "gearbox": (0, 1), "logger": (0, 0)}
    assert errors(log, "engine")["code"].tolist() == [tape.FORM_ERROR]


def test_the_code_says_what_kind_of_error_a_node_noticed():
    wire = len(canbits.wire_bits(*FRAME))
    assert N_BITS == wire + 3
    cases = {
        -10: (Effect.HEAR_INVERTED, tape.FORM_ERROR),  # CRC delimiter
        ACK_DELIMITER: (Effect.HEAR_INVERTED, tape.FORM_ERROR),
        -4: (Effect.HEAR_INVERTED, tape.FORM_ERROR),  # EOF
        -11: (Effect.HEAR_INVERTED, tape.CRC_ERROR),  # last bit of the CRC
    }
    for bit, (effect, code) in cases.items():
        log = bus_with(BitFault(effect, "gearbox", 0, bit)).run(MS)
        assert errors(log, "gearbox")["code"][0] == code, bit
    log = bus_with(BitFault(Effect.HEAR_INVERTED, "engine", 0, 30)).run(MS)
    assert errors(log, "engine")["code"][0] == tape.BIT_ERROR
    log = bus_with(dash=False).run(MS)
    assert set(errors(log, "engine")["code"]) == {tape.ACK_ERROR}


def test_an_error_frame_lasts_as_long_as_the_standard_says():
    # all see a dominant ACK delimiter, so all flag at the same time
    bus = bus_with(BitFault(Effect.WIRE_INVERT, None, 0, ACK_DELIMITER))
    log = bus.run(MS)
    noticed_ns = int(errors(log, "logger")["t_ns"][0])
    assert noticed_ns == (N_BITS - 3 - 7) * BIT_NS  # end of the ACK delimiter
    assert int(log.sent["t_ns"][0]) == noticed_ns + (ERROR_BITS + N_BITS - 3) * BIT_NS
    assert log.waits_ns().tolist() == [noticed_ns + ERROR_BITS * BIT_NS]


def test_a_lone_node_turns_passive_and_stays_so_for_ever():
    bus = bus_with(n_frames=1, dash=False)
    log = bus.run(100 * MS)
    engine = node(bus, "engine")
    assert (engine.tec, engine.rec, engine.state) == (128, 0, tape.PASSIVE)
    states = log.seen_by("engine")
    states = states[states["kind"] == tape.STATE]
    assert states["state"].tolist() == [tape.WARNING, tape.PASSIVE]
    assert states["tec"].tolist() == [96, 128]
    # 16 attempts with active flags, then passive ones with 8 bits of suspension
    until_ack = N_BITS - 3 - 8
    active, passive = until_ack + ERROR_BITS, until_ack + ERROR_BITS + 8
    expected = 16 + -(-(50_000 - 16 * active) // passive)
    assert abs(engine.n_attempts - expected) <= 1
    assert not len(log.sent)
    # The listener sees the active flags as errors, then whole frames that nobody acknowledged.
    kinds = log.tape("logger")["kind"]
    assert kinds[:16].tolist() == [tape.ERROR] * 16 and set(kinds[16:]) == {tape.FRAME}


def test_a_lone_node_gets_through_once_somebody_listens():
    bus = bus_with(dash=False)
    bus.run(20 * MS)
    bus.add_node("late")
    log = bus.run(22 * MS)
    assert len(log.sent) == 1 and node(bus, "engine").tec == 127
    assert node(bus, "engine").state == tape.WARNING
    assert len(log.tape("logger")) - len(log.tape("late")) <= 4  # what "late" missed


def test_a_passive_sender_whose_missing_ack_meets_a_dominant_bit_pays_after_all():
    """Rule c), exception 1, has an exception: a dominant bit during the passive flag."""
    bus = bus_with(dash=False)
    bus.run(20 * MS)
    number = bus.n_started
    flag = N_BITS - 3 - 8 + 2  # the third bit of the flag behind the ACK slot
    bus.add_fault(BitFault(Effect.WIRE_INVERT, None, number, flag))
    bus.run(21 * MS)
    assert node(bus, "engine").tec == 136


def test_a_dead_transmitter_goes_bus_off_and_comes_back_after_128_times_11_bits():
    bus = bus_with(stuck_recessive(0, 3 * MS, node="engine"))
    log = bus.run(3 * MS)
    engine = log.seen_by("engine")
    states = engine[engine["kind"] == tape.STATE]
    assert states["state"].tolist() == [tape.WARNING, tape.PASSIVE, tape.BUS_OFF]
    assert states["tec"].tolist() == [96, 128, 256]
    off_ns = int(states["t_ns"][-1])
    log = bus.run(10 * MS)
    back = log.seen_by("engine")
    back = back[back["kind"] == tape.STATE]
    assert back["state"].tolist() == [tape.ACTIVE]
    assert int(back["t_ns"][0]) - off_ns == 128 * 11 * BIT_NS
    assert len(log.sent) == 1 and counters(bus)["engine"] == (0, 0)


def test_bus_off_counts_frames_of_others_as_one_sequence_each():
    bus = bus_with(stuck_recessive(0, 3 * MS, node="engine"), n_frames=2)
    bus.add_node("abs", nodes.saturate(8, can_id=0x400))
    log = bus.run(60 * MS)
    rows = log.seen_by("engine")
    rows = rows[rows["kind"] == tape.STATE]
    off_ns, back_ns = rows["t_ns"][rows["state"] != tape.PASSIVE][-2:].tolist()
    between = (log.sent["t_ns"] > off_ns) & (log.sent["t_ns"] <= back_ns)
    assert rows["state"][-1] == tape.ACTIVE
    assert between.sum() in (127, 128, 129)


def test_without_automatic_recovery_a_node_stays_off_until_asked():
    bus = bus_with(stuck_recessive(0, 3 * MS, node="engine"), auto_recover=False)
    bus.run(100 * MS)
    assert node(bus, "engine").state == tape.BUS_OFF
    node(bus, "engine").recover()
    log = bus.run(110 * MS)
    assert node(bus, "engine").state == tape.ACTIVE and len(log.sent) == 1


def test_an_error_in_the_senders_last_eof_bit_makes_a_duplicate():
    bus = bus_with(BitFault(Effect.HEAR_INVERTED, "engine", 0, -1))
    log = bus.run(MS)
    for name in ("dash", "gearbox", "logger"):
        assert len(log.tape(name)[log.tape(name)["kind"] == tape.FRAME]) == 2
    assert len(log.sent) == 1


def test_an_error_in_one_receivers_last_but_one_eof_bit_duplicates_for_the_others():
    bus = bus_with(BitFault(Effect.HEAR_INVERTED, "dash", 0, -2))
    log = bus.run(MS)
    received = {
        name: int((log.tape(name)["kind"] == tape.FRAME).sum())
        for name in ("dash", "gearbox", "logger")
    }
    assert received == {"dash": 1, "gearbox": 2, "logger": 2}


def test_a_receivers_last_eof_bit_is_an_overload_and_no_error():
    bus = bus_with(BitFault(Effect.HEAR_INVERTED, "dash", 0, -1), n_frames=2)
    log = bus.run(MS)
    assert (log.rows["kind"] == OVERLOAD).sum() == 4  # dash, then the others by its flag
    assert not (log.rows["kind"] == tape.ERROR).any()
    assert len(log.sent) == 2 and set(counters(bus).values()) == {(0, 0)}
    first, second = log.sent["t_ns"].tolist()
    # dash's flag falls into the intermission; the others' begin one bit later
    assert second - first == (7 + 8 + 3 + N_BITS - 3) * BIT_NS


def test_a_dominant_bit_in_the_intermission_is_an_overload():
    bus = bus_with(stuck_dominant((N_BITS - 3) * BIT_NS, (N_BITS - 2) * BIT_NS), n_frames=2)
    log = bus.run(MS)
    assert (log.rows["kind"] == OVERLOAD).sum() == 4 and len(log.sent) == 2
    assert not (log.rows["kind"] == tape.ERROR).any()


def test_a_stuck_dominant_bus_charges_8_for_every_8_bits_behind_the_flag():
    start = N_BITS * 10
    bus = bus_with(stuck_dominant(start * BIT_NS, (start + 5 + 1 + 6 + 8 + 8) * BIT_NS))
    bus.run(MS // 10)
    bus.run((start + 5 + 1 + 6 + 8 + 8) * BIT_NS)
    # SOF and five more: stuff error 1; first bit behind the flag 8, and 8 for each 8 bits
    assert counters(bus)["dash"] == (0, 1 + 8 + 8 + 8)
    assert counters(bus)["logger"] == (0, 0)


def test_a_receiver_that_loses_its_own_flag_pays_8():
    """Rules d), e): a bit error while sending an active error flag."""
    bus = bus_with(
        BitFault(Effect.HEAR_INVERTED, "dash", 0, ACK_DELIMITER),  # a form error, a flag follows
        BitFault(
            Effect.WIRE_RECESSIVE, None, 0, -6
        ),  # second bit of its flag, first of the others'
    )
    bus.run((N_BITS + 4) * BIT_NS)
    # all begin their flags anew in the next bit, so that nobody sees another's flag behind its own
    assert counters(bus)["dash"] == counters(bus)["gearbox"] == (0, 1 + 8)
    assert counters(bus)["engine"] == (8 + 8, 0)


def test_a_passive_sender_lets_others_go_first():
    bus = bus_with(dash=False, n_frames=3)
    bus.run(20 * MS)
    assert node(bus, "engine").state == tape.PASSIVE
    other = bus.add_node("other")
    bus.run(21 * MS)  # engine's frames go through: TEC 125, active again
    assert node(bus, "engine").tec == 125

    engine = node(bus, "engine")
    engine.controller.tec = 200
    engine.controller._set_state()
    engine.controller.reports.clear()
    low, high = Frame(0x001, 0, 0, b""), Frame(0x7FF, 0, 0, b"")
    for frame in (low, low):
        engine.send(frame, 22 * MS)
    other.send(high, 22 * MS)
    log = bus.run(30 * MS)
    assert log.sent["can_id"].tolist() == [0x001, 0x7FF, 0x001]


def test_two_nodes_with_one_identifier_and_other_data_collide():
    bus = Bus(500_000)
    bus.add_node("a", sends(Frame(0x123, 0, 1, b"\x0f")))
    bus.add_node("b", sends(Frame(0x123, 0, 1, b"\x1f")))
    bus.add_node("dash")
    log = bus.run(100 * MS)
    assert {int(row["code"]) for row in log.rows[log.rows["kind"] == tape.ERROR]} & {
        tape.BIT_ERROR
    }
    assert len(log.sent) <= 2


def test_the_winner_of_an_arbitration_is_not_disturbed_and_the_loser_not_charged():
    bus = Bus(500_000, every_bit=True)
    for i in range(6):
        flags = EXT if i % 2 else 0
        bus.add_node(f"n{i}", sends(Frame((0x2AA << 18 if flags else 0x2AA) + i, flags, 1, b"\0")))
    log = bus.run(5 * MS)
    assert not (log.rows["kind"] == tape.ERROR).any()
    assert (log.rows["kind"] == SENT).sum() == 6
    assert set(counters(bus).values()) == {(0, 0)}
    # every loser began again each time: 6 + 5 + ... + 1
    assert sum(node.n_attempts for node in bus.nodes) == 21


@pytest.mark.parametrize("tec", [95, 96])
def test_warning_begins_at_96(tec):
    bus = bus_with()
    engine = node(bus, "engine")
    engine.controller.tec = tec
    engine.controller._set_state()
    assert engine.state == (tape.WARNING if tec == 96 else tape.ACTIVE)
    bus.run(MS)
    assert engine.tec == tec - 1 and engine.state == tape.ACTIVE


def test_a_receiver_with_a_wrong_crc_does_not_acknowledge():
    bus = Bus(500_000)
    bus.add_node("engine", sends(FRAME))
    bus.add_node("dash")
    bus.add_fault(BitFault(Effect.HEAR_INVERTED, "dash", 0, -11))  # last bit of the CRC
    log = bus.run(N_BITS * BIT_NS)
    assert errors(log, "engine")["code"].tolist() == [tape.ACK_ERROR]


def test_a_frame_counts_as_received_with_the_sixth_eof_bit_not_before():
    """Rule h) against an error in the last but one bit of EOF: 10 + 1 + 8, nothing back."""
    bus = bus_with(BitFault(Effect.HEAR_INVERTED, "dash", 0, -2))
    dash = node(bus, "dash")
    dash.controller.rec = 10
    bus.run((N_BITS + 10) * BIT_NS)
    assert dash.rec == 10 + 1 + 8


def test_a_stuff_error_in_the_arbitration_field_is_not_charged_to_the_sender():
    """Rule c), exception 2: the recessive stuff bit behind SOF and four dominant bits is lost."""
    bus = Bus(500_000)
    bus.add_node("engine", sends(Frame(0x008, 0, 0, b"")))
    bus.add_node("dash")
    bus.add_fault(BitFault(Effect.WIRE_DOMINANT, None, 0, 5))
    log = bus.run(15 * BIT_NS)
    assert errors(log, "engine")["code"].tolist() == [tape.STUFF_ERROR]
    assert counters(bus) == {"engine": (0, 0), "dash": (0, 1)}


def test_a_dominant_third_bit_of_the_intermission_is_a_start_of_frame_to_join():
    third = (N_BITS - 1) * BIT_NS
    log = bus_with(stuck_dominant(third, third + BIT_NS), n_frames=2).run(MS)
    first, second = log.sent["t_ns"].tolist()
    assert second - first == (N_BITS - 1) * BIT_NS  # one bit early
    assert not (log.rows["kind"] == tape.ERROR).any()


def test_a_passive_sender_does_not_join_a_frame_in_its_intermission():
    bus = bus_with(n_frames=2)
    engine = node(bus, "engine")
    engine.controller.tec = 200
    engine.controller._set_state()
    third = (N_BITS - 1) * BIT_NS
    bus.add_fault(stuck_dominant(third, third + BIT_NS))
    log = bus.run((N_BITS + 15) * BIT_NS)
    assert engine.n_attempts == 1 and len(errors(log, "dash")) == 1


def test_a_dominant_last_bit_of_the_delimiter_is_an_overload_and_an_earlier_one_an_error():
    flag_ns = (N_BITS - 3 - 7) * BIT_NS  # all flag behind the ACK delimiter
    for bit, n_errors, n_overloads in ((8, 1, 1), (7, 2, 0)):
        at_ns = flag_ns + (6 + bit - 1) * BIT_NS
        bus = bus_with(
            BitFault(Effect.WIRE_INVERT, None, 0, ACK_DELIMITER),
            stuck_dominant(at_ns, at_ns + BIT_NS),
        )
        log = bus.run(MS)
        assert len(errors(log, "dash")) == n_errors, bit
        overloads = log.seen_by("dash")["kind"] == OVERLOAD
        assert overloads.sum() == n_overloads, bit
        assert len(log.sent) == 1


@pytest.mark.parametrize("every_bit", [False, True])
def test_a_fault_in_the_first_bit_of_a_frame_hits_it(every_bit):
    bus = Bus(500_000, every_bit=every_bit)
    bus.add_node("engine", sends(FRAME, FRAME))
    bus.add_node("dash")
    bus.add_fault(BitFault(Effect.WIRE_RECESSIVE, None, 1, 0))
    log = bus.run(MS)
    assert errors(log, "engine")["code"].tolist() == [tape.BIT_ERROR]
    assert errors(log, "engine")["can_id"].tolist() == [0]  # position: SOF
    assert len(log.sent) == 2
