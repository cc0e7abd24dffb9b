"""The lake: many generated stages decoded to Parquet, by processes and on Dask.

    python host/benchmarks/bench_lake.py [--stages 200] [--seconds 20] [--json]

Owns the measuring. Each stage is the same drive of the virtual car as a session of its own. Every
build must leave the same bytes, also the one of which a worker is killed: if not, exit code 1.
"""

import argparse
import hashlib
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, show_rows

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.car import drive
from stagelog.dbc import load_database
from stagelog.lake import build, stale_sessions
from stagelog.lake.workers import workers_of
from stagelog.resources import dbc_path

_CARS = 3


def make_archive(root, n_stages, seconds):
    """Store the same drive as `n_stages` sessions of three cars; return (frames, bytes)."""
    frames = drive("stage", seed=1, duration_s=seconds).frames
    n_bytes = 0
    for number in range(n_stages):
        identity = Identity(f"{number % _CARS + 1:016x}", number + 1, number + 1)
        path = root / "made.slog"
        path.write_bytes(pack_session(frames, identity, anchors=[(0, 10**15)]).tobytes())
        n_bytes += path.stat().st_size
        stage = f"SS{number // _CARS:03d}"
        log = read_log(path)
        store_session(log, log.session(), stage_folder(root, "E", f"C{number % _CARS}", stage))
    return len(frames) * n_stages, n_bytes


def digest_of(root):
    """Return the SHA-256 of all tables."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.parquet")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def kill_one(root, killed, stop):
    """Kill a worker while a session is being written."""
    while not stop.wait(0.01):
        if any(root.rglob(".session=*.part")):
            children = psutil.Process().children(recursive=True)
            workers = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
            workers[0].send_signal(signal.SIGKILL)
            killed.append(workers[0].pid)
            return


def measured(root, database, workers, is_killed=False):
    """Build all stages; return (wall seconds, sessions that failed, pids that were killed)."""
    stop, killed = threading.Event(), []
    killer = threading.Thread(target=kill_one, args=(root, killed, stop))
    if is_killed:
        killer.start()
    start = time.perf_counter()
    done = list(build(root, stale_sessions(root, database, force=True), workers))
    passed = time.perf_counter() - start
    stop.set()
    if is_killed:
        killer.join()
    return passed, sum(each.problem is not None for each in done), killed


def rows_of(n_stages, seconds, wrong):
    """Yield the rows; what is not as it must be goes to `wrong`."""
    database = load_database(dbc_path() / "d7xr.dbc")
    builds = [
        ("this process alone", None, False),
        ("two processes", workers_of(None, 2), False),
        ("two processes, one killed", workers_of(None, 2), True),
        ("Dask, two workers", workers_of("dask", 2), False),
        ("Dask, two workers, one killed", workers_of("dask", 2), True),
    ]
    first = None
    digests = set()
    with tempfile.TemporaryDirectory(prefix="bench-lake-") as folder:
        root = Path(folder)
        n_frames, n_bytes = make_archive(root, n_stages, seconds)
        for name, workers, is_killed in builds:
            passed, n_failed, killed = measured(root, database, workers, is_killed)
            first = first or passed
            digests.add(digest_of(root))
            note = f"{n_stages / passed:.1f} stages/s, {n_bytes / passed / 1e6:.0f} MB/s"
            note += f"; {len(killed)} killed" if is_killed else ""
            yield Row(name, n_frames / passed / 1e6, "M frames/s", "this process",
                      n_frames / first / 1e6, first / passed, "", note)  # fmt: skip
            if n_failed or len(digests) > 1 or len(killed) != is_killed:
                wrong.append(f"{name}: {n_failed} failed, {len(digests)} different results")
        started = time.perf_counter()
        n_stale = len(list(stale_sessions(root, database)))
        passed = time.perf_counter() - started
        yield Row("nothing to do", passed, "s", note=f"{n_stages} stages, {n_stale} stale")


def main(args=None):
    """Measure, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stages", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20, help="of driving in each stage")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(args)
    wrong = []
    show_rows(rows_of(options.stages, options.seconds, wrong), "lake", options.as_json)
    for text in wrong:
        print(f"wrong: {text}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
