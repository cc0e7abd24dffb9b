"""What the parser campaign fuzzes: each target has seeds and says what its parser must not do.

`run` raises Violation for a broken promise; any other exception that leaves it is one too. Targets
write into the folder that `prepare` is given and nowhere else. The logger's parsers run here as
they are on the car.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np

from logger.settings import load as load_settings
from slog import messages as m
from slog import signal_table
from slog.framing import MAX_WIRE, Receiver, frame
from slog.layout import BLOCK_BYTES

from ...archive import hive_value, load_manifest, safe_name, stage_folder
from ...archive.names import is_safe_name
from ...blocks import read_log
from ...blocks.placement import Identity
from ...blocks.writer import pack_session
from ...dbc import load_database
from ...errors import InputError
from ...importers import load_frames
from ...ledger import account, describe
from .. import nodes
from .bench import Bench

_LETTERS = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b'"',
    b"'",
    b";",
    b":",
    b",",
    b"-1",
    b"1e308",
    b"\xff\xfe",
)


class Violation(Exception):
    """A promise is broken: which, and how."""

    def __init__(self, invariant, text):
        super().__init__(text)
        self.invariant = invariant


class Target:
    """One parser. `words` are pieces of its format that mutations insert."""

    name = ""
    words = ()

    def __init__(self):
        self._seeds = None
        self.path = None

    def prepare(self, folder):
        """Take a folder to write to."""
        self.path = folder / f"{self.name}.in"

    def seeds(self):
        """Return good inputs (bytes)."""
        if self._seeds is None:
            self._seeds = self.make_seeds()
        return self._seeds


def sample_session(n=700, seed=5):
    """Return the blocks of a small session as bytes."""
    rng = np.random.default_rng(seed)
    frames = nodes.random_table(n, rng)
    frames["dlc"] = np.minimum(frames["dlc"], 8)
    frames["t_us"] = np.cumsum(rng.integers(100, 1500, n))
    return pack_session(frames, Identity("53494d3030303031", 7, 0x1234567)).tobytes()


class Blocks(Target):
    """The block reader and the ledger: what comes out was in the file, damage is told."""

    name = "blocks"
    words = (b"SL\x01\xfc", b"STAGELOG extent\n")

    def make_seeds(self):
        return [sample_session()]

    def prepare(self, folder):
        super().prepare(folder)
        self.path.write_bytes(self.seeds()[0])
        self._truth = self._blocks(read_log(self.path))

    def run(self, data):
        self.path.write_bytes(data)
        try:
            log = read_log(self.path)
        except InputError:
            return
        found = self._blocks(log)
        false = found.keys() - self._truth.keys()
        if false:
            raise Violation("D6", f"{len(false)} blocks that never were")
        if any(found[key] != self._truth[key] for key in found):
            raise Violation("D6", "a block has other frames than it had")
        for session in log.sessions:
            ledger = account(session, log.damaged)
            [describe(gap) for gap in ledger.gaps]
        whole = len(found) == len(self._truth) and len(data) == len(self.seeds()[0])
        if whole and not log.damaged and not self._same_where_used(data):
            raise Violation("D7", "changed bytes in use, and nothing is reported")

    def _blocks(self, log):
        found = {}
        for session in log.sessions:
            ends = np.cumsum(session.scan.n_frames.sum(1))
            pieces = np.split(session.read_frames(), ends[:-1])
            for seq, piece in zip(session.headers["seq"].tolist(), pieces, strict=True):
                found[session.identity, seq] = piece.tobytes()
        return found

    def _same_where_used(self, data):
        good = self.seeds()[0]
        for at in range(0, len(good), BLOCK_BYTES):
            end = at + 64 + 16 * good[at + 3]
            if data[at:end] != good[at:end]:
                return False
        return True


class Framing(Target):
    """The receiver and all messages: only whole frames come out, every payload parses or is
    refused.
    """

    name = "framing"
    words = (b"\0", b"\0\0", b"\xff" * 255)

    def make_seeds(self):
        wires = [
            frame(kind | side, 7, m.build(table, {}, b"xyz"))
            for kind, _, request, reply in m.MESSAGES
            for side, table in ((0, request), (m.REPLY, reply))
        ]
        return [*wires, b"".join(wires), frame(1, 1, bytes(range(256)) * 16)]

    def run(self, data):
        got = []
        receiver = Receiver()
        receiver.feed(data, lambda kind, n, payload: got.append((kind, n, bytes(payload))))
        for kind, n, payload in got:
            if frame(kind, n, payload)[1:-1] not in data and len(payload) < 250:
                raise Violation("D7", f"frame {kind} was not on the wire")
            for row in m.MESSAGES:
                for table in row[2:]:
                    try:
                        values, rest = m.parse(table, payload)
                    except m.MessageError:
                        continue
                    if m.build(table, values, rest) != payload:
                        raise Violation("D7", f"{row[1]} parses to something else")
        if receiver.n_bad > data.count(0):
            raise Violation("D2", "more bad frames than ends of frames")
        if len(receiver._buf) != MAX_WIRE:
            raise Violation("D3", "the receiver has grown")
        after = []
        receiver.feed(b"\0" + frame(5, 6, b"after"), lambda *a: after.append(bytes(a[2])))
        if after[-1:] != [b"after"]:
            raise Violation("D5", "a good frame behind garbage is lost")


class Service(Target):
    """The logger's service: no exception leaves it, nothing is erased, recording goes on.

    The input is a list of (type, payload): each is sent as a frame with a right CRC, or with a
    wrong one where the length byte's top bit is set.
    """

    name = "service"
    words = tuple(struct.pack("<BB", row[0], 0) for row in m.MESSAGES)

    def make_seeds(self):
        calls = []
        for kind, _, request, _ in m.MESSAGES:
            values = {"boot": 1, "n": 64, "position": 3, "n_blocks": 3, "first_seq": 1, "on": 1}
            values.update(device_id=b"WITNESS1", contract=m.contract_hash(), total=3)
            payload = m.build(request, values)
            calls.append(bytes([kind, len(payload)]) + payload)
        stop = m.build(m.CONTROL_REQUEST, {"action": m.CONTROL_STOP, "boot": 1})
        item = b'{"car":"\\ud800"}'
        config = {"item": 0, "total": len(item), "crc": zlib.crc32(item)}
        config = m.build(m.CONFIG_SET_REQUEST, config, item)
        stops = bytes([m.CONTROL, len(stop)]) + stop
        sets = bytes([m.CONFIG_SET, len(config)]) + config
        calls.append(sets)
        many = b"".join(calls) * 5
        return [many, stops + many, stops * 3 + sets + many, *calls]

    def run(self, data):
        bench = Bench(5, 40)
        bench.power_on()
        bench.run_ms(700)
        store = bench.app.store
        blocks = dict(bench.card.sectors)
        at = 0
        for _ in range(60):
            if at + 2 > len(data):
                break
            kind, n = data[at], data[at + 1]
            wire = frame(kind, at & 255, data[at + 2 : at + 2 + (n & 127)])
            if n & 128:
                wire = wire[:3] + b"\x55" + wire[4:]
            bench.write(wire)
            bench.run_ms(3)
            at += 2 + (n & 127)
        bench.run_ms(50)
        if store.extent.released_seq > 1 or store.release_waits:
            raise Violation("L17", "a session was erased")
        if any(bench.card.sectors.get(place) != block for place, block in blocks.items()):
            raise Violation("L1", "a stored block was changed")
        bench.cable.host_read()
        bench.run_ms(20)
        if bench.link.status()["n_buses"] != 1:
            raise Violation("D1", "the service does not answer any more")

    @staticmethod
    def frames_in(data):
        """Return how many frames an input sends, 60 at most."""
        at = n = 0
        while at + 2 <= len(data) and n < 60:
            at += 2 + (data[at + 1] & 127)
            n += 1
        return n


class Configuration(Target):
    """What the logger is told by cable: settings and signal table are taken or refused."""

    name = "configuration"
    words = (b"{", b"[", b"null", b'"buses"', b"\\ud800", b"[" * 500, b"1e400", b"SLST")

    def make_seeds(self):
        settings = {"car": "C03", "flush_ms": 250, "buses": [{"bitrate_bps": 500000, "ids": [1]}]}
        rows = {tag: [[0] * len(names)] for tag, names in signal_table.COLUMNS.items()}
        return [json.dumps(settings).encode(), signal_table.pack(0, rows)]

    def run(self, data):
        try:
            load_settings(data)
        except ValueError:  # SettingsError, or half a character: the service refuses both
            pass
        sealed = data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))
        for table in (data, sealed):
            try:
                signal_table.load(table)
            except signal_table.TableError:
                pass


class Importer(Target):
    """A log of another maker: frames and diagnostics, or one error that names the file."""

    def run(self, data):
        self.path.write_bytes(data)
        try:
            log = load_frames(self.path)
        except InputError as error:
            if str(self.path) not in str(error):
                raise Violation("D1", f"the error does not name the file: {error}") from None
            return
        frames = log.frames
        if len(frames) > 64 + len(data):
            raise Violation("D4", f"{len(frames)} frames out of {len(data)} bytes")
        if log.diagnostics.n_frames != len(frames):
            raise Violation("D7", "the diagnostics count other frames")
        if (frames["n_bytes"] > 64).any() or (frames["can_id"] >= 1 << 29).any():
            raise Violation("D7", "a frame that cannot be")
        json.dumps(log.diagnostics.to_json())


class Candump(Importer):
    """candump text."""

    name = "candump"
    words = (*_LETTERS, b"(", b")", b"#", b"##", b"can0", b" 1FFFFFFF#R8\n", b"(1.0) can0 1#1\n")

    def make_seeds(self):
        lines = (
            f"(1700000000.{i:06d}) can{i % 2} {i * 37:03X}#{'AB' * (i % 9)}" for i in range(40)
        )
        more = "(1.5) can0 123##1AABB\n(1.6) can0 12345678#R\n(1.7) vcan0 1#R8\n"
        return [("\n".join(lines) + "\n" + more).encode()]


class Ascii(Importer):
    """Vector ASC text."""

    name = "asc"
    words = (*_LETTERS, b"base hex", b"Rx", b"CANFD", b"ErrorFrame", b"   9.9 1 1FFx Rx d 8 ")

    def make_seeds(self):
        head = "date Fri Nov 20 10:00:00.000 am 2026\nbase hex  timestamps absolute\n"
        lines = (f"   {i / 100:.6f} 1  {i * 3:X}x  Rx   d 2 {i:02X} AB" for i in range(1, 40))
        return [(head + "internal events logged\n" + "\n".join(lines) + "\n").encode()]


class Trace(Importer):
    """PCAN TRC text."""

    name = "trc"
    words = (*_LETTERS, b";$FILEVERSION=1.1\n", b";$STARTTIME=1e99\n", b"Rx", b"RTR", b"Warng")

    def make_seeds(self):
        head = ";$FILEVERSION=1.1\n;$STARTTIME=44000.5\n;   Message Number\n"
        lines = (f"{i:6d})  {i * 1.5:10.1f}  Rx   {i:04X}  2  {i:02X} AB" for i in range(1, 40))
        return [(head + "\n".join(lines) + "\n").encode()]


class Binary(Importer):
    """Vector BLF."""

    name = "blf"
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
    words = (*_LETTERS, b"true", b"false", b"99999999999999999999", b"Time Stamp,ID,")

    def make_seeds(self):
        head = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
        lines = (f"{i * 1000},{i:08X},false,Rx,0,2,{i:02X},AB,,,,,,," for i in range(40))
        return [(head + "\n".join(lines) + "\n").encode()]


class Dbc(Target):
    """The DBC loader: a database with its defects, or one error."""

    name = "dbc"
    words = (*_LETTERS, b"BO_ ", b"SG_ ", b"VAL_ ", b"CM_ ", b"BA_ ", b"M", b"m0", b"@1+", b"|")

    def make_seeds(self):
        return [_DBC.encode(), _DBC.replace("\n", "\r\n").encode("cp1252")]

    def prepare(self, folder):
        super().prepare(folder)
        self.path = folder / "x.dbc"

    def run(self, data):
        self.path.write_bytes(data)
        try:
            database = load_database(self.path)
        except InputError as error:
            if str(self.path) not in str(error):
                raise Violation("D1", f"the error does not name the file: {error}") from None
            return
        if not database.messages:
            raise Violation("D7", "a database of nothing")
        names = [message.name for message in database.messages]
        if len(set(names)) != len(names):
            raise Violation("D8", "two messages with one name")
        list(map(str, database.defects))


_DBC = """VERSION "1"
NS_ :
BS_:
BU_: ECU DASH
BO_ 291 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.01,0) [0|655.35] "km/h" DASH
 SG_ Temp : 23|8@0- (1,-40) [-40|215] "\xb0C" DASH
