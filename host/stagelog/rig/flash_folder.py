"""What a simulated Pico keeps without power, in a folder: settings, two slots, other files; update
by card.

    FOLDER/settings    items as the board's own store keeps them
    FOLDER/a.app       and b.app: the slots; slot.a or slot.b names the one that counts

The application that runs is always that of this stagelog; the slots are checked, written, switched
and reported by the firmware's own code. Fails with OutputError (a folder that cannot be written).
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slog.messages import CONFIG_SETTINGS, CONFIG_SIGNALS, CONTROL_UPDATE
from slog.package import FILE
from stagelog.card.put import get_file
from stagelog.platform.files import writing
from stagelog.resources import firmware_path, import_firmware
from stagelog.rig.logger import Args

BOARD = "pico_mcp2515"  # whose packages it takes
_DIGEST_BYTES = 32  # at the beginning of a slot
_LEAST_us = 2_000_000  # from power-on until its first session has ended for the package
_STEP_us = 10_000
_AFTER_RESET = 3  # machine.WDT_RESET: a package is searched for after power-on only


class FlashFolder:
    """The folder of one logger. A new one is made with this stagelog's firmware and the settings
    and the signal table of `args`, or is `blank`.
    """

    def __init__(self, path: Path, args: Args, blank: bool = False) -> None:
        import_firmware()
        self.path = path
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        if not blank and not self._slots():
            self._fill(args)

    @property
    def slot(self) -> int:
        """The slot that counts, 0 or 1."""
        return int((self.path / "slot.b").exists())

    @property
    def has_program(self) -> bool:
        """Return whether main.py would start a slot: it is there, and whole."""
        try:
            content = (self.path / f"{'ab'[self.slot]}.app").read_bytes()
        except FileNotFoundError:
            return False
        is_whole = hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]
        return bool(self._slots()) and is_whole

    def nv(self) -> Any:
        """Return the store of the items, as the application takes it."""
        from boards.files import Settings

        folder = self.path

        class Store(Settings):  # type: ignore[misc]  # the firmware has no annotations
            """Items in the folder; the firmware's is that of the slot that counts."""

            def _open_digest(self) -> tuple[io.BytesIO, int]:
                slot = folder / f"{'ab'[self._slot]}.app"
                return io.BytesIO(slot.read_bytes()[:_DIGEST_BYTES]), _DIGEST_BYTES

        return Store(str(folder / "settings"), self.slot)

    def _slots(self) -> list[Path]:
        return [path for path in map(self.path.joinpath, ("slot.a", "slot.b")) if path.exists()]

    def _fill(self, args: Args) -> None:
        """Write the items, and the sources of this stagelog's firmware as the program."""
        from stagelog.flash.build import pack_app

        store = self.nv()
        store.save(CONFIG_SETTINGS, json.dumps(args["settings"]).encode())
        if args.get("signals"):
            store.save(CONFIG_SIGNALS, Path(args["signals"]).read_bytes())
        sources = sorted((firmware_path() / "logger").glob("*.py"))
        program = pack_app({f"logger/{path.name}": path.read_bytes() for path in sources})
        (self.path / "a.app").write_bytes(program)
        (self.path / "slot.a").write_bytes(b"")


def start(folder: FlashFolder, args: Args, build: Callable[[Args], Any]) -> Any:
    """Give a logger power; return its application, which has started. A package on its card is
    installed first, if the firmware takes it, and the logger starts again.

    build   makes an App on a SimBoard
    """
    from logger.card_update import take_package
    from stagelog.rig.sim.world import World

    app = _with_flash(folder, build(args))
    app.start()
    if not app.package:
        return app
    board, world = app.board, World(app)
    while board.asked != CONTROL_UPDATE and world.clock.now_us < world.clock.boot_us + _LEAST_us:
        world.run_for(_STEP_us)
    content = get_file(args["card"], FILE) or b""
    take_package(board, io.BytesIO(content), app.package, board.feed, str(folder.path))
    board.card.image.close()
    app = _with_flash(folder, build({**args, "seed": args["seed"] + 1}))
    app.board.reset_cause = _AFTER_RESET
    app.start()
    return app


def _with_flash(folder: FlashFolder, app: Any) -> Any:
    board = app.board
    board.nv, board.slot, board.name = folder.nv(), folder.slot, BOARD
    return app
