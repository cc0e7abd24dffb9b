"""Workers that decode for stagelog.lake.build: processes on this machine, or a cluster of Dask.

A worker that is killed costs its file only: the file is given to another worker, at most
TRIES times in all, and reported then; the other files go on. Coming and going of workers leaves
the bytes of the files as they are. Fails with UsageError (Dask is not installed, a name that is no
cluster), DeviceError (no scheduler answers).
"""

import asyncio
import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from stagelog.errors import DeviceError, UsageError
from stagelog.extras import need
from stagelog.lake.build import Job, Outcome, Workers, work

TRIES = 3
# Of logs, below which processes take longer to start than they save: a worker's start takes some
# 2.5 s of a processor, a MB 0.07 s, so that two of them save 0.035 s a MB ('tools/bench lake').
PROCESSES_FROM_BYTES = 64_000_000
_CONNECT_s = 10
_KILLED = f"its worker was killed {TRIES} times: is there enough memory? Repeat the command"


def workers_of(cluster: str | None, n: int) -> Workers:
    """Return `n` workers: processes, or what `cluster` names: dask (on this machine) or
    dask:ADDRESS.
    """
    if cluster is None:
        return lambda jobs: in_processes(jobs, n)
    kind, _, address = cluster.partition(":")
    if kind != "dask":
        raise UsageError(f"--cluster {cluster}", "it is dask, or dask:ADDRESS of a scheduler")
    need("distributed", "cluster")
    return lambda jobs: on_dask(jobs, n, address)


class _Lane(NamedTuple):
    """A process of its own, so that its death breaks no other; the job that it does."""

    pool: ProcessPoolExecutor
    job: Job
    n_tries: int


def in_processes(jobs: Sequence[Job], n: int) -> Iterator[tuple[Job, Outcome]]:
    """Yield (Job, Outcome) of each job as it ends, done by `n` processes."""
    left = deque((job, 1) for job in jobs)
    lanes: dict[Future[Outcome], _Lane] = {}
    idle: list[ProcessPoolExecutor] = []
    try:
        while left or lanes:
            while left and len(lanes) < n:
                job, n_tries = left.popleft()
                pool, future = _give(job, idle)
                lanes[future] = _Lane(pool, job, n_tries)
            for future in wait(lanes, return_when=FIRST_COMPLETED).done:
                pool, job, n_tries = lanes.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False)
                    if n_tries < TRIES:
                        left.appendleft((job, n_tries + 1))
                    else:
                        yield job, Outcome(0, _KILLED)
                    continue
                idle.append(pool)
                yield job, outcome
    finally:
        for pool in [*idle, *(lane.pool for lane in lanes.values())]:
            pool.shutdown(wait=True, cancel_futures=True)


def _give(
    job: Job, idle: list[ProcessPoolExecutor]
) -> tuple[ProcessPoolExecutor, "Future[Outcome]"]:
    """Give a job to an idle process that is alive, else to a new one."""
    while idle:
        pool = idle.pop()
        try:
            return pool, pool.submit(work, job)
        except BrokenProcessPool:
            pool.shutdown(wait=False)
    pool = _new_process()
    return pool, pool.submit(work, job)


def _new_process() -> ProcessPoolExecutor:
    # Not forked: this process has threads by now, those of the pools.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_begin)


def _begin() -> None:
    """Leave Ctrl-C to the process that gives the jobs, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def on_dask(jobs: Sequence[Job], n: int, address: str = "") -> Iterator[tuple[Job, Outcome]]:
    """Yield (Job, Outcome) of each job as it ends, done by Dask: on `n` processes of this machine,
    or by the scheduler at `address`, whose workers see archive and DBC under the same paths.
    """
    import dask
    from distributed import Client, KilledWorker, LocalCluster, as_completed

    settings = {
        # Dask's MALLOC_TRIM_THRESHOLD_ doubles the processor time of decoding.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.scheduler.allowed-failures": TRIES - 1,
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        try:
            cluster: Any = address or stack.enter_context(
                LocalCluster(
                    n_workers=n,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
            )
            if address:
                asyncio.run(asyncio.wait_for(_greet(address), _CONNECT_s))
            client = stack.enter_context(Client(cluster, timeout=_CONNECT_s))
        except (OSError, RuntimeError, ValueError) as error:
            what = (
                f"no scheduler of Dask answers at {address}" if address else "Dask fails to start"
            )
            raise DeviceError(
                f"{what}: {str(error) or 'it listens and says nothing'}",
                "'dask scheduler' starts one; without --cluster none is needed",
            ) from None
        left = iter(jobs)
        job_of: dict[Any, Job] = {}
        going = as_completed()
        for job in itertools.islice(left, 2 * n):
            _submit(client, job, job_of, going)
        for future in going:
            job = job_of.pop(future)
            try:
                outcome = future.result()
            except KilledWorker:
                outcome = Outcome(0, _KILLED)
            for following in itertools.islice(left, 1):
                _submit(client, following, job_of, going)
            yield job, outcome


async def _greet(address: str) -> None:
    """Shake hands with a scheduler. Client() would wait for ever on a port that never answers."""
    from distributed.comm.core import connect

    (await connect(address, timeout=_CONNECT_s)).abort()


def _submit(client: Any, job: Job, job_of: dict[Any, Job], going: Any) -> None:
    future = client.submit(work, job, pure=False)
    job_of[future] = job
    going.add(future)
