"""Files of the archive to which lines are only ever added: who checked a car, what was replaced.

A line is a JSON object with a `schema`. Fails with OutputError.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagelog.platform.files import locked_folder, writing


def add_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line to a file, which is made if it is not there; it is on the disk on return."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked_folder(path.parent), open(path, "ab") as file:
            if file.tell() and not path.read_bytes().endswith(b"\n"):
                file.write(b"\n")  # a power cut of the laptop has torn the line before
            file.write(json.dumps(values).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def load_lines(path: Path, schema: str) -> list[dict[str, Any]]:
    """Return the lines of a schema, the oldest first; a torn one is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and values.get("schema") == schema:
            found.append(values)
    return found
