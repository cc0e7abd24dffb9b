"""What a board keeps and shows: settings through power cuts, a light that distinguishes faults."""

import struct
import zlib

import pytest

from boards import files as board_files
from boards.files import Settings
from boards.light import pattern_of
from slog import faults
from slog import messages as m


class PowerCut(Exception):
    pass


class CutOs:
    """os and open on a real folder, with the power going before operation `cut`."""

    def __init__(self, cut):
        self.n = 0
        self.cut = cut

    def _step(self):
        self.n += 1
        if self.n == self.cut:
            raise PowerCut

    def mkdir(self, path):
        import os

        self._step()
        os.mkdir(path)

    def rename(self, old, new):
        import os

        self._step()
        os.replace(old, new)

    def open(self, path, mode):
        file = open(path, mode)
        if "w" in mode:
            self._step()
            write = file.write

            class Cut:
                def __enter__(inner):
                    return inner

                def __exit__(inner, *_):
                    file.close()

                def write(inner, data):
                    self._step()
                    return write(data)

            return Cut()
        return file


def save(folder, item, data, cut=None, monkeypatch=None):
    world = CutOs(cut)
    monkeypatch.setattr(board_files, "os", world)
    monkeypatch.setattr(board_files, "open", world.open, raising=False)
    Settings(str(folder)).save(item, data)
    return world.n


def test_settings_come_back(tmp_path, monkeypatch):
    settings = Settings(str(tmp_path / "s"))
    assert settings.load(0) is None
    for data in (b"one", b"", b"three" * 1000):
        save(tmp_path / "s", 0, data, None, monkeypatch)
        save(tmp_path / "s", 1, b"other", None, monkeypatch)
        assert settings.load(0) == data and settings.load(1) == b"other"


def test_a_power_cut_leaves_the_old_settings_or_the_new(tmp_path, monkeypatch):
    n = save(tmp_path / "count", 0, b"new", None, monkeypatch)
    assert n >= 5
    for cut in range(1, n + 1):
        folder = tmp_path / f"cut{cut}"
        save(folder, 0, b"older", None, monkeypatch)
        save(folder, 0, b"old", None, monkeypatch)
        with pytest.raises(PowerCut):
            save(folder, 0, b"new", min(cut + 1, n), monkeypatch)
        assert Settings(str(folder)).load(0) == b"old"
        save(folder, 0, b"newer", None, monkeypatch)
        assert Settings(str(folder)).load(0) == b"newer"


def test_a_damaged_copy_gives_the_other(tmp_path, monkeypatch):
    save(tmp_path / "s", 0, b"old", None, monkeypatch)
    save(tmp_path / "s", 0, b"new", None, monkeypatch)
    for path in (tmp_path / "s").iterdir():
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
            assert Settings(str(tmp_path / "s")).load(0) in (b"old", b"new")
            path.write_bytes(whole[:at])
            assert Settings(str(tmp_path / "s")).load(0) in (b"old", b"new")
        path.write_bytes(whole)


def test_a_first_save_that_does_not_read_back_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(board_files, "_generation", lambda path: 0)
    with pytest.raises(OSError, match="read back"):
        Settings(str(tmp_path / "s")).save(0, b"new")
    monkeypatch.undo()
    assert Settings(str(tmp_path / "s")).load(0) is None


def test_a_copy_that_is_shorter_than_it_says_is_none(tmp_path):
    """Generation 1, 5 bytes, the right CRC-32 of what is there: three."""
    head = struct.pack("<II", 1, 5)
    crc = zlib.crc32(head + b"abc")
    (tmp_path / "0a").write_bytes(head + struct.pack("<I", crc) + b"abc")
    assert Settings(str(tmp_path)).load(0) is None


def rotations(pattern):
    return {(pattern << n | pattern >> 16 - n) & 0xFFFF for n in range(16)}


