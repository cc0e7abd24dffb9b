"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from stagelog.errors import OutputError
from stagelog.platform.files import beside, is_full, replace, sync_folder


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turn an OSError in the body into an OutputError that names `what`."""
    try:
        yield
    except OSError as error:
        hint = None
        if is_full(error):
            hint = "free some space and repeat the command: what is there is kept"
        raise OutputError(f"{what}: {error.strerror or error}", hint) from error


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write bytes to `path` by way of a temporary file; they are on the disk on return."""
    path = Path(path)
    temporary = beside(path, ".tmp")
    with writing(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)
