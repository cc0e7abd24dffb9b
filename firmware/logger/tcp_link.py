"""The service link on a TCP port: one host at a time, once it has proven the logger's key.

Owns listening, the challenge, and who may replace whom; `slog.radio` owns the bytes. Nothing
waits: each call does what is possible now. A connection that does not answer the challenge within
3 s is closed. A second host is refused, unless the first has sent nothing for 10 s: its computer
may be gone, and a TCP connection does not show that.
"""

import os
import socket

from slog import radio
from slog.layout import const, pack, size, unpack

_ANSWER_US = const(3_000_000)
_SILENT_US = const(10_000_000)
_CHUNK = const(512)
_MOST_CHUNKS = const(8)  # that are read at once
_WAITING = const(2)  # connections that the system holds
_AGAIN = (11, 35, 115, 10035)  # EAGAIN and EINPROGRESS of Linux and lwIP, of macOS, of Windows


class _Peer:
    """A connection. `data` are bytes that its host has proven, `n_bad` pieces it has not."""

    def __init__(self, sock, t_us):
        sock.setblocking(False)
        self._sock = sock
        self._out = b""
        self.t_us = t_us  # of the connection, or of the last good piece
        self.wire = b""
        self.data = b""
        self.sealer = None
        self.opener = None

    def receive(self):
        """Return what has arrived; OSError if the other end has closed."""
        try:
            chunk = self._sock.recv(_CHUNK)
        except OSError as error:
            if error.args[0] in _AGAIN:
                return b""
            raise
        if not chunk:
            raise OSError("closed")
        return chunk

    def send(self, wire=b""):
        """Send what waits and then `wire`; return whether all has gone."""
        self._out += wire
        if self._out:
            try:
                n = self._sock.send(self._out)
            except OSError as error:
                if error.args[0] not in _AGAIN:
                    raise
                n = 0
            self._out = self._out[n:]
        return not self._out

    def close(self):
        self._sock.close()


def listen(port=radio.PORT, address="0.0.0.0"):
    """Return a socket that connections may come to."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(socket.getaddrinfo(address, port)[0][-1])
    server.listen(_WAITING)
    server.setblocking(False)
    return server


class TcpLink:
    """The logger's end of a TCP port, as `logger.service` wants a link.

    server  of `listen`; closed with the link
    key     the logger's key for packages, 32 bytes
    t_us    returns the time since boot
    """

    def __init__(self, server, key, device_id, t_us):
        self._key = radio.link_key(key)
        self._device_id = device_id
        self._t_us = t_us
        self._host = None
        self._guest = None  # who has not answered the challenge yet
        self._nonce = b""
        self.n_refused = 0
        self.t_heard = t_us()
        self._server = server

    @property
    def is_open(self):
        """True while a host is connected that has proven the key."""
        return self._host is not None

    def step(self):
        """Take connections and answers to the challenge."""
        if self._guest is None:
            try:
                sock = self._server.accept()[0]
            except OSError:
                return
            self._greet(sock)
        try:
            self._hear_guest()
        except OSError:
            self._drop_guest()

    def read(self, buf):
        """Fill `buf` with what the host has proven; return how many bytes."""
        self._hear_host()
        host = self._host
        if host is None:
            return 0
        n = min(len(buf), len(host.data))
        buf[:n] = host.data[:n]
        host.data = host.data[n:]
        return n

    def write(self, buf, at, n):
        """Send up to `n` bytes of `buf` from `at`; return how many were taken."""
        host = self._host
        if host is None:
            return n
        n = min(n, radio.MAX_PIECE)
        try:
            if not host.send():
                return 0
            host.send(host.sealer.seal(memoryview(buf)[at : at + n]))
        except OSError:
            self._hang_up(None)
        return n

    def close(self, status=radio.ENDED):
        """Close the port; the host receives the reason."""
        self._drop_guest()
        if self._host is not None:
            self._hang_up(status)
        self._server.close()

    def _hear_host(self):
        """Take one chunk from the host; return whether there was one."""
        host = self._host
        if host is None:
            return False
        try:
            host.send()
            chunk = host.receive()
            if chunk:
                host.data += host.opener.feed(chunk)
                host.t_us = self.t_heard = self._t_us()
            return bool(chunk)
        except radio.RadioError as error:
            self._hang_up(error.args[0])
        except OSError:
            self._hang_up(None)
        return False

    def _is_in_use(self):
        """Return whether the host is still there: one that has just hung up shows it behind its
        last bytes.
        """
        for _ in range(_MOST_CHUNKS):
            if not self._hear_host():
                break
        return self._host is not None and self._t_us() - self._host.t_us < _SILENT_US

    def _greet(self, sock):
        self._guest = _Peer(sock, self._t_us())
        self._nonce = os.urandom(radio.NONCE_BYTES)
        challenge = {
            "magic": radio.MAGIC,
            "version": radio.VERSION,
            "device_id": self._device_id,
            "nonce": self._nonce,
        }
        try:
            self._guest.send(pack(radio.CHALLENGE, challenge))
        except OSError:
            self._drop_guest()

    def _hear_guest(self):
        guest = self._guest
        if guest is None:
            return
        guest.send()
        guest.wire += guest.receive()
        n = size(radio.ANSWER)
        if len(guest.wire) < n:
            if self._t_us() - guest.t_us >= _ANSWER_US:
                self._refuse_guest(radio.TOO_SLOW)
            return
        answer = unpack(radio.ANSWER, guest.wire)
        nonces = self._nonce + answer["nonce"]
        wanted = radio.proof_of(self._key, radio.HOST, self._device_id, nonces)
        if not radio.is_equal(answer["proof"], wanted):
            self._refuse_guest(radio.WRONG_KEY)
        elif self._is_in_use():
            self._refuse_guest(radio.IN_USE)
        else:
            self._let_in(guest, guest.wire[n:], nonces)

    def _let_in(self, guest, rest, nonces):
        if self._host is not None:
            self._hang_up(radio.IN_USE)
        args = (self._device_id, nonces)
        guest.sealer = radio.Sealer(self._key, radio.LOGGER, *args)
        guest.opener = radio.Opener(self._key, radio.HOST, *args)
        proof = radio.proof_of(self._key, radio.LOGGER, *args)
        guest.send(pack(radio.VERDICT, {"status": radio.OK, "proof": proof}))
        guest.t_us = self.t_heard = self._t_us()
        self._guest = None
        self._host = guest
        try:
            guest.data = guest.opener.feed(rest)
        except radio.RadioError as error:
            self._hang_up(error.args[0])

    def _refuse_guest(self, status):
        self.n_refused += 1
        self._guest.send(pack(radio.VERDICT, {"status": status}))
        self._drop_guest()

    def _drop_guest(self):
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def _hang_up(self, status):
        """Close the host's connection; `status` says why, None: it is gone."""
        host, self._host = self._host, None
        if status is not None:
            self.n_refused += 1
            try:
                host.send(host.sealer.refuse(status))
            except OSError:
                pass
        host.close()


class SharedLink:
    """The cable, or the host on the radio while there is one: the cable is not heard then.

    radio  a TcpLink in service mode, else None
    """

    def __init__(self, cable):
        self._cable = cable
        self.radio = None
        self._unheard = bytearray(64)

    @property
    def is_radio(self):
        """True if what comes now, comes over the radio."""
        return self.radio is not None and self.radio.is_open

    def read(self, buf):
        """Fill `buf` with what has arrived; return how many bytes."""
        if not self.is_radio:
            return self._cable.read(buf)
        self._cable.read(self._unheard)
        return self.radio.read(buf)

    def write(self, buf, at, n):
        """Send up to `n` bytes of `buf` from `at`; return how many were taken."""
        return (self.radio if self.is_radio else self._cable).write(buf, at, n)

    def close(self):
        """Close the radio's port, and give the cable back to the REPL."""
        self.close_radio()
        self._cable.close()

    def close_radio(self):
        """Close the radio's port; the cable is heard again."""
        if self.radio is not None:
            self.radio.close()
            self.radio = None
