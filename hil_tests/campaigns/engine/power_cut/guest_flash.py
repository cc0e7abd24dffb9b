"""Run by MicroPython: the board's own flash, littlefs on it, and a power cut at every erase and
program.

    micropython guest_flash.py FIRMWARE SEED [CASE]

Settings are saved by the shipped `boards.files`; a new firmware is put into the other slot by the
operations of `stagelog.flash.install`, or from a package on the card by `logger.card_update`, and
`main.py` as shipped decides what starts. After every cut the file system is mounted anew: the old
or the new must be there, never neither. Prints one JSON object: cases, and [case, what was
violated] of each. A CASE is KIND:TURN:OPERATION:TEAR; without one all are run.
"""

import hashlib
import io
import json
import os
import sys

import vfs

BLOCK = 4096
N_BLOCKS = 96
PLACE = "/flash"
ONLY = sys.argv[3:]  # the case to run, or none: all


class Cut(Exception):
    """The power has gone."""


class Flash:
    """NOR flash in memory: erased to FF, programmed in order. Operation `limit` is the last, torn
    as `tear` says.
    """

    def __init__(self, content=None, limit=None, tear=0):
        self.content = bytearray(content or b"\xff" * (BLOCK * N_BLOCKS))
        self.limit = limit
        self.tear = tear
        self.n = 0

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = self.content[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        n = self._spend(len(buf))
        self.content[at : at + n] = buf[:n]
        if n < len(buf):
            if self.tear == 2:
                self.content[at + n] = buf[n] & self.content[at + n] | 0x55
            raise Cut

    def ioctl(self, op, arg):
        if op == 4:
            return N_BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            at = arg * BLOCK
            n = self._spend(BLOCK)
            self.content[at : at + n] = b"\xff" * n
            if n < BLOCK:
                raise Cut
            return 0
        return 0

    def _spend(self, n):
        """Return how much of an operation of `n` bytes is done before the power goes."""
        self.n += 1
        if self.limit is None or self.n < self.limit:
            return n
        if self.n > self.limit or self.tear == 0:
            return 0
        return n // 2 + 1 if n > 1 else 0


def mounted(flash):
    """Mount the flash at PLACE; formats nothing."""
    vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=32, lookahead=32), PLACE)


def unmount():
    """Unmount whatever is at PLACE."""
    try:
        vfs.umount(PLACE)
    except (OSError, Cut):
        pass


def fresh():
    """Return the content of an empty file system."""
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash, progsize=256, readsize=32, lookahead=32)
    return bytes(flash.content)


def after(content, job, check, what, violations):
    """Cut `job` on `content` at every operation, three ways, or at the one of the CASE.

    Returns (what an uncut job leaves, number of cuts).
    """
    flash = Flash(content)
    mounted(flash)
    job()
    unmount()
    done = bytes(flash.content)
    n_cases = 0
    for limit in range(1, flash.n + 1):
        for tear in range(3):
            case = f"{what}:{limit}:{tear}"
            if ONLY and case not in ONLY:
                continue
            n_cases += 1
            cut = Flash(content, limit, tear)
            try:
                mounted(cut)
                job()
            except (Cut, OSError):
                pass
            unmount()
            left = Flash(cut.content)
            try:
                mounted(left)
                text = check()
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
            unmount()
            if text:
                violations.append([case, text])
    return done, n_cases


def settings(seed, violations):
    """Save items again and again."""
    content = fresh()
    n_cases = 0
    old = None
    for turn in range(7):
        new = hashlib.sha256(b"%d %d" % (seed, turn)).digest() * (1 + 37 * turn % 90)
        job, check = saving(old, new)
        content, n = after(content, job, check, f"settings:{turn}", violations)
        n_cases += n
        old = new
    return n_cases


def saving(old, new):
    """Return (job, check) of one save."""
    from boards.files import Settings

    store = Settings(PLACE + "/settings")

    def check():
        found = store.load(0)
        if found != new and found != old:
            return f"neither old nor new: {found and len(found)} bytes"
        store.save(0, b"again")
        return None if store.load(0) == b"again" else "can't be saved again"

    return lambda: store.save(0, new), check


def pack(source):
    """Return a slot file as main.py reads it, with room for something to tear."""
    body = source * 9000
    text = b"start.py %d" % len(body)
    rest = len(text).to_bytes(2, "little") + text + body
    return hashlib.sha256(rest).digest() + rest


def put(path, content):
    """Write a file in pieces, as the host does through the prompt."""
    with open(PLACE + path, "wb") as file:
        for at in range(0, len(content), 1024):
            file.write(content[at : at + 1024])


def boot(firmware):
    """Run the shipped main.py; return what the slot that it starts holds, or None."""
    started = []
    slots = []

    class Start:
        @staticmethod
        def run(slot, memory, at):
            started.append(slot)

    class Os:
        listdir = staticmethod(lambda path: os.listdir(PLACE))
        rename = staticmethod(lambda a, b: os.rename(PLACE + a, PLACE + b))
        mount = staticmethod(lambda slot, place: slots.append(slot))

    class Machine:
        mem32 = {0x4005800C: 0}
        reset = staticmethod(lambda: None)
        WDT = staticmethod(lambda timeout: None)

    class Implementation:
        _machine = "Raspberry Pi Pico with RP2040"

    class Sys:
        path = []
        implementation = Implementation
        print_exception = staticmethod(sys.print_exception)

    modules = {"os": Os, "machine": Machine, "sys": Sys}
    kept = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        with open(firmware + "/main.py") as file:
            source = file.read()
        names = {
            "open": lambda path, mode="r": open(PLACE + path, mode),
            "__import__": lambda name: Start,
            "print": lambda *args: None,
            "__name__": "__main__",
        }
        exec(source, names)
    finally:
        for name, module in kept.items():
            if module is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = module
    return "ab"[started[0]] if started else None


