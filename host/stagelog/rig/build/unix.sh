#!/bin/sh
# Build MicroPython's unix port.
# In: SRC (source tree), OUT (the program), JOBS, PYTHON, M_CFLAGS, M_LDFLAGS
set -eu
export PYTHONHASHSEED=0 # else the order of some tables changes from build to build
# Debian's source leaves micropython-lib out; the makefile only looks for this file.
touch "$SRC/lib/micropython-lib/README.md"
make -C "$SRC/ports/unix" -j"$JOBS" PYTHON="$PYTHON" \
    MICROPY_PY_BTREE=0 MICROPY_PY_SSL=0 MICROPY_PY_FFI=0 FROZEN_MANIFEST= \
    CFLAGS_EXTRA="-Wno-error $M_CFLAGS" LDFLAGS_EXTRA="$M_LDFLAGS"
cp "$SRC/ports/unix/build-standard/micropython" "$OUT"
