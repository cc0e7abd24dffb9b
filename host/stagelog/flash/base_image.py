"""Install MicroPython itself: RP2040 and RP2350 by the drive of the boot loader, ESP32 by esptool.

An image is accepted only with its SHA-256: that of `RELEASES`, by the name on the makers' page
(resources/firmware), or one that the user gives or has beside the file. The boot loader of a Pico
is in ROM, the ESP32's too: a cable pulled at any moment leaves a board that accepts the image at
the next try. esptool is GPL and is run as a program, `python -m esptool`. Fails with FlashError
(image), InputError (no such file), DeviceError (no drive, no tool), UsageError (no such chip).
"""

import hashlib
import os
import re
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from stagelog.errors import DeviceError, InputError, UsageError
from stagelog.flash.build import FlashError

# 1.29 as two unrelated projects published it, 1.28 as one did; we had neither file.
RELEASES = {
    "RPI_PICO-20260824-v1.29.0.uf2": (
        "e1160e602e277d85920adb5fe741435edccba9ba6ecadc85fdab75252eeff4e9"
    ),
    "RPI_PICO-20260406-v1.28.0.uf2": (
        "986e7d814fc89da543d49ce7948cae2c461add4739add21e427fc581d3bb67b0"
    ),
}
_INFO = "INFO_UF2.TXT"
_UF2_MAGIC = b"UF2\n"
_UF2_BLOCK_BYTES = 512
_UF2_HAS_FAMILY = 0x2000  # in the word at 8; the family is the word at 28
# RP2040; RP2350 with Arm cores, the one whose MicroPython our firmware is compiled for
_UF2_FAMILIES = {0xE48BFF56: "RP2040", 0xE48BFF59: "RP2350"}
_UF2_IMAGES = {"RP2040": "RPI_PICO", "RP2350": "RPI_PICO2"}
_ESP_OFFSETS = {"esp32": 0x1000, "esp32s2": 0x1000, "esp32s3": 0, "esp32c3": 0, "esp32c6": 0}
# In the header of Espressif's images: 0xE9 first, the chip in bytes 12 and 13.
_ESP_MAGIC = 0xE9
_ESP_CHIPS = {0: "esp32", 2: "esp32s2", 5: "esp32c3", 9: "esp32s3", 13: "esp32c6"}
# esptool 4 and 5, when the board has another chip than the image.
_OTHER_CHIP = re.compile(r"This chip is (ESP32(?:-[A-Z]\d+)?)")
_ESP_TIMEOUT_S = 600


