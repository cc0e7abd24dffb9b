"""What a bring-up makes of what a board says: wires, crystal, numbers, clock, and its sheet."""

import json
import re
from contextlib import contextmanager
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from slog.messages import CONTROL_STOP
from stagelog.bringup import (
    FAIL,
    NOT_MEASURED,
    PASS,
    SECTIONS,
    Row,
    Sheet,
    load_reference,
    sheet_html,
)
from stagelog.bringup.card import cid_text
from stagelog.bringup.controller import FRAME_BITS, crystal_of, listen_rows
from stagelog.bringup.power import pull_once
from stagelog.bringup.recorder import CAN_ID, ClockPair, Run
from stagelog.bringup.recording import check_numbers, drift_rows, share_of
from stagelog.bringup.run import bitrate_of
from stagelog.bringup.sheet import Board, at_least, at_most, sha256_of
from stagelog.bringup.tidy import erase_ours
from stagelog.bringup.wires import card_rows, controller_rows
from stagelog.errors import DeviceError
from stagelog.model import FRAME
from stagelog.rig.target import SimTarget

ROOT = Path(__file__).resolve().parents[2]

# What the pins read at the levels 0 to 3 of RX0BF and RX1BF, then at INT low and high; bit 0 INT,
# 1 RX0BF, 2 RX1BF, set while low. By hand: at level 0 both are low, 2 + 4; at 1 RX0BF is high, 4.
WHOLE = [6, 4, 2, 0, 1, 0]


def named(rows):
    return {row.title for row in rows if row.verdict == FAIL}


@pytest.mark.parametrize(
    "reads, low, names",
    [
        (True, WHOLE, set()),
        (True, [4, 4, 0, 0, 1, 0], {"controller RX0BF"}),
        (True, [2, 0, 2, 0, 1, 0], {"controller RX1BF"}),
        (True, [6, 2, 4, 0, 1, 0], {"controller RX0BF", "controller RX1BF"}),
        (True, [6, 4, 2, 0, 0, 0], {"controller INT"}),
        (True, [7, 5, 3, 1, 1, 1], {"controller INT"}),  # shorted to ground
        (False, WHOLE, {"controller SO"}),
        (False, [6, 4, 2, 0, 0, 0], {"controller SO", "controller INT"}),
        (False, [0] * 6, {"controller SCK", "controller SI", "controller CS"}),
    ],
)
def test_wires_are_recognised_by_what_follows(reads, low, names):
    assert named(controller_rows(reads, low)) == names


def test_crossed_wires_are_called_crossed():
    rows = {row.key: row for row in controller_rows(True, [6, 2, 4, 0, 1, 0])}
    assert rows["wires.controller.RX0BF"].note == "RX0BF and RX1BF are crossed"


def test_a_card_that_does_not_answer_names_its_wires():
    assert not named(card_rows(None))
    assert named(card_rows("no card answers")) == {"card CLK", "card DI", "card DO", "card CS"}


def test_the_frames_that_are_timed_have_the_bits_of_the_standard():
    from stagelog.rig.bus.canbits import n_frame_bits

    for n_bytes, n_bits in FRAME_BITS.items():
        assert n_frame_bits(CAN_ID, 0, n_bytes, b"\x55" * n_bytes) == n_bits


@pytest.mark.parametrize("gap_bits", [3, 4, 11])
@pytest.mark.parametrize("crystal_Hz", [8_000_000, 16_000_000, 16_003_200])
def test_the_crystal_follows_whatever_lies_between_frames(crystal_Hz, gap_bits):
    """With 16 MHz a bit of 125 kbit/s lasts 8 us. 109 and 45 bits to the end of the frame."""
    bit_us = 8.0 * 16_000_000 / crystal_Hz
    us8, us0 = (2000 * (bits + gap_bits) * bit_us for bits in (109, 45))
    found_Hz, gap = crystal_of(2000, round(us8), 2000, round(us0))
    assert abs(found_Hz / crystal_Hz - 1) < 2e-6
    assert abs(gap - gap_bits) < 0.01


