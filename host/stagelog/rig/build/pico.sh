#!/bin/sh
# Build MicroPython for the Raspberry Pi Pico (board RPI_PICO) as a UF2 image.
# In: SRC (source tree), SDK, TINYUSB, MBEDTLS (trees that Debian's source leaves out), OUT (the image),
#     WORK (scratch folder), JOBS, PYTHON, TARGET_LIBS (folder with an empty libstdc++.a, or empty)
set -eu
export PYTHONHASHSEED=0 # else the order of some tables changes from build to build
cp -a "$SDK/." "$SRC/lib/pico-sdk/"
cp -a "$TINYUSB/." "$SRC/lib/tinyusb/"
cp -a "$MBEDTLS/." "$SRC/lib/mbedtls/"
touch "$SRC/lib/micropython-lib/README.md"
# The board's own manifest also wants parts of micropython-lib, which a logger does not use.
printf 'freeze("$(PORT_DIR)/modules")\ninclude("$(MPY_DIR)/extmod/asyncio")\n' > "$WORK/manifest.py"
make -C "$SRC/mpy-cross" -j"$JOBS" PYTHON="$PYTHON" CFLAGS_EXTRA=-Wno-error
# The same source is to give the same image wherever it is built.
export CFLAGS="-ffile-prefix-map=$SRC=. -ffile-prefix-map=$WORK=."
cmake -S "$SRC/ports/rp2" -B "$WORK/build" -DMICROPY_BOARD=RPI_PICO \
    -DMICROPY_FROZEN_MANIFEST="$WORK/manifest.py" -DPICO_SDK_PATH_OVERRIDE="$SRC/lib/pico-sdk" \
    -DPICO_BUILD_DOCS=0 -DPICO_NO_PICOTOOL=1 -DPython3_EXECUTABLE="$PYTHON" \
    -DCMAKE_EXE_LINKER_FLAGS="${TARGET_LIBS:+-L$TARGET_LIBS}"
make -C "$WORK/build" -j"$JOBS"
"$PYTHON" "$SRC/tools/uf2conv.py" -b 0x10000000 -f 0xe48bff56 -c -o "$OUT" "$WORK/build/firmware.bin"
