"""Workers of the lake: the same bytes wherever they are made, and a kill costs one file."""

import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest
from made_archive import load_dbc, store

from stagelog.errors import DeviceError, UsageError
from stagelog.lake import build, decode_archive, stale_sessions
from stagelog.lake import workers as lake_workers
from stagelog.lake.workers import in_processes, workers_of

pytest.importorskip("pyarrow")


@pytest.fixture
def database(tmp_path):
    return load_dbc(tmp_path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "archive"
    for number in range(4):
        store(root, tmp_path, "03", f"SS0{number}", number, n=30_000)
    return root


def content(root):
    """Return {path: bytes} of all tables."""
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.parquet")}


def children():
    return {child.pid for child in multiprocessing.active_children()}


def kill_while(is_due, pids, n_kills, stop):
    """Kill -9 one of the processes that `pids` gives whenever `is_due`, at most n_kills times."""
    killed = set()
    while len(killed) < n_kills and not stop.is_set():
        for pid in sorted(pids() - killed)[:1] if is_due() else []:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.001)


def build_and_kill(root, database, workers, is_due, pids, n_kills=1):
    """Build by workers of which one is killed; return [Decoded]."""
    stop = threading.Event()
    killer = threading.Thread(target=kill_while, args=(is_due, pids, n_kills, stop))
    killer.start()
    try:
        return list(build(root, stale_sessions(root, database, force=True), workers))
    finally:
        stop.set()
        killer.join()


def test_killed_process_costs_its_file_only_and_the_bytes_are_the_same(root, database):
    """Made in this process; then by two others, of which one is killed while it writes."""
    list(decode_archive(root, database))
    expected = content(root)

    def is_writing():
        return any(root.rglob(".session=*.part"))

    done = build_and_kill(root, database, workers_of(None, 2), is_writing, children)
    assert [each.problem for each in done] == [None] * 4
    assert content(root) == expected and len(expected) == 8
    assert not list(root.rglob(".session=*"))


def test_a_file_that_kills_each_worker_is_reported_and_the_next_build_takes_it(root, database):
    """All workers are killed, three for each of four files; what was there before stays."""
    list(decode_archive(root, database))
    expected = content(root)
    always = build_and_kill(
        root, database, workers_of(None, 2), lambda: True, children, n_kills=10_000
    )
    assert len(always) == 4 and all("was killed 3 times" in each.problem for each in always)
    assert content(root) == expected


def test_a_process_that_is_killed_while_it_waits_costs_nothing(root, database):
    found = []
    for each in build(root, stale_sessions(root, database), lambda jobs: in_processes(jobs, 1)):
        found.append(each.problem)
        if len(found) == 1:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            while children():
                time.sleep(0.01)
            time.sleep(0.1)  # the pool hears of it
    assert found == [None] * 4


def test_dask_makes_the_same_bytes_and_survives_a_killed_worker(root, database):
    pytest.importorskip("distributed")
    import psutil

    list(decode_archive(root, database))
    expected = content(root)

    def is_writing():
        return any(root.rglob(".session=*.part"))

    def dask_workers():
        """Return the workers: each is a process that a nanny spawned."""
        found = psutil.Process().children(recursive=True)
        return {each.pid for each in found if "spawn_main" in " ".join(each.cmdline())}

    done = build_and_kill(root, database, workers_of("dask", 2), is_writing, dask_workers)
    assert [each.problem for each in done] == [None] * 4
    assert content(root) == expected


def test_a_scheduler_that_does_not_answer_is_named(root, database, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(lake_workers, "_CONNECT_s", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DeviceError, match=f"no scheduler of Dask answers at {address}"):
        list(build(root, stale_sessions(root, database), workers_of(f"dask:{address}", 2)))


def test_a_port_that_accepts_and_never_answers_is_named(root, database, monkeypatch):
    """Another program listens there. Dask's own time limit does not end this wait."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(lake_workers, "_CONNECT_s", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        began_s = time.monotonic()
        with pytest.raises(DeviceError, match=f"no scheduler of Dask answers at {address}"):
            list(build(root, stale_sessions(root, database), workers_of(f"dask:{address}", 2)))
    assert time.monotonic() - began_s < 10


def test_a_cluster_that_is_none_is_refused():
    with pytest.raises(UsageError, match="--cluster spark; it is dask, or dask:ADDRESS"):
        workers_of("spark", 2)
