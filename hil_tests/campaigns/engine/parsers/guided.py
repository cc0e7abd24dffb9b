"""The parser campaign guided by coverage: atheris (libFuzzer) on the targets, one process each.

Owns the process, its dictionary and its corpus; the targets are the campaign's. What reaches new
code is kept in a folder and the next run continues with it; what breaks a promise is a file beside
it, which `--case NAME:FILE` runs again. Fails with UsageError where atheris is not installed.
"""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from campaigns.engine.parsers import campaign
from campaigns.engine.results import Finding
from stagelog.errors import UsageError

_SCRIPT = f"""
import sys, atheris
sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})
with atheris.instrument_imports(include=["slog", "detectors", "logger", "stagelog"]):
    from campaigns.engine.parsers import guided, targets
guided.become_fuzzer(atheris, *sys.argv[1:])
"""
_UNITS = re.compile(r"number_of_executed_units: (\d+)")
_EDGES = re.compile(r" cov: (\d+) ")
_MOST_BYTES = 16384
_INTERRUPTED = 72  # libFuzzer was asked to stop, and has counted what it did


def run(tally, n_executions, folder, seconds=None, names=None, keep=lambda: None):
    """Continue a Tally until it holds n_executions by coverage, target by target.

    keep     called after each target
    folder   keeps corpus/NAME for each target; a finding is a file found/NAME-...
    """
    if importlib.util.find_spec("atheris") is None:
        raise UsageError("fuzzing by coverage needs atheris", "tools/setup")
    deadline = time.monotonic() + (1e9 if seconds is None else seconds)
    for name, goal in campaign.shares(n_executions, names).items():
        n = goal - tally.states[f"{name}, by coverage"]
        left_s = deadline - time.monotonic()
        if n > 0 and left_s > 1:
            _run_target(tally, name, n, Path(folder), left_s)
            keep()


def _run_target(tally, name, n, folder, seconds):
    kind = f"{name}, by coverage"
    corpus, found = folder / "corpus" / name, folder / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    before = set(found.iterdir())
    start = time.monotonic()
    seed = (tally.seed + tally.states[kind]) % 2**31
    options = [name, str(corpus), f"-runs={n}", f"-seed={seed}", "-print_final_stats=1"]
    options += [f"-artifact_prefix={found}/{name}-", f"-max_total_time={int(min(seconds, 1e8))}"]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stdout + done.stderr
    counted = _UNITS.search(said)
    tally.states[kind] += int(counted[1]) if counted else 0
    tally.add_seconds(kind, time.monotonic() - start)
    tally.note_worst(f"{kind}: edges", max(map(int, _EDGES.findall(said)), default=0))
    tally.note_worst(f"{kind}: inputs kept", sum(1 for _ in corpus.iterdir()))
    if done.returncode not in (0, _INTERRUPTED):
        new = sorted(set(found.iterdir()) - before)
        finding = campaign.run_file(name, new[0]) if new else []
        text = finding[0].text if finding else said.strip().splitlines()[-1:]
        case = f"{name}:{new[0]}" if new else f"exit code {done.returncode}"
        tally.add(Finding(finding[0].invariant if finding else "D1", case, kind, str(text)))


def become_fuzzer(atheris, name, corpus, *options):
    """Fuzz one target in this process until libFuzzer ends it; does not return."""
    folder = TemporaryDirectory(dir=campaign.memory_folder())
    target = campaign.prepared(name, Path(folder.name))
    for i, data in enumerate(target.seeds()):
        (Path(corpus) / f"seed-{i:03d}").write_bytes(data)
    longest = 2 * max(map(len, target.seeds()))
    options = [*options, f"-max_len={max(256, min(longest, _MOST_BYTES))}"]
    options += [f"-timeout={target.limit_s}", "-rss_limit_mb=2048"]
    if target.words:
        words = Path(folder.name) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, corpus], target.run)
    atheris.Fuzz()


def _escaped(word):
    return "".join(f"\\x{byte:02x}" for byte in word[:64])
