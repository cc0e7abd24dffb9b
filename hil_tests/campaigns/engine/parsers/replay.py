"""The parser campaign on MicroPython: inputs of the targets that are the logger's own parsers.

MicroPython, with a heap like the car's, and CPython run the same script over the same inputs; what
each takes, refuses and counts must be the same (settings: each must be one of the two; their JSON
parsers differ). Owns the script; the inputs are the campaign's, by chance and by coverage.
"""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from campaigns.engine.parsers import campaign
from campaigns.engine.results import Finding
from stagelog.resources import firmware_path

NAMES = ("framing", "messages", "settings", "signal-table")
_SLICE = 20_000
_HEAPS = {"unix64": "380k", "unix32": "190k"}  # what the car has; twice with pointers of 64 bits
_EVERY = 200  # inputs after which the script says what it has so far

SCRIPT = """
import binascii, struct, sys
from slog import messages as m
from slog import signal_table
from slog.framing import Receiver
from slog.settings import load

crc = 0
counts = [0, 0]
tables = [table for row in m.MESSAGES for table in row[2:]]

def take(kind, request, payload):
    global crc
    counts[0] += 1
    crc = binascii.crc32(bytes([kind, request]) + bytes(payload), crc)

def framing(data):
    receiver = Receiver()
    receiver.feed(data, take)
    counts[1] += receiver.n_bad

def messages(data):
    global crc
    table = tables[data[0] % len(tables)] if data else ()
    try:
        values, rest = m.parse(table, data[1:])
    except m.MessageError:
        counts[1] += 1
        return
    counts[0] += 1
    again = m.build(table, values, rest)
    if again != data[1:]:
        raise AssertionError("parses to something else")
    crc = binascii.crc32(again, crc)

def settings(data):
    try:
        load(data)
    except ValueError:
        counts[1] += 1

def signals(data):
    global crc
    sealed = data[:-4] + struct.pack("<I", binascii.crc32(data[:-4]))
    for table in (data, sealed):
        try:
            loaded = signal_table.load(table)
        except signal_table.TableError:
            counts[1] += 1
            continue
        counts[0] += 1
        for tag in sorted(loaded[1]):
            crc = binascii.crc32(bytes(loaded[1][tag]), crc)

run = {"framing": framing, "messages": messages, "settings": settings, "signal-table": signals}
run = run[sys.argv[1]]
n = 0
with open(sys.argv[2], "rb") as stream:
    while True:
        head = stream.read(4)
        if len(head) < 4:
            break
        size = struct.unpack("<I", head)[0]
        run(stream.read(size))
        n += 1
        if n % int(sys.argv[3]) == 0:
            print(n, crc, counts[0], counts[1])
print(n, crc, counts[0], counts[1])
"""


def run(tally, n_executions, runtimes, corpora=None, names=NAMES, keep=lambda: None):
    """Continue a Tally until each runtime has taken n_executions, in parts by target.

    runtimes  {"unix64": path, "unix32": path}, or one of them
    corpora   folder of parser_guided; its inputs are taken first
    """
    for name in names:
        goal = n_executions // len(names)
        for label, binary in runtimes.items():
            kind = f"{name}, {label}"
            while tally.states[kind] < goal:
                first = tally.states[kind]
                kept = _kept(corpora, name) if first == 0 else []
                n = min(_SLICE, goal - first)
                with TemporaryDirectory(dir=campaign.memory_folder()) as folder:
                    target = campaign.prepared(name, Path(folder))
                    made = [campaign.input_of(target, tally.seed, first + i) for i in range(n)]
                    _replay(tally, kind, binary, [*kept, *made][:n], Path(folder), first)
                keep()


def _kept(corpora, name):
    folder = Path(corpora or "") / "corpus" / name
    if corpora is None or not folder.is_dir():
        return []
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def _replay(tally, kind, binary, inputs, folder, first):
    name, label = kind.split(", ")
    start = time.monotonic()
    said, error = take(name, label, binary, inputs, folder)
    tally.add_seconds(kind, time.monotonic() - start)
    want, _ = _script([sys.executable], name, folder)
    tally.states[kind] += len(inputs)
    if error:
        tally.add(Finding("D1", f"{kind} from {first}", kind, error))
    elif name != "settings" and said != want:
        pairs = zip(said, want, strict=False)
        at = next((i for i, (mine, other) in enumerate(pairs) if mine != other), len(want))
        text = f"another result than CPython's within {_EVERY} inputs of {first + at * _EVERY}"
        tally.add(Finding("D6", f"{kind} from {first}", kind, text))


def take(name, label, binary, inputs, folder):
    """Give inputs to a target on the MicroPython of a label; return (lines it said, its error)."""
    with open(folder / "inputs", "wb") as stream:
        for data in inputs:
            stream.write(struct.pack("<I", len(data)) + data)
    return _script([os.fspath(binary), "-X", f"heapsize={_HEAPS[label]}"], name, folder)


def _script(command, name, folder):
    """Return (lines that the script said, last line of its error or "")."""
    path = str(firmware_path())
    script = folder / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [*command, script, name, folder / "inputs", str(_EVERY)],
        env=dict(os.environ, MICROPYPATH=path, PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [], (done.stderr or done.stdout).strip().splitlines()[-1]
    return done.stdout.splitlines(), ""
