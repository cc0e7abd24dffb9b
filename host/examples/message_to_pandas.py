"""One message of a log as a table: pandas for resampling, polars for grouping.

python message_to_pandas.py LOG DBC MESSAGE
"""

import sys

import pandas as pd
import polars as pl

import stagelog

drive = stagelog.open(sys.argv[1], dbc=sys.argv[2])
name = sys.argv[3]

table = drive.to_pandas(name).drop(columns="bus")
table.index = pd.to_datetime(table.pop("t_us"), unit="us")
print(table.resample("1s").mean().head(5).round(1).to_string())

second = (pl.col("t_us") // 1_000_000).alias("second")
frames = drive.to_polars().group_by(second).len().sort("second")
print(f"{len(drive.frames):,} frames, {frames['len'].max():,} in the busiest second")
