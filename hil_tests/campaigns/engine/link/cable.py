"""A cable that loses, doubles, delays, reorders, flips, cuts and adds: the bytes between logger
and host.

Works on the bytes of each direction; what belongs together is found by the zero bytes of the
framing, which any fault may destroy too. Time is the bench's. A pulled cable is a DeviceError on
the next call, as a serial port gives it.
"""

import heapq

from cobs import cobs

from stagelog.errors import DeviceError

RATE_BYTES_PER_MS = 1000  # about what USB full speed leaves of 12 Mbit/s


def fast_cobs_encode(src, n, out, at):
    """Write the COBS form of src[:n] into `out` from `at`; as slog.framing.cobs_encode."""
    encoded = cobs.encode(bytes(src[:n]))
    end = at + len(encoded)
    out[at:end] = encoded
    return end


class RatedLink:
    """The logger's end: takes no more per millisecond than the wire carries."""

    def __init__(self, clock, rate=RATE_BYTES_PER_MS, depth=4096):
        self._clock = clock
        self.rate = rate
        self._depth = depth
        self._t_us = clock.now_us
        self._queued = 0
        self._to_logger = bytearray()
        self._to_host = bytearray()

    def read(self, buf):
        """Fill `buf` with what has come; return how much."""
        n = min(len(buf), len(self._to_logger))
        buf[:n] = self._to_logger[:n]
        del self._to_logger[:n]
        return n

    def write(self, buf, at, n):
        """Take what the transmit buffer has room for."""
        now = self._clock.now_us
        sent = (now - self._t_us) * self.rate // 1000
        self._t_us = now
        self._queued = max(0, self._queued - sent)
        n = max(0, min(n, self._depth - self._queued))
        self._queued += n
        self._to_host.extend(memoryview(buf)[at : at + n])
        return n

    def host_write(self, data):
        """Send bytes to the logger."""
        self._to_logger.extend(data)

    def host_read(self):
        """Return all that the logger has sent."""
        sent = bytes(self._to_host)
        self._to_host.clear()
        return sent


class Faults:
    """What the cable does; probabilities are per frame, `ber` per bit.

    loss, dup      frames lost, doubled
    delay, most_delay_ms   frames held back up to so long: they come out of order
    ber            bits flipped
    cut_at         the cable is pulled when the logger has sent so many bytes
    hole           (at, n): n bytes that the logger sends from byte `at` on never come
    noise          bytes put in front of what is sent next, each direction
    """

    def __init__(self, **values):
        self.loss = self.dup = self.delay = self.ber = 0.0
        self.most_delay_ms = 0
        self.cut_at = None
        self.hole = None
        self.noise = b""
        for name, value in values.items():
            if not hasattr(self, name):
                raise TypeError(name)
            setattr(self, name, value)


class Cable:
    """The host's end of a RatedLink: a stream for stagelog.link.Link, with faults.

    n_faults   frames lost, doubled and held back, pieces with flipped bits, cuts, holes, noises
    """

    def __init__(self, bench, rng, faults):
        self.bench = bench
        self.rng = rng
        self.faults = faults
        self.n_from_logger = 0
        self.n_faults = 0
        self.is_cut = False
        self._late = []
        self._n_late = 0
        self._partial = {True: b"", False: b""}

    def write(self, data):
        """Send to the logger."""
        self._check()
        if self.faults.noise:
            data = self.faults.noise + data
            self.n_faults += 1
        self.bench.cable.host_write(self._through(data, False))

    def read(self, n):
        """Return what comes within 20 ms."""
        self._check()
        for _ in range(20):
            got = self._arrived()
            if got:
                return got
            self.bench.world.run_for(self.bench.world.loop_us)
        return self._arrived()

    def close(self):
        """Nothing to do."""

    def _check(self):
        if self.is_cut:
            raise DeviceError("the port is gone", "plug the cable in and repeat the command")

    def _arrived(self):
        sent = self.bench.cable.host_read()
        faults = self.faults
        if sent:
            start = self.n_from_logger
            self.n_from_logger += len(sent)
            if faults.cut_at is not None and self.n_from_logger >= faults.cut_at:
                sent = sent[: max(0, faults.cut_at - start)]
                self.is_cut = True
                self.n_faults += 1
            if faults.hole is not None:
                low = max(0, faults.hole[0] - start)
                high = max(0, faults.hole[0] + faults.hole[1] - start)
                self.n_faults += low < len(sent) and high > low
                sent = sent[:low] + sent[high:]
        return self._through(sent, True)

    def _through(self, data, to_host):
        """Return what comes out of the cable now when `data` goes in."""
        faults = self.faults
        if not (faults.loss or faults.dup or faults.delay):
            return self._flip(data)
        *frames, self._partial[to_host] = (self._partial[to_host] + data).split(b"\0")
        out = []
        now = self.bench.clock.now_us
        for frame in frames:
            if not frame:
                continue
            if self.rng.random() < faults.loss:
                self.n_faults += 1
                continue
            copies = 2 if self.rng.random() < faults.dup else 1
            self.n_faults += copies - 1
            for _ in range(copies):
                if self.rng.random() < faults.delay:
                    self.n_faults += 1
                    due = now + self.rng.randrange(1, 1 + faults.most_delay_ms * 1000)
                    self._n_late += 1
                    heapq.heappush(self._late, (due, self._n_late, to_host, frame))
                else:
                    out.append(frame)
        keep = []
        while self._late and self._late[0][0] <= now:
            entry = heapq.heappop(self._late)
            if entry[2] == to_host:
                out.append(entry[3])
            else:
                keep.append(entry)
        for entry in keep:
            heapq.heappush(self._late, entry)
        return self._flip(b"".join(b"\0" + frame + b"\0" for frame in out))

    def _flip(self, data):
        ber = self.faults.ber
        if not ber or not data:
            return data
        n_bits = len(data) * 8
        at = int(self.rng.expovariate(ber))
        if at >= n_bits:
            return data
        self.n_faults += 1
        data = bytearray(data)
        while at < n_bits:
            data[at >> 3] ^= 1 << (at & 7)
            at += 1 + int(self.rng.expovariate(ber))
        return bytes(data)