def checked_image(path: str | Path, sha256: str | None = None) -> bytes:
    """Return the bytes of an image whose SHA-256 is `sha256`, or has that of RELEASES or of a file
    `<path>.sha256`.

    Raises   FlashError without a digest or with another one, InputError without a file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    beside = path.with_name(path.name + ".sha256")
    sha256 = sha256 or RELEASES.get(path.name)
    if sha256 is None and beside.is_file():
        sha256 = beside.read_text(encoding="utf-8").split()[0]
    found = hashlib.sha256(content).hexdigest()
    if sha256 is None:
        raise FlashError(
            f"no SHA-256 is given for {path.name} and there is no {beside.name}",
            hint=f"compare with the maker's page, then: --sha256 {found}",
        )
    if found != sha256.lower():
        raise FlashError(
            f"{path.name} has SHA-256 {found}, {sha256} is wanted", hint="download it again"
        )
    return content


def find_drives(roots: Iterable[Path] | None = None) -> list[Path]:
    """Return the mounted drives of boot loaders of an RP2040 or RP2350."""
    places = []
    for root in _mount_roots() if roots is None else roots:
        places += [root, *root.glob("*"), *root.glob("*/*")]
    drives = [place for place in places if _boot_chip(place)]
    return sorted(set(drives))


def write_uf2(
    content: bytes, drive: str | Path | None = None, roots: Iterable[Path] | None = None
) -> Path:
    """Copy an image onto the boot loader's drive; the board then starts it by itself."""
    if not content.startswith(_UF2_MAGIC):
        raise FlashError("the image is not a UF2", hint="a Pico needs the .uf2 of a release")
    if drive is None:
        drives = find_drives(roots)
        if len(drives) != 1:
            raise DeviceError(
                f"{len(drives)} boards wait in their boot loader",
                "hold BOOTSEL while you plug in one board, or name its drive with --drive",
            )
        drive = drives[0]
    found = _boot_chip(Path(drive))
    if found is None:
        raise DeviceError(
            f"{drive} is not the drive of a Pico's boot loader",
            "hold BOOTSEL while you plug the board in; the drive is called RPI-RP2, or RP2350",
        )
    wanted = uf2_chip_of(content)
    if wanted not in (None, found):
        raise DeviceError(
            f"the board at {drive} has an {found}, the image is for {wanted}",
            f"its image is called {_UF2_IMAGES[found]}-DATE-VERSION.uf2 on MicroPython's"
            " download page",
        )
    try:
        with open(Path(drive, "image.uf2"), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DeviceError(
            f"the image did not fit onto {drive}: {error.strerror}",
            "unplug the board, hold BOOTSEL while you plug it in, and repeat",
        ) from None
    return Path(drive)


def uf2_chip_of(content: bytes) -> str | None:
    """Return the chip that a UF2 is for, None if it does not say, or is for another than ours."""
    for at in range(0, len(content) - _UF2_BLOCK_BYTES + 1, _UF2_BLOCK_BYTES):
        flags, family = (int.from_bytes(content[at + n : at + n + 4], "little") for n in (8, 28))
        if flags & _UF2_HAS_FAMILY and family in _UF2_FAMILIES:
            return _UF2_FAMILIES[family]
    return None


def esp_chip_of(content: bytes) -> str | None:
    """Return the chip that an image is for, None if it is not for an ESP32."""
    if len(content) < 16 or content[0] != _ESP_MAGIC:
        return None
    return _ESP_CHIPS.get(int.from_bytes(content[12:14], "little"))


def write_esp(
    content: bytes,
    port: str,
    chip: str = "esp32s3",
    tool: Sequence[str] = (sys.executable, "-m", "esptool"),
) -> None:
    """Erase an ESP32 and write an image of MicroPython; all that was on it is lost."""
    if chip not in _ESP_OFFSETS:
        raise UsageError(f"no chip is called '{chip}'", f"known: {', '.join(_ESP_OFFSETS)}")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.bin")
        image.write_bytes(content)
        command = [*tool, "--chip", chip, "--port", str(port), "write_flash", "--erase-all"]
        command += [hex(_ESP_OFFSETS[chip]), str(image)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_ESP_TIMEOUT_S,
            )
        except FileNotFoundError:
            raise DeviceError(f"{tool[0]} is not installed", "pip install esptool") from None
        except subprocess.TimeoutExpired:
            raise DeviceError(f"esptool did not finish on {port}", "try another cable") from None
    if done.returncode:
        said = done.stdout + done.stderr
        if other := _OTHER_CHIP.search(said):
            family = "_".join(["ESP32_GENERIC", *other[1].split("-")[1:]])
            raise DeviceError(
                f"the board on {port} has an {other[1]}, the image is for {chip}",
                f"its image is called {family}-DATE-VERSION.bin on MicroPython's download page",
            )
        lines = said.strip().splitlines() or ["no reason given"]
        raise DeviceError(
            f"esptool on {port}: {lines[-1]}",
            "hold BOOT, press RESET, and repeat; 'pip install esptool' if it is not there",
        )


def _boot_chip(place: Path) -> str | None:
    """Return the chip whose boot loader's drive is mounted at `place`, None if none is."""
    try:
        text = (place / _INFO).read_text(errors="replace")
    except OSError:
        return None
    return ("RP2350" if "RP2350" in text else "RP2040") if "RP2" in text else None


def _mount_roots() -> list[Path]:
    user = os.environ.get("USER", "")
    roots = [Path("/media"), Path("/media", user), Path("/run/media", user), Path("/Volumes")]
    if os.name == "nt":
        roots += [Path(f"{letter}:/") for letter in string.ascii_uppercase]
    return [root for root in roots if root.is_dir()]
