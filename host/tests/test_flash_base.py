"""MicroPython onto a board: only the image that is meant, only onto what waits for one."""

import hashlib
import sys

import pytest

from stagelog.errors import DeviceError, InputError, UsageError
from stagelog.flash.base_image import (
    RELEASES,
    checked_image,
    esp_chip_of,
    find_drives,
    uf2_chip_of,
    write_esp,
    write_uf2,
)
from stagelog.flash.build import FlashError

IMAGE = b"UF2\nWQ]\x9e" + bytes(range(248)) * 4
DIGEST = hashlib.sha256(IMAGE).hexdigest()


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "pico.uf2"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "media" / "me" / "RPI-RP2"
    folder.mkdir(parents=True)
    (folder / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\n")
    return folder


def test_an_image_is_taken_with_its_digest(image):
    assert checked_image(image, DIGEST.upper()) == IMAGE
    image.with_name("pico.uf2.sha256").write_text(f"{DIGEST}  pico.uf2\n")
    assert checked_image(image) == IMAGE


def test_an_image_without_a_digest_is_refused(image):
    with pytest.raises(FlashError, match=f"no SHA-256.*--sha256 {DIGEST}"):
        checked_image(image)


def test_another_image_is_refused(image):
    image.write_bytes(IMAGE + b"!")
    with pytest.raises(FlashError, match="is wanted; download it again"):
        checked_image(image, DIGEST)


def test_a_known_release_needs_no_digest_and_takes_no_other(tmp_path, monkeypatch):
    name = next(name for name in RELEASES if "v1.29" in name)
    path = tmp_path / name
    path.write_bytes(IMAGE)
    path.with_name(f"{name}.sha256").write_text(f"{DIGEST}  {name}\n")
    with pytest.raises(FlashError, match=f"{RELEASES[name]} is wanted"):
        checked_image(path)
    assert checked_image(path, DIGEST) == IMAGE, "the user's own word counts most"
    monkeypatch.setitem(RELEASES, name, DIGEST)
    assert checked_image(path) == IMAGE


def test_no_image_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot read .*nothing.uf2"):
        checked_image(tmp_path / "nothing.uf2", DIGEST)


def test_the_boot_drive_is_found_and_gets_the_image(tmp_path, drive):
    (tmp_path / "media" / "me" / "HOLIDAY").mkdir()
    assert find_drives([tmp_path / "media"]) == [drive]
    assert write_uf2(IMAGE, roots=[tmp_path / "media"]) == drive
    assert (drive / "image.uf2").read_bytes() == IMAGE


def test_no_board_or_two_boards_are_not_guessed(tmp_path, drive):
    with pytest.raises(DeviceError, match="0 boards wait.*BOOTSEL"):
        write_uf2(IMAGE, roots=[tmp_path / "nowhere"])
    second = drive.with_name("RPI-RP2 1")
    second.mkdir()
    (second / "INFO_UF2.TXT").write_text("Model: Raspberry Pi RP2\n")
    with pytest.raises(DeviceError, match="2 boards wait"):
        write_uf2(IMAGE, roots=[tmp_path / "media"])


def test_a_drive_of_another_boot_loader_is_left_alone(tmp_path):
    (tmp_path / "INFO_UF2.TXT").write_text("UF2 Bootloader\nModel: RPX Board\n")
    with pytest.raises(DeviceError, match="not the drive"):
        write_uf2(IMAGE, drive=tmp_path)
    assert not (tmp_path / "image.uf2").exists()


def test_another_drive_is_left_alone(tmp_path):
    with pytest.raises(DeviceError, match="not the drive"):
        write_uf2(IMAGE, drive=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_uf2_stays_off_an_rp2040(drive):
    with pytest.raises(FlashError, match="not a UF2"):
        write_uf2(b"\x7fELF", drive=drive)


def uf2(*families):
    """Blocks of 512 bytes: two magics, flags 0x2000 (a family is given), ..., the family at 28."""
    head = b"UF2\nWQ]\x9e" + (0x2000).to_bytes(4, "little") + bytes(16)
    return b"".join((head + n.to_bytes(4, "little")).ljust(512, b"\0") for n in families)


# The families of UF2: RP2040, RP2350 Arm secure, RP2350 RISC-V, and the block with which images
# for an RP2350 begin (data sheet, erratum E10), whose family is "absolute".
RP2040, RP2350, RISC_V, ABSOLUTE = 0xE48BFF56, 0xE48BFF59, 0xE48BFF5A, 0xE48BFF57


@pytest.mark.parametrize(
    ("families", "chip"),
    [
        ([RP2040, RP2040], "RP2040"),
        ([ABSOLUTE, RP2350, RP2350], "RP2350"),
        ([ABSOLUTE, RISC_V], None),
        ([0xADA52840], None),
    ],
)
def test_a_uf2_says_what_chip_it_is_for(families, chip):
    assert uf2_chip_of(uf2(*families)) == chip
    assert uf2_chip_of(b"UF2\n") is None


@pytest.mark.parametrize(
    ("info", "content", "words"),
    [
        ("Model: Raspberry Pi RP2350\nBoard-ID: RP2350\n", uf2(RP2040), "an RP2350.*RPI_PICO2-"),
        (
            "Model: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n",
            uf2(ABSOLUTE, RP2350),
            "2040.*RPI_PICO-",
        ),
    ],
)
def test_the_image_of_another_chip_stays_off_and_the_right_one_is_named(
    drive, info, content, words
):
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\n" + info)
    with pytest.raises(DeviceError, match=words):
        write_uf2(content, drive=drive)
    assert not (drive / "image.uf2").exists()


def test_a_pico_2_gets_its_image(tmp_path, drive):
    (drive / "INFO_UF2.TXT").write_text("Model: Raspberry Pi RP2350\nBoard-ID: RP2350\n")
    content = uf2(ABSOLUTE, RP2350)
    assert write_uf2(content, roots=[tmp_path / "media"]) == drive
    assert (drive / "image.uf2").read_bytes() == content


FAKE_TOOL = """
import pathlib, sys
pathlib.Path(sys.argv[1]).write_text(repr(sys.argv[2:-1]))
pathlib.Path(sys.argv[1] + ".image").write_bytes(pathlib.Path(sys.argv[-1]).read_bytes())
"""


def tool(tmp_path, text):
    script = tmp_path / "esptool.py"
    script.write_text(text)
    return sys.executable, str(script), str(tmp_path / "called")


def test_an_esp32_is_erased_and_written_by_the_tool(tmp_path):
    write_esp(b"\xe9image", "/dev/ttyUSB7", "esp32", tool(tmp_path, FAKE_TOOL))
    called = (tmp_path / "called").read_text()
    assert called == (
        "['--chip', 'esp32', '--port', '/dev/ttyUSB7', 'write_flash', '--erase-all', '0x1000']"
    )
    assert (tmp_path / "called.image").read_bytes() == b"\xe9image"


@pytest.mark.parametrize(
    ("chip", "offset"),
    [("esp32", "0x1000"), ("esp32s2", "0x1000"), ("esp32s3", "0x0"), ("esp32c3", "0x0")],
)
def test_the_image_of_every_chip_has_its_offset(tmp_path, chip, offset):
    """By Espressif's boot loaders: 0x1000 on ESP32 and S2, 0 on later chips."""
    write_esp(b"x", "P", chip, tool(tmp_path, FAKE_TOOL))
    assert (tmp_path / "called").read_text().endswith(f"'{offset}']")


def test_what_the_tool_says_is_told(tmp_path):
    with pytest.raises(DeviceError, match="esptool on P: no such port; hold BOOT"):
        write_esp(b"", "P", "esp32", tool(tmp_path, "raise SystemExit('no such port')"))


@pytest.mark.parametrize(
    ("number", "chip"),
    [(0, "esp32"), (2, "esp32s2"), (5, "esp32c3"), (9, "esp32s3"), (13, "esp32c6"), (99, None)],
)
def test_an_image_says_what_chip_it_is_for(number, chip):
    """Espressif's image header: 0xE9 in byte 0, the chip's number in bytes 12 and 13."""
    header = bytes([0xE9, 3, 2, 0x2F]) + bytes(8) + number.to_bytes(2, "little")
    assert esp_chip_of(header + bytes(100)) == chip
    assert esp_chip_of(b"UF2\n" + header) is None and esp_chip_of(b"") is None


@pytest.mark.parametrize(
    ("said", "family"),
    [
        ("A fatal error occurred: This chip is ESP32-C3 not ESP32-S3. Wrong --chip?", "_C3"),
        ("This chip is ESP32, not ESP32-S3. Wrong chip argument?", ""),
    ],
)
def test_the_right_image_is_named_for_a_board_with_another_chip(tmp_path, said, family):
    fails = tool(tmp_path, f"raise SystemExit({said!r})")
    with pytest.raises(DeviceError, match=rf"for esp32s3; .* ESP32_GENERIC{family}-DATE"):
        write_esp(b"", "P", "esp32s3", fails)


def test_a_missing_tool_is_told():
    with pytest.raises(DeviceError, match="not installed"):
        write_esp(b"", "P", "esp32", ("/nowhere/esptool",))


def test_an_unknown_chip_is_named():
    with pytest.raises(UsageError, match="'esp8266'; known: esp32") as refused:
        write_esp(b"", "P", "esp8266")
    assert refused.value.exit_code == 2
