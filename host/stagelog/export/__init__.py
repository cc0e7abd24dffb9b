"""Writers of decoded signals and of frames, for other tools.

Signals, streamed (each takes Decoded after Decoded, in the order of time):

    with ParquetSink(folder, form="tool") as sink:      one file per message; or form="archive"
        for decoded in iter_decode(chunks, plan, sink.mode):
            sink.write(decoded)
    sink.paths                                          what was written, after the end

    CsvSink(folder)                                     one file per message
    ResampledCsvSink(path, plan, rate_Hz)               one file, all signals at a fixed rate
    Mf4SignalSink(path, from_epoch=True)                        integers with their conversion
    McapSink(path)                                      JSON messages for Foxglove and PlotJuggler
    MotecSink(path, plan)                               .ld and .ldx, layout reverse-engineered

Frames, streamed (each takes frame table after frame table):

    with open_frame_sink(path, "blf", ifaces, from_epoch=True) as sink:
        sink.write(frames)                              candump, blf, asc, trc, mf4

Nothing appears under its final name before it is complete; an existing file is refused unless
`overwrite`. Fails with OutputError (disk full, file exists) and UsageError (a library that is not
installed). What a format cannot hold is counted in `sink.n_left_out`.
"""

from collections.abc import Sequence
from pathlib import Path

from stagelog.errors import UsageError
from stagelog.export.asc import AscSink
from stagelog.export.blf import BlfSink
from stagelog.export.candump import CandumpSink
from stagelog.export.csv import CsvSink, ResampledCsvSink
from stagelog.export.files import FrameSink
from stagelog.export.mcap import McapSink
from stagelog.export.mf4 import Mf4FrameSink, Mf4SignalSink
from stagelog.export.motec import MotecSink
from stagelog.export.parquet import ParquetSink, load_parquet
from stagelog.export.trc import TrcSink

FRAME_KINDS = ("candump", "blf", "asc", "trc", "mf4")


def open_frame_sink(
    path: str | Path,
    kind: str,
    ifaces: Sequence[str] = (),
    overwrite: bool = False,
    *,
    from_epoch: bool,
) -> FrameSink:
    """Return a writer of frames; `kind` is one of FRAME_KINDS.

    from_epoch   t_us count from 1970, and the header of the file says so; else it has no time of
                 day (candump has no header: its stamps are the times as they are)
    """
    if kind == "candump":
        return CandumpSink(path, ifaces, overwrite=overwrite)
    if kind == "blf":
        return BlfSink(path, from_epoch=from_epoch, overwrite=overwrite)
    if kind == "asc":
        return AscSink(path, from_epoch=from_epoch, overwrite=overwrite)
    if kind == "trc":
        return TrcSink(path, from_epoch=from_epoch, overwrite=overwrite)
    if kind == "mf4":
        return Mf4FrameSink(path, from_epoch=from_epoch, overwrite=overwrite)
    raise UsageError(
        f'frames cannot be written as "{kind}"', f"use one of {', '.join(FRAME_KINDS)}"
    )


__all__ = [
    "FRAME_KINDS",
    "CsvSink",
    "McapSink",
    "Mf4SignalSink",
    "MotecSink",
    "ParquetSink",
    "ResampledCsvSink",
    "load_parquet",
    "open_frame_sink",
]
