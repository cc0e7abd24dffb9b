"""Frames on any byte stream: COBS between zero bytes, CRC-32 at the end. Garbage costs one frame
at most.

    0x00 | COBS( type u8, request u8, payload, crc32 u32 ) | 0x00

More zero bytes between frames mean nothing. The receiver holds one buffer; what does not fit, does
not decode or fails its CRC is counted and forgotten.
"""

import binascii
import struct

from slog.layout import BLOCK_BYTES, CRC_BYTES, SECTOR_BYTES, const

_HEAD_BYTES = const(2)  # type and request
MAX_PAYLOAD = BLOCK_BYTES + 64
MAX_FRAME = _HEAD_BYTES + MAX_PAYLOAD + CRC_BYTES
MAX_WIRE = MAX_FRAME + MAX_FRAME // 254 + 3
PACKET_BYTES = const(64)  # of USB


def cobs_encode(src, n, out, at):
    """Write the COBS form of src[:n] into `out` from `at`; return the end. Allocates nothing."""
    code_at = at
    at += 1
    code = 1
    for i in range(n):
        byte = src[i]
        if byte:
            out[at] = byte
            at += 1
            code += 1
            if code < 255:
                continue
        out[code_at] = code
        code_at = at
        at += 1
        code = 1
    out[code_at] = code
    return at


def cobs_decode(buf, n):
    """Decode buf[:n] in place; return the length, or -1 if it is not COBS. Allocates nothing."""
    read = 0
    write = 0
    while read < n:
        code = buf[read]
        read += 1
        if code == 0 or read + code - 1 > n:
            return -1
        for _ in range(code - 1):
            if buf[read] == 0:
                return -1
            buf[write] = buf[read]
            write += 1
            read += 1
        if code < 255 and read < n:
            buf[write] = 0
            write += 1
    return write


class FrameWriter:
    """Makes frames in a buffer of its own, piece by piece.

    wire   memoryview of the buffer: what `end` says is the frame

    A board may have one that is faster (`drivers.rp2_cobs`).
    """

    def __init__(self, encode=cobs_encode):
        self.wire = memoryview(bytearray(MAX_WIRE + PACKET_BYTES))
        self._src = bytearray(MAX_FRAME)
        self._n = 0
        self._encode = encode

    def begin(self, kind, request):
        """Begin a frame; what was begun before is forgotten."""
        self._src[0] = kind
        self._src[1] = request
        self._n = _HEAD_BYTES

    def put(self, data, at, n):
        """Append `n` bytes of `data` from `at` to the payload, MAX_PAYLOAD bytes in all."""
        end = self._n + n
        self._src[self._n : end] = memoryview(data)[at : at + n]
        self._n = end

    def put_sector(self, data):
        """Append the 512 bytes of `data`, at a time when no card is written."""
        self.put(data, 0, SECTOR_BYTES)

    def end(self):
        """Finish the frame; return its bytes on the wire, zeros up to whole packets included."""
        n = self._n
        struct.pack_into("<I", self._src, n, binascii.crc32(memoryview(self._src)[:n]))
        end = self._encode(self._src, n + CRC_BYTES, self.wire, 1)
        return close_wire(self.wire, end)


def close_wire(wire, end):
    """Put zeros after the COBS form that ends at `end`, up to whole packets; return the length."""
    n = (end // PACKET_BYTES + 1) * PACKET_BYTES
    while end < n:
        wire[end] = 0
        end += 1
    return n


def frame(kind, request, payload, encode=cobs_encode):
    """Return the wire bytes of one frame."""
    n = _HEAD_BYTES + len(payload)
    end = n + CRC_BYTES
    src = bytearray(end)
    src[0] = kind
    src[1] = request
    src[_HEAD_BYTES:n] = payload
    struct.pack_into("<I", src, n, binascii.crc32(memoryview(src)[:n]))
    out = bytearray(end + end // 254 + 3)
    end = encode(src, end, out, 1)
    return bytes(memoryview(out)[: end + 1])


class Receiver:
    """Cuts a byte stream into frames. Invariant: after any zero byte the next frame is received
    whole.
    """

    def __init__(self, decode=cobs_decode, max_wire=MAX_WIRE):
        self.wire = bytearray(max_wire)
        self._view = memoryview(self.wire)
        self._decode = decode
        self._n = 0
        self._skip = False
        self.n_bad = 0

    def feed(self, chunk, handle):
        """Take `chunk`; call handle(type, request, payload view) for each good frame.

        The view is valid only during the call.
        """
        for byte in chunk:
            if byte:
                if self._n < len(self.wire):
                    self.wire[self._n] = byte
                    self._n += 1
                else:
                    self._skip = True
            elif self._n:
                self._finish(handle)

    def _finish(self, handle):
        n = -1 if self._skip else self._decode(self.wire, self._n)
        self._n = 0
        self._skip = False
        n -= CRC_BYTES
        if n >= _HEAD_BYTES:
            want = struct.unpack_from("<I", self.wire, n)[0]
            if binascii.crc32(self._view[:n]) == want:
                handle(self.wire[0], self.wire[1], self._view[_HEAD_BYTES:n])
                return
        self.n_bad += 1