def slots(firmware, violations):
    """Put a new firmware into the other slot, and again into the first."""
    content = fresh()
    apps = [pack(b"%d;" % i) for i in range(4)]
    flash = Flash(content)
    mounted(flash)
    put("/a.app", apps[0])
    put("/slot.a", b"")
    unmount()
    content = bytes(flash.content)
    n_cases = 0
    named = "a"
    for i in range(1, len(apps)):
        old, new = apps[i - 1], apps[i]
        other = "b" if named == "a" else "a"
        job, check = replacing(firmware, named, other, old, new)
        content, n = after(content, job, check, f"slot:{i}", violations)
        n_cases += n
        named = other
    return n_cases


def replacing(firmware, named, other, old, new):
    """Return (job, check) of one update: `new` goes into the slot that is not `named`."""

    def update():
        put(f"/{other}.new", new)
        os.rename(f"{PLACE}/{other}.new", f"{PLACE}/{other}.app")
        os.rename(f"{PLACE}/slot.{named}", f"{PLACE}/slot.{other}")

    def check():
        slot = boot(firmware)
        if slot is None:
            return "nothing starts"
        with open(f"{PLACE}/{slot}.app", "rb") as file:
            found = file.read()
        return None if found in (old, new) else f"slot {slot} holds neither the old nor the new"

    return update, check


def card_update(violations):
    """Install a package from the card, beside slot A that runs."""
    from logger.card_update import take_package
    from slog import messages as m
    from slog import package as p

    old, new = pack(b"old;"), pack(b"new;")
    key, car = bytes(range(32)), b'{"car": "C01"}'
    settings = b'{"car": "C01", "flush_ms": 100}'
    signals = b"SLST" * 700

    from boards.files import Settings

    class Kept(Settings):
        """Settings whose slot A lies on the flash of this test."""

        def open(self, item):
            if item == m.CONFIG_FIRMWARE:
                return io.BytesIO(old[:32]), 32
            return super().open(item)

    class Board:
        device_id = b"PICO0001"
        name = "pico"
        slot = 0

        class ring:
            memory = bytearray(4096)

    board = Board()
    board.nv = Kept(PLACE + "/settings")
    package = packed(p, board, key, (new, settings, signals))

    def first():
        put("/a.app", old)
        put("/slot.a", b"")
        board.nv.save(m.CONFIG_SETTINGS, car)
        board.nv.save(m.CONFIG_KEY, key)

    def update():
        return take_package(board, io.BytesIO(package), 77, lambda: None, PLACE)

    def check():
        slot = boot(sys.argv[1])
        if slot is None:
            return "nothing starts"
        with open(f"{PLACE}/{slot}.app", "rb") as file:
            found = file.read()
        if found not in (old, new):
            return f"slot {slot} holds neither the old nor the new"
        if board.nv.load(m.CONFIG_SETTINGS) not in (car, settings):
            return "the settings are neither the old nor the new"
        if board.nv.load(m.CONFIG_SIGNALS) not in (None, signals):
            return "the signal table is neither none nor the new"
        if found == new:
            kept = p.load_update(board.nv.load(m.CONFIG_UPDATE))
            done = board.nv.load(m.CONFIG_SIGNALS) == signals and kept["number"] == 5
            return None if done else "the new program runs without all of the package"
        again = update()
        if again != p.INSTALLED or boot(sys.argv[1]) != "b":
            return f"repeated at the next power-on: {again}"

    content = fresh()
    flash = Flash(content)
    mounted(flash)
    first()
    unmount()
    return after(bytes(flash.content), update, check, "card", violations)[1]


def packed(p, board, key, contents):
    """Return the bytes of a package; the HMAC by RFC 2104."""
    from slog.layout import pack as pack_fields

    values = {
        "magic": p.MAGIC, "version": p.VERSION, "mpy": sys.implementation._mpy & 0xFFFF,
        "number": 5, "device_id": board.device_id, "car": b"C01", "board": board.name.encode(),
        "n_firmware": len(contents[0]), "n_settings": len(contents[1]),
        "n_signals": len(contents[2]),
    }  # fmt: skip
    head, body = pack_fields(p.PACKAGE, values), b"".join(contents)
    pads = [bytes([byte ^ pad for byte in key + bytes(32)]) for pad in (0x36, 0x5C)]
    inner = hashlib.sha256(pads[0] + head + body).digest()
    return head + hashlib.sha256(pads[1] + inner).digest() + body + b"{}"


def main():
    """Run all and print the outcome."""
    firmware, seed = sys.argv[1], int(sys.argv[2])
    sys.path.append(firmware)
    violations = []
    found = {"settings": settings(seed, violations), "slot": slots(firmware, violations)}
    found["card"] = card_update(violations)
    found["violations"] = violations
    print(json.dumps(found))


main()
