#!/bin/sh
# Build MicroPython for QEMU's 32-bit RISC-V machine as an ELF file.
# In: SRC (source tree), OUT (the file), WORK (scratch folder), JOBS, PYTHON
set -eu
export PYTHONHASHSEED=0 # else the order of some tables changes from build to build
touch "$SRC/lib/micropython-lib/README.md"
# Without -misa-spec, gcc 12 finds no library for the instructions that it is to use.
make -C "$SRC/ports/qemu" -j"$JOBS" PYTHON="$PYTHON" BOARD=VIRT_RV32 FROZEN_MANIFEST= \
    MICROPY_HEAP_SIZE=1700000 "RV32_ARCH=rv32imac -misa-spec=2.2" \
    CFLAGS_EXTRA="-Wno-error -ffile-prefix-map=$SRC=."
cp "$SRC/ports/qemu/build-VIRT_RV32/firmware.elf" "$OUT"
