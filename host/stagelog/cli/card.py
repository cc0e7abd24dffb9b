"""stagelog card: prepare a card for a logger, or read one in the laptop's reader."""

import re

import click

from stagelog.cli._common import confirm, json_option, print_json, size_text
from stagelog.cli._fleet import fleet_in_force, place_of_card
from stagelog.counts import count_text
from stagelog.errors import UsageError
from stagelog.platform.drives import drive_of, find_drives, is_disk

_UNITS = {"": 1, "k": 1000, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


@click.group()
def command() -> None:
    """Prepare a card, or read one in the laptop's reader."""


@command.command()
@click.argument("path", type=click.Path(readable=False), required=False)
@click.option("--size", help="Size of a new image: 64MiB, 8GB.")
@click.option("--raw", is_flag=True, help="An image that is nothing but the extent, for tests.")
@click.option("--force", is_flag=True, help="Even if it holds sessions that were never released.")
@click.option("--yes", is_flag=True, help="Do not ask before a disk is overwritten.")
@json_option
def prepare(
    path: str | None, size: str | None, raw: bool, force: bool, yes: bool, as_json: bool
) -> None:
    """Make PATH, a disk or an image file, a card for a logger: FAT32 with STAGELOG.BIN.

    Without PATH the disks that can be taken out are listed.
    """
    if path is None:
        raise UsageError("no disk named", _choice())
    from slog.layout import BLOCK_BYTES
    from stagelog import card

    n_bytes = _size(size)
    if is_disk(path) and (size or raw):
        raise UsageError(f"--size or --raw with {path}", "a disk keeps its size: leave it out")
    if is_disk(path):
        confirm(f"All files on {_described(path)} will be lost. Continue?", yes)
    if raw:
        if n_bytes is None:
            raise UsageError("--raw without --size", "give the size of the image, as in 64MiB")
        made = card.prepare_raw(path, n_bytes // BLOCK_BYTES, force=force)
    else:
        made = card.prepare(path, n_bytes, force=force)
    facts = {
        "path": str(path),
        "kind": made.kind,
        "lba": made.lba,
        "n_blocks": made.n_data_blocks,
        "n_bytes": made.n_data_blocks * BLOCK_BYTES,
        "extent_id": made.extent_id.hex(),
    }
    if as_json:
        return print_json("stagelog.card.prepare/1", facts)
    hours = made.n_data_blocks * 252 / 2000 / 3600
    click.echo(
        f"{path}: prepared, {size_text(facts['n_bytes'])} for blocks, "
        f"{hours:,.1f} h at 2,000 frames a second"
    )
    return None


@command.command()
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@click.option("--all", "all_", is_flag=True, help="All cards in readers, and PATHS.")
@click.option(
    "--archive", type=click.Path(readable=False), help="Copy the sessions into this archive."
)
@click.option("--event", help="Folder event=...  [default: unsorted]")
@click.option("--car", help="Folder car=...  [default: the logger's id]")
@click.option("--stage", help="Folder stage=...  [default: unsorted]")
@click.option("--erased", is_flag=True, help="Include released sessions that can still be read.")
@click.option("--eject", "wants_eject", is_flag=True, help="Then eject the card.")
@json_option
def read(
    paths: tuple[str, ...],
    all_: bool,
    archive: str | None,
    event: str | None,
    car: str | None,
    stage: str | None,
    erased: bool,
    wants_eject: bool,
    as_json: bool,
) -> None:
    """Show the sessions on a card or its image; copy them with --archive.

    With --all, all cards that are in readers, and those of PATHS, go into the archive at once,
    each session to the car whose logger wrote it. What the archive holds, by cable or by card, is
    not stored again. Exit 1 if a card cannot be read or a session is not complete.
    """
    if all_:
        if car or erased or wants_eject:
            raise UsageError("--car, --erased or --eject with --all", "leave it out")
        raise SystemExit(_read_all(paths, archive, event, stage, as_json))
    if len(paths) != 1:
        raise UsageError(f"{len(paths)} cards named", "name one, or add --all")
    path = paths[0]
    from stagelog.archive import home_of, stage_folder, store_session
    from stagelog.card import read_card
    from stagelog.cli._logs import session_facts, session_line
    from stagelog.timeline import find_boots

    if not archive and (event or car or stage):
        raise UsageError("--event, --car or --stage without --archive", "add --archive")
    event, stage, car_of = place_of_card(event, car, stage)
    drive = drive_of(path) if wants_eject else None
    if wants_eject and drive is None:
        raise UsageError(f"--eject with {path}", "it is no card in a reader")
    log = read_card(path, erased)
    rows = []
    if not as_json:
        held = count_text(len(log.sessions), "session")
        n_erased = count_text(log.n_erased, "erased block")
        click.echo(f"{path}: {log.kind}, {held}, {n_erased}")
    for boot in find_boots(log.sessions):
        for session in boot.sessions:
            facts = session_facts(session, boot.timeline)
            if not as_json:
                click.echo(session_line(session, boot.timeline))
            if archive:
                key = (session.device_id, session.boot, session.nonce, session.first_seq)
                folder = home_of(
                    archive, key, stage_folder(archive, event, car_of(session.device_id), stage)
                )
                entry = store_session(log, session, folder)
                facts["file"] = str(entry.path)
                if not as_json:
                    click.echo(f"  {entry.path}")
            rows.append(facts)
    if as_json:
        damaged = [str(bad) for bad in log.damaged]
        facts = {"path": str(path), "sessions": rows, "damaged": damaged}
        print_json("stagelog.card.read/1", facts)
    if drive is not None:
        from stagelog.platform.eject import eject

        eject(drive)
        click.echo(f"{drive.path} may be taken out", err=True)


@command.command()
@click.argument("package", type=click.Path(readable=False))
@click.argument("card", type=click.Path(readable=False))
@json_option
def update(package: str, card: str, as_json: bool) -> None:
    """Put PACKAGE onto the CARD of its logger, for its next power-on.

    CARD is the folder or drive letter of a mounted card, its device, or an image. The logger
    installs it before it records, if it is for it, signed by its team, and not older; else it
    records with what it has, shows six flashes, and 'stagelog status' says why. Nothing else on
    the card is changed.
    """
    from slog.package import FILE
    from stagelog.card.put import put_file
    from stagelog.flash.package import read_package
    from stagelog.proof import trusted_keys

    held = read_package(package, trusted_keys())
    with open(package, "rb") as file:
        put_file(card, FILE, file.read())
    facts = {"card": card, "file": FILE, "device_id": held.device_id, "car": held.car}
    facts |= {"number": held.number, "built": held.built}
    if as_json:
        return print_json("stagelog.card.update/1", facts)
    click.echo(f"{card}: {FILE} for car {held.car}, logger {held.device_id}, of {held.built}")
    return None


def _read_all(
    paths: tuple[str, ...],
    archive: str | None,
    event: str | None,
    stage: str | None,
    as_json: bool,
) -> int:
    from pathlib import Path

    from stagelog.park.cards import find_cards, read_cards
    from stagelog.park.table import plain
    from stagelog.park.unit import BAD

    fleet = fleet_in_force()
    folder = Path(archive or (fleet.archive_path if fleet is not None else "archive"))
    event, stage, car_of = place_of_card(event, None, stage)
    rows = []
    found = list(dict.fromkeys([*find_cards(), *map(str, paths)]))
    for card in read_cards(found, folder, event, stage, car_of):
        rows.append(card)
        if not as_json:
            click.echo(plain(f"{card.path}: {card.verdict}: {card.text}"))
    if as_json:
        cards = [
            {"path": card.path, "n_new": card.n_new, "verdict": card.verdict, "text": card.text,
             "files": [str(entry.path) for entry in card.entries]}
            for card in rows
        ]  # fmt: skip
        print_json("stagelog.card.read.all/1", {"cards": cards})
    elif not rows:
        click.echo("no card is in a reader", err=True)
    return int(not rows or any(card.verdict == BAD for card in rows))


def _described(path: str) -> str:
    """Return what is known of a disk: its name, size, model and where it is mounted."""
    drive = drive_of(path)
    return drive.text if drive else str(path)


def _choice() -> str:
    """Return what to name: the disks that can be taken out."""
    found = [drive.text for drive in find_drives() if drive.is_removable]
    return "name one of: " + "; ".join(found) if found else "put a card in: none is seen"


def _size(text: str | None) -> int | None:
    """Return the number of bytes of "64MiB", "8GB", "4096"; None for None."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", text.strip().lower())
    if not match or match[2] not in _UNITS:
        raise UsageError(f"--size {text} is not a size", "give one as in 64MiB or 8GB")
    return int(float(match[1]) * _UNITS[match[2]])
