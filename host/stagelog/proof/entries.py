"""Signatures of the archive's entries: each session is signed by whoever stored it.

An entry is signed by itself, so that adding one vouches for no other. Its signature also names the
folder and the sessions that stood beside it: an entry moved to another stage, or taken away before
a later one, is found. An entry without a signature is valid and called unsigned.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stagelog.proof.keys import OwnKey, PublicKey
from stagelog.proof.signatures import UNSIGNED, WRONG, Standing, canonical, check, sign

SIGNATURE = "signature"
_PURPOSE = "entry"
_FOLDERS = re.compile("(event|car|stage)=")


def place_of(folder: str | Path) -> str:
    """Return the place of a stage's folder in an archive: event=.../car=.../stage=..."""
    return "/".join(part for part in Path(folder).absolute().parts if _FOLDERS.match(part))


def signed_entry(
    key: OwnKey, values: Mapping[str, Any], folder: str | Path, beside: Collection[str]
) -> dict[str, Any]:
    """Return the values of an entry with their signature.

    beside  names of the other session files in the folder
    """
    bare = {name: value for name, value in values.items() if name != SIGNATURE}
    frame = {"folder": place_of(folder), "beside": sorted(beside)}
    content = canonical({"entry": bare, **frame})
    return {**bare, SIGNATURE: {**sign(key, _PURPOSE, content), **frame}}


def check_entry(
    values: Mapping[str, Any],
    folder: str | Path,
    listed: Collection[str],
    trusted: Mapping[bytes, PublicKey],
) -> Standing:
    """Return the Standing of an entry; WRONG also if its place or its neighbours are not those it
    was signed with.

    listed  names of all session files in the manifest
    """
    signature = values.get(SIGNATURE)
    bare = {name: value for name, value in values.items() if name != SIGNATURE}
    frame = {"folder": None, "beside": None}
    if isinstance(signature, dict):
        frame = {name: signature.get(name) for name in frame}
    found = check(signature, _PURPOSE, canonical({"entry": bare, **frame}), trusted)
    if found.state in (WRONG, UNSIGNED):
        return found
    if frame["folder"] != place_of(folder):
        text = f"its entry was signed as {frame['folder'] or 'outside of an archive'}"
        return Standing(WRONG, f"{text}, and was moved")
    gone = sorted(set(map(str, frame["beside"] or ())) - set(listed))
    if gone:
        return Standing(WRONG, f"the entry of {gone[0]} was there when it was signed, and is gone")
    return found
