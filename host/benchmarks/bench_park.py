"""Many loggers at once: the park's verbs on eight simulated loggers, beside one after the other.

    python host/benchmarks/bench_park.py [unplug|live|flash] [--loggers 8] [--seconds 30] [--json]

Owns the measuring. `unplug` pulls cables in the link simulation, in virtual time, and compares the
archive with the cards. `live` starts a process for each logger, on cables of 600 kB/s, and runs
provision, check, summary and download on all at once and on each alone. `flash` starts empty
boards, simulated ones on the same cables: an emulated Pico would take a processor for itself, a
board does not. It installs the firmware on all at once, on one alone, and by mpremote on one after
the other, each time on boards that are empty and with a program that was built before. A broken
limit of budget.toml is exit code 1. The simulators take part of the same processors: the share is
named.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, show_rows

from stagelog.archive import find_sessions
from stagelog.card import read_card
from stagelog.config_items import signal_table
from stagelog.park.check import Check
from stagelog.park.flashing import Flash, app_once, id_of_board
from stagelog.park.provision import Provision
from stagelog.park.runs import Run
from stagelog.park.summary import Summarise
from stagelog.park.unit import GOOD, Unit
from stagelog.park.wanted import Wanted
from stagelog.park.works import Download
from stagelog.ports import find_loggers
from stagelog.resources import dbc_path
from stagelog.rig.play import saturated_tape
from stagelog.rig.virtual_park import VirtualPark, recorded

BUDGET = Path(__file__).with_name("budget.toml")
RATE_kBps = 600
N_PULLS = 1000
_CUT_bytes = (10_000, 20_000)  # of the wire: some blocks after the list
_RECORDED_us = 40_000_000  # of a full bus, 16 blocks a second: more than the cuts let through


def unplug_rows(n_loggers, seed=1):
    """Yield the rows of N_PULLS pulled cables; the archive is compared with the cards."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bench-park-") as folder:
        folder = Path(folder)
        tape = saturated_tape(500_000, _RECORDED_us)
        targets = [recorded(folder / str(n), f"C0{n}", n + 1, tape) for n in range(n_loggers)]
        share = N_PULLS // n_loggers
        cuts = [iter([rng.randrange(*_CUT_bytes) for _ in range(share)]) for _ in targets]
        park = VirtualPark(targets, cuts, n_away=1)
        units = [Unit(f"{n + 1:016x}", f"C0{n}") for n in range(n_loggers)]
        start = time.perf_counter()
        archive = folder / "archive"
        Run(units, None, lambda u: Download(u, archive, "E", "S"), park).run()
        seconds = time.perf_counter() - start
        entries = find_sessions(archive)
        failed = [unit.outcome.text for unit in units if unit.outcome.verdict != GOOD]
        wrong = len(failed)
        n_sessions = 0
        for target in targets:
            for session in read_card(target.card_path).sessions:
                n_sessions += 1
                first, last = int(session.rows[0]), int(session.rows[-1])
                content = session.medium.view[first : last + 1].tobytes()
                wrong += content not in [entry.path.read_bytes() for entry in entries]
        n_blocks = sum(entry.values["n_blocks"] for entry in entries)
        n_came = sum(unit.outcome.facts.get("n_bytes", 0) for unit in units) // 4096
        for target in targets:
            target.close()
    note = f"{n_sessions} sessions, {n_blocks:,} blocks, {seconds:.0f} s"
    note += f"; {failed[0]}" if failed else ""
    yield Row("cables pulled and put back", park.n_pulled, "times", wanted=f"{N_PULLS}", note=note)
    yield Row("sessions missing or not equal to the card", wrong, "", wanted="0")
    yield Row("sessions held twice", len(entries) - n_sessions, "", wanted="0")
    yield Row("blocks sent twice", n_came - n_blocks, "", wanted="0")


PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from stagelog.cli import main; main(sys.argv[1:])",
]


@contextlib.contextmanager
def started(words_of_each):
    """Start a `stagelog sim` for each of some words; yield [(process, its port)]."""
    found = []
    try:
        for words in words_of_each:
            command = [*PROGRAM, "sim", *words]
            found.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
        ports = [process.stdout.readline().decode().strip() for process in found]
        yield [(psutil.Process(p.pid), port) for p, port in zip(found, ports, strict=True)]
    finally:
        for process in found:
            process.terminate()
        for process in found:
            process.wait()


@contextlib.contextmanager
def simulators(folder, n_loggers, seconds):
    """Start a simulator for each logger, its drive played; yield their processes."""
    log = folder / "drive.log"
    drive = [*PROGRAM, "drive", "stage", "--duration", str(seconds), "--out", str(log)]
    subprocess.run(drive, check=True, capture_output=True)
    words = ["--log", str(log), "--fast", "--rate-kBps", str(RATE_kBps)]
    each = [[*words, "--car", f"C0{n}", "--seed", str(n + 1)] for n in range(n_loggers)]
    with started(each) as found:
        yield [process for process, _ in found]


def seconds_of(processes):
    """Return the processor seconds that some processes have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def mpremote_flash(port, app, main):
    """Put the firmware onto a blank board with mpremote alone, as its manual does: nothing is
    read back.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("a.app", app), ("main.py", main), ("slot.a", b"")):
            Path(folder, name).write_bytes(content)
        files = [str(Path(folder, name)) for name in ("a.app", "main.py", "slot.a")]
        words = ["connect", port, "fs", "cp", *files, ":", "+", "reset"]
        subprocess.run(
            [sys.executable, "-m", "mpremote", *words],
            check=True,
            timeout=900,
            capture_output=True,
        )


def flash_rows(n_boards):
    """Yield the rows of flashing empty boards."""
    from stagelog.flash.build import build_app
    from stagelog.flash.install import read_state
    from stagelog.flash.remote import Remote
    from stagelog.resources import firmware_path

    app = build_app("pico_mcp2515", "armv6m").content
    main = (firmware_path() / "main.py").read_bytes()

    def boards(folder, n):
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        words = ["--blank", "--card-MiB", "4", "--rate-kBps", str(RATE_kBps)]
        return started([*words, "--car", f"C0{k}", "--seed", str(k + 1)] for k in range(n))

    def ours(folder, n):
        with boards(folder, n) as found:
            units = [Unit(id_of_board(port), f"C0{k}") for k, (_, port) in enumerate(found)]
            first = Remote(found[0][1])
            first.stop()
            app_once(read_state(first), None)  # built before: mpremote's is, too
            work = lambda unit: Flash(unit, None, folder / "archive")  # noqa: E731
            before = seconds_of(process for process, _ in found)
            times, _, bad = timed(units, work, id_of_board)
            return max(times), seconds_of(process for process, _ in found) - before, bad

    with tempfile.TemporaryDirectory(prefix="bench-park-") as folder:
        folder = Path(folder)
        places = [folder / name for name in ("alone", "all", "peer")]
        for place in places:
            place.mkdir()
        alone, _, bad = ours(places[0], 1)
        at_once, simulated, more = ours(places[1], n_boards)
        with boards(places[2], n_boards) as found:
            start = time.perf_counter()
            for _, port in found:
                mpremote_flash(port, app, main)
            peer = time.perf_counter() - start
    bad += more
    note = f"simulators: {simulated:.0f} s of {os.cpu_count() * at_once:.0f} s of the processors"
    note += f"; BAD: {bad[0]}" if bad else ""
    yield Row(f"flash, {n_boards} empty boards", at_once, "s", "alone", alone, at_once / alone,
              "1.3 x alone", note)  # fmt: skip
    yield Row(f"flash, {n_boards} empty boards", at_once, "s", "mpremote one after the other",
              peer, at_once / peer, "", "mpremote reads nothing back")  # fmt: skip


def timed(units, make_work, identify=lambda port: None):
    """Run a work on units; return (seconds until each ended, processor seconds of this process,
    what went wrong).
    """
    ended = {}
    start, cpu = time.perf_counter(), time.process_time()

    def show(all_units):
        for unit in all_units:
            if unit.outcome is not None:
                ended.setdefault(unit.device_id, time.perf_counter() - start)

    def adopt(device_id, hello):
        from stagelog.park.unit import WARN, Outcome

        unit = Unit(device_id, hello.car_name)
        unit.end(Outcome(WARN, "not of this measurement"))
        return unit

    Run(units, adopt, make_work, show=show, wait_s=30, identify=identify).run()
    bad = [unit.outcome.text for unit in units if unit.outcome.verdict == "bad"]
    times = [ended[unit.device_id] for unit in units]
    return times, time.process_time() - cpu, bad


