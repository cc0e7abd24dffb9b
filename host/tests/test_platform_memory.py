"""Large arrays have memory of their own, which ends with them, counted by glibc itself."""

import subprocess
import sys

CODE = """
import ctypes
import numpy as np
from stagelog.platform import memory

class Counts(ctypes.Structure):  # struct mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
memory.map_large_arrays()
memory.give_back()
if hasattr(libc, "mallinfo2"):
    libc.mallinfo2.restype = Counts
    first = np.ones(3_500_000)  # 28 MB: freed, it would raise the size of what is mapped
    del first
    before = libc.mallinfo2()
    held = np.ones(2_500_000)  # 20 MB
    after = libc.mallinfo2()
    assert after.hblks == before.hblks + 1, (before.hblks, after.hblks)
    assert after.arena == before.arena
print("done")
"""


def test_a_large_array_is_mapped_after_a_larger_one_was_freed():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr
