"""Targets of the parser campaign: logs of other makers."""

import codecs
import contextlib
import gzip
import json
import lzma
import sqlite3
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import zstandard

from campaigns.engine.parsers.target import LETTERS, Target, Violation
from stagelog.decode.isotp import summarize
from stagelog.errors import InputError
from stagelog.export import open_frame_sink
from stagelog.importers import load_frames
from stagelog.importers.stream import MAX_EXPANSION
from stagelog.model import FRAME
from stagelog.rig.bus import nodes


class Importer(Target):
    """A log of another maker: frames and diagnostics, or one error that names the file."""

    sources = ("stagelog/importers/*.py",)

    def run(self, data):
        self.path.write_bytes(data)
        try:
            log = load_frames(self.path)
        except InputError as error:
            if str(self.path) not in str(error):
                raise Violation("D1", f"the error does not name the file: {error}") from None
            return
        frames = log.frames
        if len(frames) > self._most_frames(data):
            raise Violation("D4", f"{len(frames)} frames out of {len(data)} bytes")
        if log.diagnostics.n_frames != len(frames):
            raise Violation("D7", "the diagnostics count other frames")
        if (frames["n_bytes"] > 64).any() or (frames["can_id"] >= 1 << 29).any():
            raise Violation("D7", "a frame that cannot be")
        json.dumps(log.diagnostics.to_json())

    def _most_frames(self, data):
        return 64 + len(data)


class Candump(Importer):
    """candump text."""

    name = "candump"
    share = 400
    words = (*LETTERS, b"(", b")", b"#", b"##", b"can0", b" 1FFFFFFF#R8\n", b"(1.0) can0 1#1\n")

    def make_seeds(self):
        lines = (
            f"(1700000000.{i:06d}) can{i % 2} {i * 37:03X}#{'AB' * (i % 9)}" for i in range(40)
        )
        more = "(1.5) can0 123##1AABB\n(1.6) can0 12345678#R\n(1.7) vcan0 1#R8\n"
        return [("\n".join(lines) + "\n" + more).encode()]


class Ascii(Importer):
    """Vector ASC text."""

    name = "asc"
    share = 300
    words = (*LETTERS, b"base hex", b"Rx", b"CANFD", b"ErrorFrame", b"   9.9 1 1FFx Rx d 8 ")

    def make_seeds(self):
        head = "date Fri Nov 20 10:00:00.000 am 2026\nbase hex  timestamps absolute\n"
        lines = (f"   {i / 100:.6f} 1  {i * 3:X}x  Rx   d 2 {i:02X} AB" for i in range(1, 40))
        return [(head + "internal events logged\n" + "\n".join(lines) + "\n").encode()]


class Trace(Importer):
    """PCAN TRC text."""

    name = "trc"
    share = 300
    words = (*LETTERS, b";$FILEVERSION=1.1\n", b";$STARTTIME=1e99\n", b"Rx", b"RTR", b"Warng")

    def make_seeds(self):
        head = ";$FILEVERSION=1.1\n;$STARTTIME=44000.5\n;   Message Number\n"
        lines = (f"{i:6d})  {i * 1.5:10.1f}  Rx   {i:04X}  2  {i:02X} AB" for i in range(1, 40))
        return [(head + "\n".join(lines) + "\n").encode()]


class Binary(Importer):
    """Vector BLF."""

    name = "blf"
    share = 400
    words = (b"LOBJ", b"LOGG", zlib.compress(bytes(1 << 20)), struct.pack("<HHII", 32, 1, 0, 10))

    def make_seeds(self):
        objects = []
        for i in range(30):
            head = struct.pack("<4sHHLLLHHQ", b"LOBJ", 32, 1, 48, 1, 2, 0, 0, i * 1000)
            objects.append(head + struct.pack("<HBBL8s", 1, 0, 8, i, bytes([i] * 8)))
        whole = b"".join(objects)
        packed = zlib.compress(whole)
        head = struct.pack(
            "<4sHHLLHH6xL4x", b"LOBJ", 16, 1, 32 + len(packed), 10, 2, 0, len(whole)
        )
        head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, 32 + len(packed), 10, 2, len(whole))
        start = b"LOGG" + struct.pack("<L", 144) + bytes(136)
        container = head + packed + bytes((32 + len(packed)) % 4)
        return [start + container, start + whole, start + container * 3]


class Csv(Importer):
    """SavvyCAN CSV."""

    name = "savvycan"
    share = 300
    words = (*LETTERS, b"true", b"false", b"99999999999999999999", b"Time Stamp,ID,")

    def make_seeds(self):
        head = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
        lines = (f"{i * 1000},{i:08X},false,Rx,0,2,{i:02X},AB,,,,,,," for i in range(40))
        return [(head + "\n".join(lines) + "\n").encode()]


