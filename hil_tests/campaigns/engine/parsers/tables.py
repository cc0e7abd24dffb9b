"""Targets of the parser campaign: settings, signal tables, DBC, manifests, names."""

import json
import os
import struct
import zlib
from pathlib import Path

from campaigns.engine.parsers.target import LETTERS, Target, Violation
from slog import signal_table
from slog.settings import DEFAULTS
from slog.settings import load as load_settings
from stagelog.archive import hive_value, load_manifest, stage_folder
from stagelog.dbc import load_database
from stagelog.errors import InputError
from stagelog.platform.names import is_safe_name, safe_name


class Settings(Target):
    """The settings that the logger is given by cable: taken whole, or refused by a ValueError."""

    name = "settings"
    share = 17_000
    sources = ("slog/settings.py",)
    words = (b"{", b"[", b"null", b'"buses"', b"\\ud800", b"[" * 500, b"1e400", b"true", b"-1")

    def make_seeds(self):
        buses = [{"bitrate_bps": 500000, "ids": [1, 2047]}, {"bitrate_bps": 125000, "ids": None}]
        settings = {"car": "C03", "flush_ms": 250, "when_full": "stop", "buses": buses}
        texts = [json.dumps(settings), json.dumps({"buses": buses[:1]}), "{}"]
        return [text.encode() for text in texts]

    def run(self, data):
        try:
            settings = load_settings(data)
        except ValueError:  # SettingsError, or half a character: the service refuses both
            return
        buses = settings["buses"]
        if not (10 <= settings["flush_ms"] <= 10000 and 1 <= len(buses) <= 2):
            raise Violation("D7", f"settings that cannot be: {settings}")
        if settings["when_full"] not in ("stop", "overwrite") or set(settings) != set(DEFAULTS):
            raise Violation("D7", f"settings that cannot be: {settings}")
        for bus in buses:
            if any(not 0 <= can_id < 1 << 29 for can_id in bus.get("ids") or ()):
                raise Violation("D7", f"an identifier that cannot be: {bus}")


class SignalTable(Target):
    """The signal table that the logger is given: used as it stands, or refused; never large."""

    name = "signal-table"
    share = 16_000
    sources = ("slog/signal_table.py",)
    words = (b"SLST",)

    def make_seeds(self):
        rows = {tag: [[0] * len(names)] for tag, names in signal_table.COLUMNS.items()}
        more = {tag: [[tag] * len(names)] * 3 for tag, names in signal_table.COLUMNS.items()}
        return [signal_table.pack(0, rows), signal_table.pack(1, more)]

    def run(self, data):
        sealed = data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))
        for table in (data, sealed):
            try:
                _, sections = signal_table.load(table)
            except signal_table.TableError:
                continue
            if sum(map(len, sections.values())) * 4 > len(table):
                raise Violation("D4", "more values than there are bytes")
            if sections.keys() != signal_table.COLUMNS.keys():
                raise Violation("D7", "a table without all its sections")


class Dbc(Target):
    """The DBC loader: a database with its defects, or one error."""

    name = "dbc"
    share = 300
    sources = ("stagelog/dbc/*.py",)
    words = (*LETTERS, b"BO_ ", b"SG_ ", b"VAL_ ", b"CM_ ", b"BA_ ", b"M", b"m0", b"@1+", b"|")

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


class Manifest(Target):
    """The manifest of an archive: nothing it names is outside of its folder."""

    name = "manifest"
    share = 4_000
    sources = ("stagelog/archive/*.py",)
    words = (b"../", b"C:\\\\", b"\\u0000", b"con", b"\\u202e", b"/etc/x.slog", b"NaN", b"{}")

    def make_seeds(self):
        entry = {"file": "a-1-2.slog", "sha256": "0" * 64, "n_bytes": 4096, "device_id": "00" * 8}
        entry |= {"boot": 1, "nonce": 2, "first_seq": 1, "n_blocks": 1, "complete": True}
        other = {**entry, "file": "b-1-2.slog"}
        return [
            json.dumps({"schema": "stagelog.manifest/1", "sessions": sessions}).encode()
            for sessions in ([entry, other], [entry])
        ]

    def prepare(self, folder):
        self.path = folder / "archive"
        self.path.mkdir(exist_ok=True)

    def run(self, data):
        (self.path / "manifest.json").write_bytes(data)
        try:
            entries = load_manifest(self.path)
        except InputError as error:
            if str(self.path) not in str(error):
                raise Violation("D1", f"the error does not name the file: {error}") from None
            return
        root = self.path.resolve()
        for entry in entries:
            if entry.path.resolve().parent != root:
                raise Violation("D11", f"{entry.path} is outside {root}")


class Names(Target):
    """Names from users and loggers: what is made of them is safe on every system."""

    name = "names"
    share = 7_700
    sources = ("stagelog/archive/names.py", "stagelog/platform/names.py")
    words = (b"../", b"C:\\", b"\0", b"con", b"CON.", b"\xe2\x80\xae", b"~", b"nan", b"_", b".")

    def make_seeds(self):
        texts = ("../../etc/passwd", "CON.slog", "Stage \u202e 3/4", "aux" + "_" * 70, "0x10")
        return [text.encode() for text in texts]

    def run(self, data):
        root = Path("/archive")
        text = data.decode("utf-8", "replace")
        parts = (text, text[::-1], text[: len(text) // 2])
        folder = Path(os.path.normpath(stage_folder(root, *parts)))
        if folder.parents[2] != root:
            raise Violation("D11", f"{folder} is outside {root}")
        for part in parts:
            name = safe_name(part)
            if not is_safe_name(name) or Path(name).name != name or not 0 < len(name) <= 64:
                raise Violation("D11", f"{name!r} is no safe name")
            value = hive_value("car", part)
            if value[0].isdigit() or len(value) > 64 or not is_safe_name(value):
                raise Violation("D11", f"{value!r} reads as a number, or is no safe name")
