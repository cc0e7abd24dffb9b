"""The host's figures, each with its peer beside it in the same run.

    python host/benchmarks/bench_host.py [ROW...] [--frames N] [--json] [--log-GB 2]

Owns the measuring; dataset.py makes the data (in .cache/bench). Rates are frames per second of
processor time of this one process, best of several runs, after one run to warm up; a peer that
handles single frames is measured on a part of the data. Nothing is asserted here: the wanted
figure stands beside the measured one.
"""

import argparse
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import dataset
import peers
from starts import start_rows
from table import Row, show_rows

from stagelog.decode import compile_plan, decode, iter_decode
from stagelog.export import McapSink, Mf4SignalSink, ParquetSink, open_frame_sink
from stagelog.importers import stream_frames
from stagelog.importers.asc import read_asc
from stagelog.importers.blf import read_blf
from stagelog.importers.candump import read_candump

CACHE = dataset.CACHE


def rate(function, n_frames, n_runs=3):
    """Return million frames per second of processor time, best of n_runs after one to warm up."""
    function()
    best_s = min(_cpu_s(function) for _ in range(n_runs))
    return n_frames / best_s / 1e6


def _cpu_s(function):
    start_s = time.process_time()
    function()
    return time.process_time() - start_s


def compared(what, ours, peer, theirs, wanted="", note=""):
    """Return a Row of rates."""
    return Row(what, ours, "M frames/s", peer, theirs, ours / theirs, wanted, note)


