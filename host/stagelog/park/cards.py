"""Cards in readers, several at once: into the same archive, through the same checks as by cable.

Owns which disks are cards and what each brought; the reading is `card`, the files are `archive`. A
session that the archive holds, whichever way it came, is not stored again. One card that cannot be
read never stops another.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stagelog.accounts import judge_entry
from stagelog.archive import Entry, find_session, home_of, stage_folder, store_session
from stagelog.card import read_card
from stagelog.errors import InputError, StagelogError
from stagelog.park.unit import BAD, GOOD
from stagelog.platform.drives import find_drives
from stagelog.verdict import worst

CarOf = Callable[[str], str]


class CardRead(NamedTuple):
    """What a card brought: its entries, how many of them are new, a verdict and why."""

    path: str
    entries: Sequence[Entry]
    n_new: int
    verdict: str
    text: str


def find_cards() -> list[str]:
    """Return the disks that can be taken out and hold a card of ours."""
    found = []
    for drive in find_drives():
        if not drive.is_removable:
            continue
        try:
            read_card(drive.path)
        except (InputError, OSError):
            continue
        found.append(str(drive.path))
    return found


def read_cards(
    paths: Sequence[str], archive: Path, event: str, stage: str, car_of: CarOf
) -> Iterator[CardRead]:
    """Yield what each card brought, in the order of `paths`; `car_of` a device_id is its car."""
    with ThreadPoolExecutor(4) as pool:
        read = partial(_read, archive=archive, event=event, stage=stage, car_of=car_of)
        yield from pool.map(read, paths)


def _read(path: str, archive: Path, event: str, stage: str, car_of: CarOf) -> CardRead:
    entries: list[Entry] = []
    n_new = 0
    try:
        log = read_card(path)
        for session in log.sessions:
            key = (session.device_id, session.boot, session.nonce, session.first_seq)
            before = find_session(archive, *key)
            folder = stage_folder(archive, event, car_of(session.device_id), stage)
            entry = store_session(log, session, home_of(archive, key, folder))
            n_new += before is None or before.values["sha256"] != entry.values["sha256"]
            entries.append(entry)
    except (StagelogError, OSError) as error:  # OSError: the card is pulled, or fails
        return CardRead(path, entries, n_new, BAD, str(error))
    text = f"{len(entries)} session{'s' * (len(entries) != 1)}, {n_new} new"
    if not entries:
        return CardRead(path, entries, 0, GOOD, "the card holds no session")
    verdict = worst(map(judge_entry, entries))
    level = BAD if verdict.exit_code else GOOD
    return CardRead(path, entries, n_new, level, f"{text}; {verdict.text}")