BO_ 2566844672 Mux: 8 ECU
 SG_ Which M : 0|4@1+ (1,0) [0|15] "" DASH
 SG_ A m0 : 8|8@1+ (1,0) [0|255] "" DASH
 SG_ B m1 : 8|8@1+ (1,0) [0|255] "" DASH
CM_ SG_ 291 Speed "speed";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 291 10;
VAL_ 291 Temp 0 "cold" 1 "hot" ;
"""


class Archive(Target):
    """The manifest and the names of the archive: nothing leaves its folder."""

    name = "archive"
    words = (
        b"../",
        b"C:\\\\",
        b"\\u0000",
        b"con",
        b"\\u202e",
        b"~",
        b"/etc/x.slog",
        b"NaN",
        b"{}",
    )

    def make_seeds(self):
        entry = {"file": "a-1-2.slog", "sha256": "0" * 64, "n_bytes": 4096, "device_id": "00" * 8}
        entry |= {"boot": 1, "nonce": 2, "first_seq": 1, "n_blocks": 1, "complete": True}
        text = json.dumps({"schema": "stagelog.manifest/1", "sessions": [entry, entry]})
        return [text.encode(), b"../../etc/passwd", b"CON.slog", "Stage \u202e 3/4".encode()]

    def prepare(self, folder):
        self.path = folder / "archive"
        self.path.mkdir(exist_ok=True)

    def run(self, data):
        (self.path / "manifest.json").write_bytes(data)
        root = self.path.resolve()
        try:
            entries = load_manifest(self.path)
        except InputError:
            entries = []
        for entry in entries:
            if entry.path.resolve().parent != root:
                raise Violation("D11", f"{entry.path} is outside {root}")
        text = data.decode("utf-8", "replace")
        parts = (text, text[::-1], text[: len(text) // 2])
        folder = stage_folder(root, *parts).resolve()
        if folder.parents[2] != root:
            raise Violation("D11", f"{folder} is outside {root}")
        for part in parts:
            name = safe_name(part)
            if not is_safe_name(name) or Path(name).name != name or not 0 < len(name) <= 64:
                raise Violation("D11", f"{name!r} is no safe name")
            value = hive_value("car", part)
            if value[0].isdigit() or len(value) > 64 or not is_safe_name(value):
                raise Violation("D11", f"{value!r} reads as a number, or is no safe name")


TARGETS = {
    target.name: target
    for target in (
        Blocks,
        Framing,
        Service,
        Configuration,
        Candump,
        Ascii,
        Trace,
        Binary,
        Csv,
        Dbc,
        Archive,
    )
}