class Bench:
    """The rows of the table by name, with the data that they share."""

    def __init__(self, n_frames):
        self.n = n_frames
        self.database, self.frames = dataset.load(n_frames)
        self.plan = compile_plan(self.database)

    def rows(self, names):
        """Yield the figures of the given rows."""
        for name in names:
            yield from getattr(self, f"row_{name}")()

    def row_decode(self):
        """Decode to arrays, all signals, against those who do the same."""
        frames, plan = self.frames, self.plan
        ours = rate(lambda: decode(frames, plan), self.n)
        n_values = decode(frames, plan).n_values
        note = f"{n_values:,} values"
        with_asammdf = rate(lambda: peers.asammdf_decode(self.mf4(), self.dbc()), self.n, 1)
        yield compared("decode to arrays", ours, "asammdf", with_asammdf, "8 x", note)
        part = frames[:200_000]
        single = rate(lambda: peers.cantools_decode(part, self.database.cantools), len(part), 1)
        yield compared("decode to arrays", ours, "cantools", single, "40 x")
        lazy = rate(lambda: peers.polars_decode(frames, self.database), self.n, 2)
        yield compared("decode to arrays", ours, "polars expressions", lazy)
        raw = rate(lambda: decode(frames, plan, "raw"), self.n)
        yield Row("decode to arrays, raw integers", raw, "M frames/s")
        few = compile_plan(self.database, plan.messages[0].columns[:2] + plan.messages[5].columns)
        some = rate(lambda: decode(frames, few), self.n)
        yield Row(f"decode {few.n_signals} of {plan.n_signals} signals", some, "M frames/s")

    def row_right(self):
        """How many signals come out wrong, by cantools, in the first 60,000 frames."""
        part = self.frames[:60_000]
        oracle = peers.cantools_columns(part, self.database.cantools)
        decoded = decode(part, self.plan, "raw")
        ours = sum(
            not np.array_equal(decoded[m].signals[s], values) for (m, s), values in oracle.items()
        )
        theirs = peers.asammdf_columns(self.mf4(len(part)), self.dbc(), oracle)
        wrong = sum(
            not np.array_equal(theirs.get(name), values) for (_, name), values in oracle.items()
        )
        yield Row(
            "signals decoded wrongly", ours, f"of {len(oracle)}", "asammdf", wrong, None, "0"
        )

    def row_batch(self):
        """A live view: 100 ms of the bus at a time."""
        n = dataset.RATE_Hz // 10
        batches = [self.frames[k * n : (k + 1) * n] for k in range(200)]
        for batch in batches[:20]:
            decode(batch, self.plan)
        times_s = sorted(_cpu_s(lambda b=b: decode(b, self.plan)) for b in batches)
        yield Row(
            "decode a batch of 100 ms, median", times_s[100] * 1e3, "ms", wanted="under 1 ms"
        )

    def row_slog(self):
        """Our log with every CRC checked: to arrays, to Parquet."""
        path = self.slog()
        ours = rate(lambda: peers.consume(self.decoded_of(path, "phys")), self.n, 2)
        theirs = rate(lambda: peers.asammdf_decode(self.mf4(), self.dbc(), fresh=True), self.n, 1)
        yield compared(
            "our log, CRC checked, to all arrays", ours, "asammdf from MF4", theirs, "4 x"
        )
        folder = CACHE / "out"
        for form, wanted in (("archive", "5 M frames/s, 8 B a frame"), ("tool", "")):
            speed = rate(lambda form=form: self.to_parquet(path, folder, form), self.n, 2)
            n_bytes = sum(p.stat().st_size for p in folder.glob("*.parquet"))
            note = f"{n_bytes / 1e6:.1f} MB, {n_bytes / self.n:.2f} B a frame"
            yield Row(
                f"our log to Parquet, form {form}", speed, "M frames/s", wanted=wanted, note=note
            )

    def row_read(self):
        """Logs of others."""
        readers = (("candump", read_candump, 12), ("blf", read_blf, 10), ("asc", read_asc, 10))
        for kind, read, n_wanted in readers:
            path = self.log(kind, min(self.n, 1_000_000))
            n = min(self.n, 1_000_000)
            ours = rate(lambda read=read, path=path: read(path), n)
            part = self.log(kind, 100_000)
            theirs = rate(lambda part=part: peers.python_can_read(part), 100_000, 1)
            yield compared(f"read {kind}", ours, "python-can", theirs, f"{n_wanted} x")

    def row_write(self):
        """Frames and signals out."""
        part = self.frames[:500_000].copy()
        part["t_us"] += 1_700_000_000_000_000
        small = part[:50_000]
        messages = peers.python_can_messages(small)
        for kind, wanted in (("candump", ""), ("blf", ""), ("asc", "10 x")):  # TRC is python-can
            path = CACHE / f"write.{kind}"
            ours = rate(lambda k=kind, p=path: self.write(k, p, part), len(part), 1)
            theirs = rate(
                lambda k=kind, p=path: peers.python_can_write(k, p, messages), len(small), 1
            )
            yield compared(f"write {kind}", ours, "python-can", theirs, wanted)
        path = CACHE / "write.out"
        ours = rate(
            lambda: self.export(partial(Mf4SignalSink, from_epoch=True), path, part), len(part), 1
        )
        size = path.stat().st_size / len(part)
        yield Row("write MF4 signals", ours, "M frames/s", note=f"{size:.1f} B a frame")
        ours = rate(lambda: self.export(McapSink, path, part), len(part), 1)
        note = f"0.9 M frames/s wanted; {path.stat().st_size / len(part):.1f} B a frame"
        decoded = decode(small, self.plan)
        theirs = rate(lambda: peers.mcap_write(path, decoded), len(small), 1)
        yield compared("write MCAP", ours, "mcap's own writer", theirs, "10 x", note)

    def row_start(self):
        """What a user waits for before anything happens: whole processes, their imports too."""
        yield from start_rows(CACHE)

    def row_lateness(self):
        """Replay beside python-can's player."""
        from bench_replay import lateness_rows

        yield from lateness_rows(3, 3)

    def row_archive(self):
        """One signal out of an archive beside polars."""
        from bench_replay import archive_rows

        yield from archive_rows()

    def row_memory(self):
        """Peak memory of a large log to Parquet, in a process of its own."""
        yield from measure_memory(int(os.environ.get("BENCH_LOG_GB", "2")), self.dbc())

    def dbc(self):
        return CACHE / "race.dbc"

    def slog(self):
        return made(CACHE / f"frames_{self.n}.slog", lambda p: peers.write_slog(p, self.frames))

    def mf4(self, n=None):
        n = n or self.n
        return made(CACHE / f"frames_{n}.mf4", lambda p: peers.write_mf4(p, self.frames[:n]))

    def log(self, kind, n):
        part = self.frames[:n].copy()
        part["t_us"] += 1_700_000_000_000_000
        return made(CACHE / f"frames_{n}.{kind}", lambda p: self.write(kind, p, part))

    def write(self, kind, path, frames):
        """Write frames by our writer of a kind."""
        with open_frame_sink(path, kind, ("can0",), overwrite=True, from_epoch=True) as sink:
            for at in range(0, len(frames), 100_000):
                sink.write(frames[at : at + 100_000])

    def export(self, make, path, frames):
        with make(path, overwrite=True) as sink:
            for at in range(0, len(frames), 100_000):
                sink.write(decode(frames[at : at + 100_000], self.plan, sink.mode))

    def decoded_of(self, path, mode):
        return iter_decode(stream_frames(path), self.plan, mode)

    def to_parquet(self, path, folder, form):
        with ParquetSink(folder, form, database=self.database, overwrite=True) as sink:
            for decoded in self.decoded_of(path, sink.mode):
                sink.write(decoded)


