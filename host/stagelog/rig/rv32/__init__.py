"""The logger on a 32-bit RISC-V, the instruction set of an ESP32-C3 and C6: MicroPython on QEMU's
bare machine, the parts of a board as models of `rig.sim`.
"""
