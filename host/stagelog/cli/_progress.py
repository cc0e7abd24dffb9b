"""Progress of work that takes over a second: how much, how fast, how long still.

Drawn on a terminal only, on standard error, and removed at the end; elsewhere nothing is done.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stagelog.model import FrameTable

_STEPS = 1000  # of the bar


@contextlib.contextmanager
def frames_bar(
    title: str, share: Callable[[int], float]
) -> Iterator[Callable[[Iterable[FrameTable]], Iterable[FrameTable]]]:
    """Yield a function that gives the tables it is given, and draws how far they are.

    share  of the work that is done, 0 to 1, from the number of frames so far
    """
    with share_bar(title, "frames") as show:

        def watch(tables: Iterable[FrameTable]) -> Iterator[FrameTable]:
            n_frames = 0
            for frames in tables:
                yield frames
                n_frames += len(frames)
                if show is not None:
                    show(share(n_frames), n_frames)

        yield (lambda tables: tables) if show is None else watch


@contextlib.contextmanager
def share_bar(title: str, unit: str) -> Iterator[Callable[[float, float], None] | None]:
    """Yield a function (share of 1, number of `unit` so far) that draws a bar; None without a
    terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.fields[n]:,.0f}} {unit} {{task.fields[rate]:,.0f}}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=_STEPS, n=0, rate=0)
        start_s = monotonic()

        def show(share: float, n: float) -> None:
            rate = n / max(1e-3, monotonic() - start_s)
            bar.update(task, completed=_STEPS * min(1.0, share), n=n, rate=rate)

        yield show