def made(path, make):
    """Return a file of the cache, made first if it is not there."""
    if not path.exists():
        part = path.with_name(f"{os.getpid()}-{path.name}")
        make(part)
        part.replace(path)
    return path


def measure_memory(n_GB, dbc):
    """Yield the row of peak memory and its rate."""
    path = made(CACHE / f"large_{n_GB}.slog", lambda p: peers.write_large_slog(p, n_GB))
    command = [sys.executable, "-c", LARGE, str(dbc), str(path), str(CACHE / "out_large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n, cpu_s, anonymous_MB, peak_MB = map(float, done.stdout.split())
    note = f"{n / 1e6:.0f} M frames, {n / cpu_s / 1e6:.1f} M frames/s; {peak_MB:.0f} MB with the "
    note += "pages of the mapped log, which the system takes back when it needs them"
    what = f"peak memory of its own, {n_GB} GB log to Parquet"
    yield Row(what, anonymous_MB, "MB", wanted="under 500", note=note)


# the child of measure_memory: looks at its own anonymous memory every 5 ms
LARGE = """
import resource, sys, threading, time
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, iter_decode
from stagelog.export import ParquetSink
from stagelog.importers import stream_frames

peak_kB, is_over = 0, False

def watch():
    global peak_kB
    while not is_over:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("RssAnon"):
                    peak_kB = max(peak_kB, int(line.split()[1]))
        time.sleep(0.005)

thread = threading.Thread(target=watch)
thread.start()
plan = compile_plan(load_database(sys.argv[1]))
start_s, n = time.process_time(), 0
with ParquetSink(sys.argv[3], "archive", overwrite=True) as sink:
    for decoded in iter_decode(stream_frames(sys.argv[2]), plan, sink.mode):
        n += decoded.n_frames
        sink.write(decoded)
cpu_s = time.process_time() - start_s
is_over = True
thread.join()
maximum_kB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(n, cpu_s, peak_kB / 1024, maximum_kB / 1024)
"""


ROWS = (
    "decode",
    "right",
    "batch",
    "slog",
    "read",
    "write",
    "start",
    "lateness",
    "archive",
    "memory",
)


def main(args=None):
    """Measure the rows asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all but memory")
    parser.add_argument("--frames", type=int, default=5_000_000)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(args)
    names = options.rows or [name for name in ROWS if name != "memory"]
    rows = Bench(options.frames).rows(names)
    show_rows(rows, "host", options.as_json)


if __name__ == "__main__":
    main()
