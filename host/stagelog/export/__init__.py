"""Writers of decoded signals and of frames, for the tools that people have.

Signals, streamed (each takes Decoded after Decoded, in the order of time):

    with ParquetSink(folder, form="tool") as sink:      one file per message; or form="archive"
        for decoded in iter_decode(chunks, plan, sink.mode):
            sink.write(decoded)
    sink.paths                                          what was written, after the end

    CsvSink(folder)                                     one file per message
    ResampledCsvSink(path, plan, rate_Hz)               one file, all signals at a fixed rate

Nothing appears under its final name before it is complete; an existing file is refused unless
`overwrite`. Fails with OutputError (disk full, file exists) and UsageError (a library that is not
installed).
"""

from stagelog.export.csv import CsvSink, ResampledCsvSink
from stagelog.export.parquet import ParquetSink, load_parquet

__all__ = ["CsvSink", "ParquetSink", "ResampledCsvSink", "load_parquet"]
