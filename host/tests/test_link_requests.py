"""Requests that change something: settings in pieces, an erase, a restart; from firmware/SPEC.md.

The logger is a script, as in test_link_answers.py; layouts are those of SPEC 8.3.
"""

import struct
import zlib

import pytest
from made_replies import reply
from test_link_answers import BUSY, CONTROL, OK, PENDING, framed, linked

from slog import messages as m
from stagelog.errors import ContractError, DeviceError
from stagelog.link import RequestError
from stagelog.replies import ListedSession

HELLO, ERASE, CONFIG_GET, CONFIG_SET = 0x01, 0x06, 0x07, 0x08
REFUSED, WRONG_DIGEST = m.REFUSED, m.WRONG_DIGEST
CONTENT = bytes(range(250)) * 10


def settings(script, request, payload):
    """Collect an item; return what the logger answers."""
    item, at, total, crc = struct.unpack("<BHHI", payload[:9])
    assert (item, total, crc) == (1, len(script.wanted), zlib.crc32(script.wanted))
    if at == len(script.got):
        script.got += payload[9:]
    status = OK if len(script.got) == total else PENDING
    return framed(CONFIG_SET | 0x80, request, struct.pack("<BBH", status, item, len(script.got)))


def with_item(content, answer=None):
    def whole(script, kind, request, payload):
        assert kind == CONFIG_SET
        return (answer or settings)(script, request, payload)

    script, link = linked(whole)
    script.wanted, script.got = content, b""
    return script, link


def test_settings_go_out_in_pieces_of_1024_bytes():
    script, link = with_item(CONTENT)
    link.set_config(1, CONTENT)
    assert script.got == CONTENT
    assert [len(payload) - 9 for *_, payload in script.asked] == [1024, 1024, 452]
    for n in (0, m.MAX_CONFIG_BYTES):
        script, link = with_item(bytes(n))
        link.set_config(1, bytes(n))
        assert script.got == bytes(n) and len(script.asked) == max(1, -(-n // 1024))


def test_settings_go_on_where_the_logger_wants_them():
    """It forgot all after the first piece, as after a reset: the next one begins at 0 again."""
    forgotten = []

    def answer(script, request, payload):
        reply = settings(script, request, payload)
        if len(script.got) == 2048 and not forgotten:
            forgotten.append(True)
            script.got = b""
            return framed(CONFIG_SET | 0x80, request, struct.pack("<BBH", PENDING, 1, 0))
        return reply

    script, link = with_item(CONTENT, answer)
    link.set_config(1, CONTENT)
    assert script.got == CONTENT and len(script.asked) == 5


def test_settings_that_are_refused_or_never_taken():
    def refuse(script, request, payload):
        return framed(CONFIG_SET | 0x80, request, struct.pack("<BBH", REFUSED, 1, 0))

    with pytest.raises(RequestError) as refused:
        with_item(CONTENT, refuse)[1].set_config(1, CONTENT)
    assert refused.value.status == REFUSED

    def never(script, request, payload):
        return framed(CONFIG_SET | 0x80, request, struct.pack("<BBH", PENDING, 1, 0))

    script, link = with_item(CONTENT, never)
    with pytest.raises(DeviceError, match="C03 does not take its settings"):
        link.set_config(1, CONTENT)
    assert len(script.asked) == 2 * m.MAX_CONFIG_BYTES // 1024
    script, link = with_item(CONTENT)
    with pytest.raises(DeviceError, match=f"{m.MAX_CONFIG_BYTES + 1} bytes of settings, at most"):
        link.set_config(1, bytes(m.MAX_CONFIG_BYTES + 1))
    assert not script.asked


def test_settings_that_stop_short_are_named():
    """The logger names 2,500 bytes and sends none behind the first 1,024."""

    def answer(script, kind, request, payload):
        _, at = struct.unpack("<BH", payload)
        head = struct.pack("<BBHHI", OK, 0, at, len(CONTENT), zlib.crc32(CONTENT))
        return framed(CONFIG_GET | 0x80, request, head + (CONTENT[:1024] if not at else b""))

    with pytest.raises(DeviceError, match="C03 sends 1,024 of the 2,500 bytes it names"):
        linked(answer)[1].get_config(0)


WHO = {"device_id": b"abcdefgh", "boot": 3, "nonce": 9, "first_seq": 100}
SESSION = reply(ListedSession, m.LIST_REPLY, n_blocks=40, **WHO)


def test_an_erase_is_asked_for_until_it_is_done():
    """The request names the session and the digest; its answers how far the check is."""
    done = iter([(PENDING, 0), (PENDING, 55), (OK, 100)])

    def answer(script, kind, request, payload):
        assert kind == ERASE
        assert payload == struct.pack("<8sIIII32s", b"abcdefgh", 3, 9, 100, 40, b"\7" * 32)
        return framed(ERASE | 0x80, request, struct.pack("<BBI", *next(done), 140))

    assert list(linked(answer)[1].erase(SESSION, b"\7" * 32)) == [0, 55, 100]


def test_an_erase_with_another_digest_is_refused():
    def answer(script, kind, request, payload):
        return framed(ERASE | 0x80, request, struct.pack("<BBI", WRONG_DIGEST, 100, 0))

    with pytest.raises(RequestError) as refused:
        list(linked(answer)[1].erase(SESSION, b"\7" * 32))
    assert refused.value.status == WRONG_DIGEST


class Logger:
    """Answers HELLO with boot 7; notes actions of CONTROL with the boot they are for."""

    def __init__(self, contract=None, config_status=OK):
        self.contract = contract or m.contract_hash()
        self.config_status = config_status
        self.actions = []

    def __call__(self, script, kind, request, payload):
        if kind == HELLO:
            values = {name: 0 for name, code, *_ in m.HELLO_REPLY if not code.endswith("s")}
            values |= {name: b"" for name, code, *_ in m.HELLO_REPLY if code.endswith("s")}
            values |= {"contract": self.contract, "boot": 7}
            return framed(HELLO | 0x80, request, m.build(m.HELLO_REPLY, values))
        if kind == CONTROL:
            self.actions.append(struct.unpack("<BI", payload))
            return framed(CONTROL | 0x80, request, struct.pack("<BB", OK, 1))
        self.actions.append("config")
        return framed(CONFIG_SET | 0x80, request, struct.pack("<BBH", self.config_status, 1, 9))


STOP, START, RESET = 1, 2, 3


def test_settings_are_replaced_between_two_sessions():
    logger = Logger()
    linked(logger)[1].replace_config(1, b"{}")
    assert logger.actions == [(STOP, 7), "config", (START, 7)]
    refusing = Logger(config_status=BUSY)
    with pytest.raises(RequestError):
        linked(refusing)[1].replace_config(1, b"{}")
    assert refusing.actions == [(STOP, 7), "config", (START, 7)]  # it records again in any case


def test_a_restart_closes_the_session_first():
    logger = Logger()
    linked(logger)[1].restart()
    assert logger.actions == [(STOP, 7), (RESET, 7)]


def test_another_contract_is_refused_with_both():
    with pytest.raises(ContractError, match=f"contract {'ab' * 8}, this stagelog"):
        linked(Logger(b"\xab" * 8))[1].hello()
    assert linked(Logger())[1].hello().boot == 7


def test_an_answer_to_an_older_request_is_too_late():
    """Requests are numbered from 1 to 255 and then from 0: 256 later the number comes again."""
    script, link = linked(
        lambda script, kind, request, payload: framed(
            0x83, request, struct.pack("<BQ", OK, request)
        )
    )
    assert [link.set_time(1) for _ in range(257)] == [*range(1, 256), 0, 1]