def frames_with(numbers):
    frames = np.zeros(len(numbers), FRAME)
    frames["can_id"] = CAN_ID
    bytes_of = np.array(numbers, "<u4").view(np.uint8).reshape(-1, 4)
    frames["data"][:, :4] = bytes_of
    frames["data"][:, 4:] = 255 - bytes_of
    return frames


@pytest.mark.parametrize(
    "numbers, n_sent, wanted",
    [
        ([0, 1, 2, 3], 4, (0, 0, 0, 0)),
        ([0, 1, 3], 4, (1, 0, 0, 0)),
        ([0, 1, 1, 2, 3], 4, (0, 1, 0, 0)),
        ([0, 2, 1, 3], 4, (0, 0, 1, 0)),
        ([0, 1, 2, 9], 4, (1, 0, 0, 1)),
        ([], 2, (2, 0, 0, 0)),
    ],
)
def test_numbers_lost_twice_behind_and_wrong(numbers, n_sent, wanted):
    assert check_numbers(frames_with(numbers), n_sent) == wanted


def test_a_frame_with_a_flipped_bit_is_wrong_and_its_number_lost():
    frames = frames_with([0, 1, 2])
    frames["data"][1, 6] ^= 1
    assert check_numbers(frames, 3) == (1, 0, 0, 1)


def test_the_share_of_counts():
    """Of 100 values 90 are 2, 9 are 5 and one is 40: half and 90 within 2, 99 within 5."""
    counts = [(2, 90), (5, 9), (40, 1)]
    assert [share_of(counts, share) for share in (0.5, 0.9, 0.99, 1.0)] == [2, 2, 5, 40]


def drift(board_us, within_s=0.001):
    clocks = (ClockPair(0.0, 0, within_s), ClockPair(100.0, board_us, within_s))
    empty = np.empty(0, FRAME)
    run = Run(0, 0, True, [], [], 0, 0, 0, empty, None, None, b"", clocks, 0.0, 0.0, 0.0)
    return next(iter(drift_rows(run)))


@pytest.mark.parametrize(
    "board_us, within_s, verdict, ppm",
    [
        (100_003_000, 0.001, PASS, 30),
        (99_970_000, 0.001, FAIL, -300),
        (100_011_000, 0.001, PASS, 110),  # 110 ppm, known within 20
        (100_003_000, 0.02, NOT_MEASURED, None),  # 40 ms of 100 s: 400 ppm
        (43_000_000, 0.001, NOT_MEASURED, None),  # an emulated board
    ],
)
def test_the_clock_is_judged_as_far_as_it_is_known(board_us, within_s, verdict, ppm):
    row = drift(board_us, within_s)
    assert row.verdict == verdict
    assert row.value == (None if ppm is None else pytest.approx(ppm, abs=0.1))


def test_a_cid_is_read_as_the_standard_says():
    """SD 6.00, 5.2: MID 1 byte, OID 2, PNM 5, PRV 1, PSN 4, then 4 bits, year 8 bits, month 4."""
    cid = b"\x03SDSC32G\x80" + bytes((0x12, 0x34, 0x56, 0x78, 0x01, 0x59, 0))
    assert cid_text(cid) == f"maker 0x03, SDSC32G 8.0, no. {0x12345678}, 2021-09"


SHEET = Sheet(
    Board("pico_mcp2515", "Raspberry Pi Pico with RP2040", "1.26.1", "e6614c311b4a6f2a"),
    "Alice <alice>",
    1_768_658_602_120_000,
    "0.1",
    {"patterns": 10},
    (
        at_most("spi.8MHz", "SPI at 8 MHz", 3, 0, "of 10", "shorten the wires"),
        at_least("usb.down", "USB", 654.0, 200.0, "kB/s", "another cable"),
        Row("supply.least", "VSYS", None, verdict=NOT_MEASURED, note="no divider"),
    ),
)


def test_the_sheet_says_what_failed_and_what_to_do_beside_the_emulator():
    page = sheet_html(SHEET, {"spi.8MHz": at_most("spi.8MHz", "", 0, 0, "of 100", "")})
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<body>")[1]))
    assert "1 rows failed, 1 not measured" in text
    assert "SPI at 8 MHz shorten the wires 3 of 10 0 of 100 0 fail" in text
    assert "USB 654 kB/s 200 at least pass" in text
    assert "another cable" not in text
    assert "VSYS no divider" in text
    assert "Alice &lt;alice&gt;" in page