def test_the_light_tells_what_matters_apart():
    shown = {
        "recording": pattern_of(m.STATE_RECORDING, faults.NONE),
        "bus silent": pattern_of(m.STATE_RECORDING, faults.BUS_SILENT),
        "no controller": pattern_of(m.STATE_RECORDING, faults.CONTROLLER_ABSENT),
        "dropped": pattern_of(m.STATE_RECORDING, faults.RING_OVERFLOW),
        "card fault": pattern_of(m.STATE_CARD_FAULT, faults.CARD_ABSENT),
        "full": pattern_of(m.STATE_FULL, faults.CARD_FULL),
        "stopped": pattern_of(m.STATE_IDLE, faults.NONE),
        "starting": pattern_of(m.STATE_BOOT, faults.NONE),
    }
    for name, pattern in shown.items():
        alike = [other for other, seen in shown.items() if seen in rotations(pattern)]
        assert alike == [name]


def test_faults_flash_as_often_as_the_list_says():
    """Flashes in two seconds, as in the list of `boards.light`: one bit each; a quick flicker is
    eight, slow blinking two of half a second.
    """
    flashes = {
        2: (faults.BUS_SILENT, faults.BUS_ERRORS, faults.BUS_OFF),
        3: (faults.CONTROLLER_ABSENT,),
        4: (faults.RING_OVERFLOW, faults.CONTROLLER_OVERRUN),
        5: (faults.WIRE_FULL, faults.WIRE_INTERRUPT, faults.WIRES, faults.SPI_NOISE),
        6: (faults.UPDATE_REFUSED,),
        8: (
            faults.CARD_ABSENT,
            faults.CARD_UNPREPARED,
            faults.CARD_READ_ONLY,
            faults.CARD_WRITE,
            faults.CARD_STALL,
            faults.CARD_LIES,
            faults.CARD_FOREIGN,
        ),
    }
    for n, listed in flashes.items():
        for fault in listed:
            pattern = pattern_of(m.STATE_RECORDING, fault)
            assert (pattern.bit_count(), pattern & pattern >> 1) == (n, 0), faults.TEXT[fault]


def test_states_show_what_the_list_says():
    """Bit 0 is the first step of sixteen. Recording: one flash; stopped: one gap; full: half a
    second, four steps, on and off; starting: on; without a card: quick flicker.
    """
    shown = {
        m.STATE_RECORDING: "1000000000000000",
        m.STATE_IDLE: "0111111111111111",
        m.STATE_FULL: "1111000011110000",
        m.STATE_BOOT: "1" * 16,
        m.STATE_NO_CARD: "10" * 8,
        m.STATE_CARD_FAULT: "10" * 8,
    }
    for state, steps in shown.items():
        assert f"{pattern_of(state, faults.NONE):016b}"[::-1] == steps
    assert pattern_of(m.STATE_RECORDING, faults.CARD_FULL) == pattern_of(m.STATE_FULL, 0)


@pytest.mark.parametrize("fault", list(faults.TEXT))
def test_every_fault_shows_while_recording(fault):
    pattern = pattern_of(m.STATE_RECORDING, fault)
    is_harmless = fault in (faults.NONE, faults.SETTINGS_BAD)
    assert (pattern == pattern_of(m.STATE_RECORDING, faults.NONE)) == is_harmless


def test_the_program_that_runs_is_named_by_its_slot(tmp_path, monkeypatch):
    """A slot file begins with the SHA-256 of its rest; main.py tells the board which one it is."""
    opened = []
    digests = {"/a.app": b"A" * 32 + b"rest", "/b.app": b"B" * 32 + b"more"}

    def open_slot(path, mode):
        import io

        opened.append(path)
        return io.BytesIO(digests[path])

    monkeypatch.setattr(board_files, "open", open_slot, raising=False)
    for slot, letter in ((0, b"A"), (1, b"B")):
        file, n = Settings(str(tmp_path), slot).open(m.CONFIG_FIRMWARE)
        assert (file.read(), n) == (letter * 32, 32)
    assert Settings(str(tmp_path)).open(m.CONFIG_FIRMWARE) is None
    assert opened == ["/a.app", "/b.app"]
