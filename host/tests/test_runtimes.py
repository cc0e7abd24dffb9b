"""Finding runtimes: what is taken, what is refused, what is made once."""

import hashlib
import io
import re
import struct
import threading

import pytest

from stagelog.errors import UsageError
from stagelog.rig import runtimes
from stagelog.rig.build import debian, recipes
from stagelog.rig.runtimes import RuntimeUnavailable, ensure_runtime, find_runtime

PROGRAM = "#!/bin/sh\necho {name} {major} {minor} {maxsize}\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no runtime from the environment or PATH."""
    monkeypatch.setenv("STAGELOG_CACHE", str(tmp_path / "cache"))
    for name in runtimes.RUNTIMES:
        monkeypatch.delenv(runtimes.variable_name(name), raising=False)
    monkeypatch.setattr(runtimes.shutil, "which", lambda _name: None)
    return tmp_path / "cache"


def make_program(path, name="micropython", major=1, minor=26, maxsize=2**63 - 1):
    path.write_text(PROGRAM.format(name=name, major=major, minor=minor, maxsize=maxsize))
    path.chmod(0o755)
    return path


def make_uf2(path, version="v1.25.0", family=0xE48BFF56):
    flash = (version.encode() + b" on a day").ljust(512, b"\0")
    blocks = [
        struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, 256 * k, 256, k, 2, family)
        + flash[256 * k : 256 * k + 256].ljust(476, b"\0")
        + struct.pack("<I", 0x0AB16F30)
        for k in range(2)
    ]
    path.write_bytes(b"".join(blocks))
    return path


def test_nothing_is_found_in_an_empty_cache():
    assert [find_runtime(name) for name in runtimes.RUNTIMES] == [None] * len(runtimes.RUNTIMES)


def test_unknown_name_is_a_usage_error():
    with pytest.raises(UsageError, match=r"unix16.*unix64"):
        find_runtime("unix16")


def test_own_program_is_taken(tmp_path, monkeypatch):
    program = make_program(tmp_path / "own")
    monkeypatch.setenv("STAGELOG_UNIX64", str(program))
    assert find_runtime("unix64") == ensure_runtime("unix64") == program


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"maxsize": 2**31 - 1}, "32 bits"),
        ({"minor": 24}, r"1\.24"),
        ({"name": "circuitpython"}, "not a MicroPython"),
    ],
)
def test_own_program_is_refused_when_wrong(tmp_path, monkeypatch, wrong, reason):
    monkeypatch.setenv("STAGELOG_UNIX64", str(make_program(tmp_path / "own", **wrong)))
    with pytest.raises(UsageError, match=rf"STAGELOG_UNIX64.*{reason}"):
        find_runtime("unix64")


def test_program_on_path_is_taken_only_when_right(tmp_path, monkeypatch):
    program = make_program(tmp_path / "micropython")
    monkeypatch.setattr(runtimes.shutil, "which", lambda _name: str(program))
    assert find_runtime("unix64") == program
    assert find_runtime("unix32") is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"version": "v1.26.1"}, r"not MicroPython 1\.25"),
        ({"family": 0xADA52840}, "RP2040"),
    ],
)
def test_own_image_is_refused_when_wrong(tmp_path, monkeypatch, wrong, reason):
    monkeypatch.setenv("STAGELOG_PICO_1_25", str(make_uf2(tmp_path / "own.uf2", **wrong)))
    with pytest.raises(UsageError, match=reason):
        find_runtime("pico-1.25")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\x7fELF\x02\x01", "not a program for a 32-bit RISC-V"),  # of 64 bits
        (b"\x7fELF\x01\x01", "no qemu-system-riscv32"),
    ],
)
def test_own_risc_v_image_is_refused_when_wrong_or_without_its_emulator(
    tmp_path, monkeypatch, header, reason
):
    """The ELF header: class in byte 4, byte order in 5, the machine at 18, RISC-V is 243."""
    own = tmp_path / "own.elf"
    own.write_bytes(header.ljust(18, b"\0") + (243).to_bytes(2, "little"))
    monkeypatch.setenv("STAGELOG_RV32", str(own))
    with pytest.raises(UsageError, match=reason):
        find_runtime("rv32")


def test_image_with_version_across_blocks_is_taken(tmp_path, monkeypatch):
    image = make_uf2(tmp_path / "own.uf2", version="x" * 253 + "v1.25.0")
    monkeypatch.setenv("STAGELOG_PICO_1_25", str(image))
    assert find_runtime("pico-1.25") == image


