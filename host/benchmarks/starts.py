"""Whole processes: how much processor time a verb takes to start, and `dbc check` of a large file.

With the bytecode kept, as on any machine where it is not forbidden.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

from table import Row

from stagelog.cli import group

N_MESSAGES, N_SIGNALS = 620, 8  # 500 kB


def start_rows(folder):
    """Yield the rows; `folder` keeps the DBC and the bytecode."""
    stagelog = [Path(sys.executable).with_name("stagelog")]
    path = folder / "large.dbc"
    path.write_text(large_dbc())
    load = "import sys, cantools; cantools.database.load_file(sys.argv[1])"
    ours = process_s([*stagelog, "dbc", "check", path], folder)
    theirs = process_s([sys.executable, "-c", load, path], folder)
    what = f"dbc check of {path.stat().st_size // 1000} kB"
    note = f"{N_MESSAGES * N_SIGNALS:,} signals; cantools only loads the file"
    yield Row(what, ours, "s", "cantools", theirs, theirs / ours, "under 1 s", note)
    verbs = sorted(group.list_commands(None))
    starts = {verb: process_s([*stagelog, verb, "--help"], folder, 3) for verb in verbs}
    slowest = max(starts, key=starts.get)
    note = f"the slowest of {len(verbs)} verbs: {slowest}"
    yield Row("start of a verb", starts[slowest], "s", wanted="under 0.3 s", note=note)


def process_s(command, folder, n_runs=5):
    """Return the least processor time that a command takes, after one run to warm up."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    times_s = []
    for _ in range(n_runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times_s[1:])


def large_dbc():
    """Return a DBC as those of car makers: units, comments, value tables, cycle times."""
    lines = ['VERSION ""', "", "NS_ :", "", "BS_:", "", "BU_: ECU GW TCU", ""]
    ends = []
    for message in range(N_MESSAGES):
        can_id = 0x100 + message
        lines.append(f"BO_ {can_id} Message_{message:04d}: 8 ECU")
        for k in range(N_SIGNALS):
            name = f"Signal_{message:04d}_{k}"
            lines.append(
                f' SG_ {name} : {8 * k}|8@1+ (0.{message % 9 + 1},-{k}) [0|250] "unit" GW,TCU'
            )
            if k % 3 == 0:
                ends.append(f'VAL_ {can_id} {name} 0 "off" 1 "on" 2 "error" 3 "not available" ;')
        ends += [
            f'CM_ SG_ {can_id} Signal_{message:04d}_0 "The value of signal {message}";',
            f'BA_ "GenMsgCycleTime" BO_ {can_id} 100;',
        ]
        lines.append("")
    ends.sort(key=lambda line: ("CM_", "BA_", "VAL_").index(line.split()[0]))
    defaults = ['BA_DEF_ BO_ "GenMsgCycleTime" INT 0 10000;', 'BA_DEF_DEF_ "GenMsgCycleTime" 0;']
    n_comments = sum(line.startswith("CM_") for line in ends)
    return "\n".join([*lines, *ends[:n_comments], *defaults, *ends[n_comments:]]) + "\n"
