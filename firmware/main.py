"""Start /a.app or /b.app, as /slot.a or /slot.b says; the other if it is damaged or failed 3x."""

import os
import sys
from binascii import crc32
from hashlib import sha256

import machine

MEMORY = machine.mem_backup() if hasattr(machine, "mem_backup") else machine.mem32
SCRATCH = 0x400D800C if "RP2350" in sys.implementation._machine else 0x4005800C  # of the watchdog
TRIES = SCRATCH if MEMORY is machine.mem32 else 0  # two bits for each slot, under a mark that
MARK = 0x2A5C96B0  # power-on does not leave: other contents count as no try


class Slot:  # SHA-256 of the rest, length of the index in two bytes, index, contents
    def __init__(self, name):
        self.path, self.places, digest = "/%s.app" % name, {}, sha256()
        file, buf = open(self.path, "rb"), memoryview(bytearray(2048))
        wanted = file.read(32)
        while n := file.readinto(buf):
            digest.update(buf[:n])
        if digest.digest() != wanted:
            raise OSError("%s is damaged" % self.path)
        file.seek(32)
        at = 34 + int.from_bytes(file.read(2), "little")
        for path, n in [line.split() for line in file.read(at - 34).decode().split("\n")]:
            self.places[self.key(path)] = at if int(n) else 0
            at += int(n)

    def key(self, path):
        return crc32(path.lstrip("/").encode()) >> 2  # a text each would cost the ring a block

    def mount(self, readonly, mkfs):
        pass

    def stat(self, path):
        return (0x8000 if self.places[self.key(path)] else 0x4000,) + (0,) * 9

    def open(self, path, mode):
        file = open(self.path, "rb")
        file.seek(self.places[self.key(path)])
        return file


MEMORY[TRIES] = MEMORY[TRIES] if MEMORY[TRIES] & ~15 == MARK else MARK  # type: ignore[index]
try:
    named = int("slot.b" in os.listdir("/"))
    for slot in [s for s in (named, 1 - named) if MEMORY[TRIES] >> 2 * s & 3 < 3]:
        try:
            os.mount(Slot("ab"[slot]), "/app")
            if slot != named:
                os.rename("/slot." + "ab"[named], "/slot." + "ab"[slot])
        except OSError as error:
            print(error)
            continue
        MEMORY[TRIES] += 1 << 2 * slot  # type: ignore[index]
        machine.WDT(timeout=8000)  # the board feeds it once it runs; no prompt is under it
        sys.path[:] = ["/app"]
        __import__("start").run(slot, MEMORY, TRIES)
        break
except Exception as error:
    sys.print_exception(error)
    machine.reset()