def test_the_page_names_the_digest_of_the_json():
    content = SHEET.to_json()
    assert sha256_of(content) in sheet_html(SHEET, {})
    facts = json.loads(content)
    assert facts["operator"] == "Alice <alice>" and facts["verdict"] == FAIL
    changed = content.replace(b'"value": 3', b'"value": 0')
    assert changed != content and sha256_of(changed) not in sheet_html(SHEET, {})


def test_the_emulated_board_has_passed_and_stands_in_the_documents():
    rows = load_reference()
    assert {row.section for row in rows.values()} == set(SECTIONS)
    assert not [row for row in rows.values() if row.verdict == FAIL]
    page = (ROOT / "docs/reference/bringup.md").read_text(encoding="utf-8")
    sheet = (ROOT / "docs/reference/bringup_sheet.html").read_text(encoding="utf-8")
    for row in rows.values():
        assert f"| {row.title} | {row.text or row.note} | {row.limit} |" in page
        assert escape(row.title) in sheet and escape(row.text) in sheet


class Answers:
    """The program on a board, by its answers: {row: what it prints, one after the other}."""

    def __init__(self, **answers):
        self.answers = answers

    def call(self, row, **_):
        return self.answers[row].pop(0)


@pytest.mark.parametrize(
    "heard, words",
    [
        ([(0, 0)] * 4, "nothing was heard at any rate"),
        ([(0, 0), (0, 12), (3, 9), (0, 0)], "no rate without errors"),
        ([(0, 0), (50, 0), (900, 0), (0, 0)], "frames without errors at 250,000 and 500,000"),
    ],
)
def test_why_no_bit_rate_was_found(heard, words):
    """(frames, errors) noticed at 125, 250, 500 and 1000 kbit/s."""
    *_, found = listen_rows(Answers(listen=list(heard)), 1000, 16_000_000, 500_000)
    assert found.key == "listen.found" and found.verdict == NOT_MEASURED
    assert words in found.note


class EmptyBoard:
    """A bench whose logger never stores a frame, in virtual time."""

    def __init__(self):
        self.now_s = 0.0
        self.n_status = 0

    def clock(self):
        self.now_s += 0.1
        return self.now_s

    def take_power(self):
        pytest.fail("nothing is stored that the pull could show")

    @contextmanager
    def running(self, *_):
        yield self

    bench = property(lambda self: self)
    hello = status = lambda self: SimpleNamespace(boot=1, stored0=0)


def test_a_logger_that_stores_nothing_ends_the_pulls():
    """It was waited for its first frame for ever."""
    board = EmptyBoard()
    with pytest.raises(DeviceError, match="no frame stored"):
        pull_once(board, 2.0)
    assert board.now_s < 60


@pytest.mark.parametrize(
    "settings, rate_bps",
    [(b"", 500_000), (b"{", 500_000), (b'{"buses": 7}', 500_000), (b"{}", 500_000)],
)
def test_settings_that_cannot_be_read_end_no_bring_up(settings, rate_bps):
    """A logger that cannot read its settings takes the defaults, and so does the bring-up."""
    assert bitrate_of(settings) == rate_bps


def test_the_bit_rate_of_the_settings():
    assert bitrate_of(b'{"buses": [{"bitrate_bps": 250000}]}') == 250_000


def test_a_session_from_before_the_bringup_stays_even_if_it_holds_no_frame(tmp_path):
    """Two boots without a frame: the first is the user's, the bring-up began at the second."""
    target = SimTarget(tmp_path)
    for _ in range(2):
        target.run_for(2_000_000)
        target.power_cut()
        target.power_on()
    target.link.control(CONTROL_STOP, target.link.hello().boot)
    boots = [session.boot for session in target.link.list_sessions()]
    assert len(boots) == 3
    erase_ours(target.link, boots[1])
    assert boots[2] in [session.boot for session in target.link.list_sessions()]
    target.close()
