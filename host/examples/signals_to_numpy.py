"""Signals of a log as NumPy arrays: extremes, and how long a limit was exceeded.

python signals_to_numpy.py LOG DBC
"""

import sys

import numpy as np

import stagelog

drive = stagelog.open(sys.argv[1], dbc=sys.argv[2])
signals = drive.signals(["EngSpd", "EngOilTemp", "WhlSpdRL"])
for name, (_, values, unit) in signals.items():
    print(f"{name:12} {values.min():8.1f} to {values.max():8.1f} {unit}, {len(values):,} values")

t_us, rpm, _ = signals["EngSpd"]
above_us = np.diff(t_us, append=t_us[-1])[rpm > 5000].sum()
print(f"engine above 5,000 rpm for {above_us / 1e6:.1f} s of {(t_us[-1] - t_us[0]) / 1e6:.1f} s")