def test_several_callers_build_once(monkeypatch):
    builds = []

    def build(name, target, cache, say):
        builds.append(name)
        target.parent.mkdir(parents=True)
        make_program(target)

    monkeypatch.setattr(runtimes, "build", build)
    found = []
    callers = [
        threading.Thread(target=lambda: found.append(ensure_runtime("unix64", lambda _text: None)))
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert builds == ["unix64"]
    assert set(found) == {find_runtime("unix64")}


def test_built_runtime_that_does_not_work_is_not_kept(monkeypatch):
    def build(name, target, cache, say):
        target.parent.mkdir(parents=True)
        make_program(target, minor=20)

    monkeypatch.setattr(runtimes, "build", build)
    with pytest.raises(RuntimeUnavailable, match=r"1\.20"):
        ensure_runtime("unix64", lambda _text: None)
    assert find_runtime("unix64") is None


@pytest.fixture
def offline(monkeypatch):
    """No Debian mirror; the maker's place holds what is put into the dict that this returns."""
    place = {}

    def build(name, target, cache, say):
        raise RuntimeUnavailable("no C compiler", hint="install gcc")

    def urlopen(uri, timeout):
        name = uri.removeprefix("https://micropython.org/resources/firmware/")
        if name not in place:
            raise runtimes.urllib.error.URLError("no route")
        return io.BytesIO(place[name])

    monkeypatch.setattr(runtimes, "build", build)
    monkeypatch.setattr(runtimes.urllib.request, "urlopen", urlopen)
    return place


def test_image_that_cannot_be_built_is_downloaded(tmp_path, offline):
    image = make_uf2(tmp_path / "own.uf2").read_bytes()
    offline["RPI_PICO-20250415-v1.25.0.uf2"] = image
    said = []
    path = ensure_runtime("pico-1.25", said.append)
    assert path == find_runtime("pico-1.25") and path.read_bytes() == image
    assert any(hashlib.sha256(image).hexdigest() in line for line in said)


@pytest.mark.parametrize(
    ("name", "file", "what"),
    [
        ("pico-1.25", "RPI_PICO-20250415-v1.25.0.uf2", "not a UF2"),
        ("pico-1.29", "RPI_PICO-20260824-v1.29.0.uf2", "SHA-256 .* is wanted"),
    ],
)
def test_downloaded_page_that_is_no_image_is_refused(offline, name, file, what):
    offline[file] = b"<html>log in first</html>"
    with pytest.raises(RuntimeUnavailable, match=what):
        ensure_runtime(name, lambda _text: None)
    assert find_runtime(name) is None


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("unix64", "no C compiler", "install gcc.*STAGELOG_UNIX64"),
        ("pico-1.25", "no C compiler.*no route", r"install gcc.*v1\.25\.0\.uf2.*PICO_1_25"),
        ("pico-1.29", "no route", r"v1\.29\.0\.uf2 elsewhere.*PICO_1_29"),
    ],
)
def test_when_no_way_works_all_are_named(offline, name, what, hint):
    with pytest.raises(RuntimeUnavailable, match=what) as caught:
        ensure_runtime(name, lambda _text: None)
    assert re.search(hint, caught.value.hint)


def test_recipe_key_follows_its_script(tmp_path, monkeypatch):
    before = recipes.RECIPES["unix64"].key
    assert before != recipes.RECIPES["unix32"].key
    (tmp_path / "unix.sh").write_text("exit 1\n")
    monkeypatch.setattr(recipes, "_HERE", tmp_path)
    assert recipes.RECIPES["unix64"].key != before


def serve(monkeypatch, files):
    """Let the mirrors of these files be the only ones; return the list of addresses asked."""
    asked = []

    def urlopen(uri, timeout):
        asked.append(uri)
        if uri not in files:
            raise debian.urllib.error.URLError("404")
        return io.BytesIO(files[uri])

    monkeypatch.setattr(debian, "_APT_HELPER", debian.Path("nowhere"))
    monkeypatch.setattr(debian.urllib.request, "urlopen", urlopen)
    mirrors = ["http://one.test/debian", "http://two.test/debian/"]
    monkeypatch.setattr(debian, "find_mirrors", lambda folder, log: mirrors)
    return asked


def test_fetch_goes_on_to_the_next_mirror_and_keeps_the_file(tmp_path, monkeypatch):
    content = b"sources"
    digest = hashlib.sha256(content).hexdigest()
    asked = serve(monkeypatch, {"http://two.test/debian/pool/a.tar": content})
    for _ in range(2):
        path = debian.fetch("pool/a.tar", digest, tmp_path, io.StringIO())
        assert path.read_bytes() == content
    assert asked == ["http://one.test/debian/pool/a.tar", "http://two.test/debian/pool/a.tar"]


def test_fetch_refuses_another_file_than_was_pinned(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"sources").hexdigest()
    serve(monkeypatch, {"http://one.test/debian/pool/a.tar": b"other"})
    with pytest.raises(RuntimeUnavailable, match=r"pool/a\.tar.*STAGELOG_DEBIAN_MIRROR"):
        debian.fetch("pool/a.tar", digest, tmp_path, io.StringIO())
    assert list(tmp_path.iterdir()) == []


def test_own_mirror_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://own.test/debian")
    assert debian.find_mirrors(tmp_path, io.StringIO()) == ["http://own.test/debian"]