class CanCsv(Importer):
    """python-can's CSV."""

    name = "can-csv"
    share = 300
    words = (*LETTERS, b"timestamp,", b"1e400", b"nan", b"0x1FFFFFFF", b"AAAAAAAAAAA=", b"=")

    def make_seeds(self):
        head = "timestamp,arbitration_id,extended,remote,error,dlc,data\n"
        lines = (f"{i / 100},0x{i:x},{i % 2},0,0,3,qrvM" for i in range(40))
        return [(head + "\n".join(lines) + "\n").encode()]


class CanSqlite(Importer):
    """python-can's SQLite: mutants of a database file, and values of any type in its table."""

    name = "can-sqlite"
    share = 100
    words = (b"messages", b"SQLite format 3\0", bytes(16), b"\xff" * 8, b"CREATE TABLE")
    values = (0, 1, -1, 7, 1 << 40, 1e308, -0.5, None, "x", "1", b"", b"\1\2\3", bytes(80))

    def make_seeds(self):
        good = [(i / 100, i, 0, 0, 0, 3, bytes([i, 1, 2])) for i in range(40)]
        odd = [
            (*good[1][:column], value, *good[1][column + 1 :])
            for column in range(7)
            for value in self.values
        ]
        return [self._file(good), self._file(odd)]

    def _file(self, rows):
        columns = "ts, arbitration_id, extended, remote, error, dlc, data"
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(f"create table messages ({columns})")
            connection.executemany("insert into messages values (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.commit()
            return connection.serialize()


_WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Squeezed(Importer):
    """Text logs in gzip, xz and Zstandard whose bytes were changed after they were packed."""

    name = "squeezed"
    share = 200
    words = (b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", bytes(8))

    def make_seeds(self):
        text = Candump().seeds()[0]
        return [gzip.compress(text, 1, mtime=0), lzma.compress(text), zstandard.compress(text)]

    def _most_frames(self, data):
        return 64 + MAX_EXPANSION * max(len(data), (64 << 20) // MAX_EXPANSION)


class Diagnostics(Target):
    """Frames of ISO-TP as they come, ten bytes each: messages, or a count of what is lost."""

    name = "isotp"
    share = 300
    sources = ("stagelog/decode/isotp.py",)
    words = (b"\x10\x14", b"\x21", b"\x30\0\0", b"\x1f\xff", b"\x10\0\xff\xff\xff\xff")

    def make_seeds(self):
        cut = [b"\x10\x14" + bytes(6), b"\x21" + bytes(7), b"\x22" + bytes(7)]
        one = [b"\x02\x01\x0c" + bytes(5), b"\x03\x7f\x22\x31" + bytes(4)]
        return [b"".join(bytes([k % 5, 8]) + f for k, f in enumerate([*one, *cut, *cut]))]

    def run(self, data):
        n = len(data) // 10
        rows = np.frombuffer(data[: 10 * n], np.uint8).reshape(n, 10)
        frames = np.zeros(n, FRAME)
        frames["can_id"] = np.array([0x7E0, 0x7E8, 0x7DF, 0x7E9, 0x7EF])[rows[:, 0] % 5]
        frames["n_bytes"] = frames["dlc"] = rows[:, 1] % 9
        held = np.arange(8) < frames["n_bytes"][:, None]
        frames["data"] = np.where(held, rows[:, 2:], 0)
        found = summarize([frames])
        if found.n_messages > n or sum(found.services.values()) != found.n_messages:
            raise Violation("D7", f"{found.n_messages} messages out of {n} frames")


class Packed(Importer):
    """Text logs as shells and archives leave them; the first byte of the input chooses how:
    gzip, gzip cut short, UTF-16 in both orders, UTF-8 with a mark.
    """

    name = "packed"
    share = 200

    def make_seeds(self):
        texts = [target().seeds()[0] for target in (Candump, Ascii, Trace, Csv)]
        return [bytes([kind]) + text for text in texts for kind in range(5)]

    def run(self, data):
        kind, text = data[0] % 5 if data else 0, data[1:]
        if kind < 2:
            text = gzip.compress(text, 1, mtime=0)
            text = text[: len(text) // (1 + 2 * kind)]
        elif kind < 4:
            text = text.decode("latin-1")
            text = (
                codecs.BOM_UTF16_LE + text.encode("utf-16-le")
                if kind == 2
                else text.encode("utf-16")
            )
        else:
            text = codecs.BOM_UTF8 + text
        super().run(text)

    def _most_frames(self, data):
        return 64 + MAX_EXPANSION * len(data)


class Mf4(Importer):
    """MF4, which asammdf reads in a process of its own."""

    name = "mf4"
    share = 1
    limit_s = 40  # the child's own limit is 30
    words = (b"##HD", b"##DG", b"##CG", b"##DT", b"##DZ", bytes(8), b"\xff" * 8)

    def make_seeds(self):
        frames = nodes.random_table(40, np.random.default_rng(5))
        frames["t_us"] = np.arange(40) * 1000
        with TemporaryDirectory() as folder:
            path = Path(folder) / "x.mf4"
            with open_frame_sink(path, "mf4", from_epoch=True) as sink:
                sink.write(frames)
            return [path.read_bytes()]
