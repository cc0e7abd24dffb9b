"""Packages: firmware, settings and signal table of one logger in one signed file.

Owns the file's making and reading; its layout is `slog.package`. The team's Ed25519 signature is
for the host; the logger has its own key, derived from the team's, for packages from a card. Fails
with InputError for a file that was altered or is none, PackageRefused for one that is right but
not for this logger or this moment.
"""

import hmac
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slog import messages as m
from slog import package as layout
from slog.layout import pack, size, unpack
from stagelog.can_fd import no_can_fd, wants_can_fd
from stagelog.errors import InputError, StagelogError
from stagelog.flash.build import ARCHES, App
from stagelog.flash.install import BoardState, check_board
from stagelog.link import Link
from stagelog.platform.files import write_atomic
from stagelog.proof import TRUSTED, OwnKey, PublicKey, canonical, check, device_key, sign
from stagelog.replies import Hello

_PURPOSE = "package"
_FD_BOARDS = "_mcp2518"  # in the names of boards that record CAN FD
_MOST_BYTES = 1 << 21  # a slot's flash has 1.4 MB
_HEAD = size(layout.PACKAGE)


class PackageRefused(StagelogError):
    """A package that is whole, but older than what runs, or for another logger, car or board."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Package:
    """What a package holds. `settings` and `signals` are None where the logger keeps its own."""

    number: int
    device_id: str
    car: str
    board: str
    mpy: int
    app: bytes
    settings: bytes | None = None
    signals: bytes | None = None

    @property
    def digest(self) -> str:
        """Return what the logger says it runs when it runs this: see flash.build.App."""
        return self.app[:32].hex()

    @property
    def built(self) -> str:
        """Return its number as people read it: when it was built."""
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.number))

    @property
    def as_app(self) -> App:
        """Return its firmware as `flash` installs it."""
        return App(self.board, ARCHES[self.mpy >> 10], (), self.app)


def packed(package: Package, key: OwnKey) -> bytes:
    """Return the bytes of a package, signed for the host and for the logger."""
    if wants_can_fd(package.settings) and _FD_BOARDS not in package.board:
        raise no_can_fd(package.car, package.board)
    contents = [package.app, package.settings or b"", package.signals or b""]
    values = {
        "magic": layout.MAGIC,
        "version": layout.VERSION,
        "mpy": package.mpy,
        "number": package.number,
        "device_id": bytes.fromhex(package.device_id),
        "car": package.car.encode(),
        "board": package.board.encode(),
        "n_firmware": len(contents[0]),
        "n_settings": len(contents[1]),
        "n_signals": len(contents[2]),
    }
    head, body = pack(layout.PACKAGE, values), b"".join(contents)
    mac = hmac.digest(device_key(key, package.device_id), head + body, "sha256")
    signed = head + mac + body
    return signed + canonical(sign(key, _PURPOSE, signed))


def write_package(path: Path, package: Package, key: OwnKey) -> None:
    """Write a package, at once."""
    write_atomic(path, packed(package, key))


def read_package(path: str | Path, trusted: dict[bytes, PublicKey]) -> Package:
    """Return the Package in a file whose signature is right and by a trusted key."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if content[: len(layout.MAGIC)] != layout.MAGIC or len(content) < _HEAD:
        raise InputError(f"{path} is no package", "make one: 'stagelog package build'")
    values = unpack(layout.PACKAGE, content)
    if values["version"] != layout.VERSION:
        raise InputError(f"{path} is of version {values['version']}", "install a newer stagelog")
    ends = [_HEAD + layout.MAC_BYTES]
    for name in ("n_firmware", "n_settings", "n_signals"):
        ends.append(ends[-1] + values[name])
    try:
        signature = json.loads(content[ends[-1] :])
    except (ValueError, RecursionError):
        signature = ()
    found = check(signature, _PURPOSE, content[: ends[-1]], trusted)
    if found.state != TRUSTED or content[ends[-1] :] != canonical(signature):
        raise InputError(f"{path} is refused: {found.text}", "get it again from who built it")
    app, settings, signals = (content[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True))
    return Package(
        values["number"],
        values["device_id"].hex(),
        _text(values["car"]),
        _text(values["board"]),
        values["mpy"],
        app,
        settings or None,
        signals or None,
    )


def check_package(package: Package, device_id: str, car: str, number: int, older: bool) -> None:
    """Raise PackageRefused unless a package may go onto a logger.

    car      as the logger's settings have it, "" if they name none
    number   of the package that it got last, 0 if none
    older    take one that is not newer, too
    """
    if package.device_id != device_id:
        raise PackageRefused(
            f"the package is for logger {package.device_id}, this is {device_id}",
            f"take that of {device_id}",
        )
    if car and package.car != car:
        raise PackageRefused(
            f"the package is for car {package.car}, this logger's settings name {car}",
            "'stagelog provision' gives a logger another car",
        )
    if package.number < number and not older:
        built = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(number))
        raise PackageRefused(
            f"the package is of {package.built}, the logger has one of {built}",
            "take a newer one, or add --older",
        )


def check_state(package: Package, state: BoardState) -> None:
    """Raise PackageRefused unless a board at its prompt can run what a package holds."""
    if state.mpy & 0xFFFF != package.mpy:
        raise PackageRefused(
            f"the package is for MicroPython modules {package.mpy:#06x}, the board loads "
            f"{state.mpy & 0xFFFF:#06x}",
            "build it with --arch of this board",
        )
    check_board(state.machine, package.board)


def to_install(package: Package) -> dict[str, Any]:
    """Return the arguments of `stagelog.flash.flash` that install a package."""

    def make_app(state: BoardState, kind: str | None) -> App:
        check_state(package, state)
        return package.as_app

    update = {**layout.load_update(None), "number": package.number}
    return {
        "kind": package.board,
        "settings": package.settings,
        "signals": package.signals,
        "others": {m.CONFIG_UPDATE: layout.save_update(update)},
        "make_app": make_app,
    }


def packages_in(folder: str | Path, trusted: dict[bytes, PublicKey]) -> dict[str, Package]:
    """Return {device id: Package} of the packages in a folder, the newest of each logger."""
    paths = sorted(Path(folder).glob("*.package"))
    if not paths:
        raise InputError(f"{folder} holds no package", "make them: 'stagelog package build'")
    packages = [read_package(path, trusted) for path in paths]
    return {each.device_id: each for each in sorted(packages, key=lambda each: each.number)}


def device_of(link: Link) -> tuple[str, str, int]:
    """Return (device id, car in its settings, number of its package) of a logger that answers;
    closes the link.
    """
    try:
        fields, _ = link.ask(m.HELLO, {"contract": m.contract_hash()})
        hello = Hello.of(fields)
        number = number_of(link, hello)
    finally:
        link.close()
    return hello.device_id.hex(), hello.car_name, number


def number_of(link: Link, hello: Hello) -> int:
    """Return the number of the package that a logger got last; 0 of one that speaks another
    contract: no package of its time was for this one.
    """
    if hello.contract != m.contract_hash():
        return 0
    return int(layout.load_update(link.get_config(m.CONFIG_UPDATE))["number"])


def _text(packed_text: bytes) -> str:
    return packed_text.rstrip(b"\0").decode(errors="replace")