def live_rows(n_loggers, seconds):
    """Yield the rows of the verbs on live simulators, all at once and each alone."""
    with tempfile.TemporaryDirectory(prefix="bench-park-") as folder:
        folder = Path(folder)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        with simulators(folder, n_loggers, seconds) as processes:
            yield from _live_rows(folder, processes)


def _live_rows(folder, processes):
    known = [(p.hello.device_id.hex(), p.hello.car_name) for p in find_loggers() if p.hello]
    table, dbc = signal_table("d7xr"), dbc_path() / "d7xr.dbc"
    hidden = folder / "nothing"

    def units(some=None):
        return [Unit(*pair) for pair in (known if some is None else some)]

    def provision(unit):
        return Provision(
            unit, Wanted(unit.car, None, table, None, {None: dbc}), folder / "archive"
        )

    works = {
        "summary": Summarise,
        "check": lambda u: Check(u, None, folder / "archive", 3.0),
        "provision": provision,
    }
    for name, work in works.items():
        alone = max(timed(units([pair]), work)[0][0] for pair in known[:3])
        before = seconds_of(processes)
        at_once, cpu, bad = timed(units(), work)
        simulated = seconds_of(processes) - before
        wanted = "under 10 s" if name == "summary" else "1.3 x alone"
        note = f"processor: host {cpu:.1f} s, simulators {simulated:.1f} s of "
        note += f"{os.cpu_count() * max(at_once):.1f} s"
        note += f"; BAD: {bad[0]}" if bad and name != "check" else ""
        ratio = max(at_once) / alone
        row = Row(f"{name}, all {len(known)}", max(at_once), "s", "slowest alone", alone, ratio)
        row.wanted, row.note = wanted, note
        yield row

    def download(where):
        return lambda u: Download(u, where, "E", "S")

    one = timed(units(known[:1]), download(hidden))
    n_one = sum(entry.values["n_bytes"] for entry in find_sessions(hidden))
    before = seconds_of(processes)
    at_once, cpu, bad = timed(units(), download(folder / "archive"))
    simulated = seconds_of(processes) - before
    n_bytes = sum(entry.values["n_bytes"] for entry in find_sessions(folder / "archive"))
    sum_MBps = n_bytes / max(at_once) / 1e6
    alone_MBps = n_one / max(one[0]) / 1e6
    links = len(known) * RATE_kBps / 1000
    note = f"{n_bytes / 1e6:.0f} MB; processor: host {cpu:.1f} s, simulators {simulated:.1f} s of "
    note += f"{os.cpu_count() * max(at_once):.1f} s" + (f"; BAD: {bad[0]}" if bad else "")
    yield Row(f"download, all {len(known)}", sum_MBps, "MB/s", "one alone", alone_MBps,
              sum_MBps / alone_MBps, f"{links:.1f}, the links", note)  # fmt: skip
    yield Row("host's processor time for a MB of download", cpu / (n_bytes / 1e6) * 1000, "ms",
              note=f"alone it would carry {n_bytes / 1e6 / cpu:.0f} MB/s")  # fmt: skip


def broken(rows, budget):
    """Return what breaks a limit of the budget: {what: {max = ...}}."""
    limits = {name.replace("_", " "): limit for name, limit in budget.items()}
    found = []
    for row in rows:
        for name, limit in limits.items():
            if row.what.startswith(name) and row.ours > limit["max"]:
                found.append(f"{row.what}: {row.ours:g}, at most {limit['max']:g}")
    return found


def main(args=None):
    """Measure, print, compare with the budget; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", choices=["unplug", "live", "flash", []])
    parser.add_argument("--loggers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(args)
    asked = options.rows or ["unplug", "live", "flash"]

    def rows():
        if "unplug" in asked:
            yield from unplug_rows(options.loggers)
        if "live" in asked:
            yield from live_rows(options.loggers, options.seconds)
        if "flash" in asked:
            yield from flash_rows(options.loggers)

    found = show_rows(rows(), "park", options.as_json)
    wrong = broken(found, tomllib.loads(BUDGET.read_text(encoding="utf-8"))["park"])
    for text in wrong:
        print(f"budget broken: {text}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
