"""Which sessions are taken, held or erased, by their entries: the link here is a script."""

from types import SimpleNamespace

import pytest
from made_replies import reply

from slog import messages as m
from slog.layout import BUS_ACTIVE, BUS_SILENT
from stagelog import download
from stagelog.errors import DeviceError, UsageError
from stagelog.link import RequestError
from stagelog.replies import Hello, ListedSession, Status


def listed(boot, running=0):
    who = {"device_id": b"\xab" * 8, "boot": boot, "nonce": boot * 10, "first_seq": 100}
    return reply(ListedSession, m.LIST_REPLY, n_blocks=10, running=running, **who)


def entry(n_blocks=10, unchanged=True, **values):
    values = {"n_blocks": n_blocks, "erase_digest": "07" * 32, **values}
    return SimpleNamespace(values=values, is_unchanged=lambda: unchanged)


@pytest.fixture
def archive(monkeypatch):
    """Return {boot: entry} of an archive, and {boot: what is wrong with its SHA-256}."""
    held, wrong = {}, {}

    def find(root, device_id, boot, nonce, first_seq):
        assert (root, device_id, nonce, first_seq) == ("a", "ab" * 8, boot * 10, 100)
        return held.get(boot)

    def check(entries):
        (one,) = entries
        boot = next(boot for boot, each in held.items() if each is one)
        return [(one, wrong[boot])] if boot in wrong else []

    monkeypatch.setattr(download, "find_session", find)
    monkeypatch.setattr(download, "check_sha256", check)
    return held, wrong


def test_a_session_is_held_where_all_of_it_is(archive):
    held, _ = archive
    assert download.is_held("a", listed(1)) is None
    held[1] = entry()
    assert download.is_held("a", listed(1)) is held[1]
    assert download.is_held("a", listed(1, running=1)) is None
    for other in (entry(9), entry(11), entry(running=True), entry(unchanged=False)):
        held[1] = other
        assert download.is_held("a", listed(1)) is None


class Link:
    def __init__(self, **refusals):
        self.refusals = {int(boot[1:]): status for boot, status in refusals.items()}
        self.erased = []

    def erase(self, session, digest):
        assert digest == b"\7" * 32
        yield 40
        if session.boot in self.refusals:
            raise RequestError("erase", self.refusals[session.boot])
        yield 100
        self.erased.append(session.boot)


def erased(link, sessions):
    seen = []
    rows = [
        (session.boot, entry is not None, text)
        for session, entry, text in download.erase_held(
            link, "a", sessions, lambda session, pct: seen.append((session.boot, pct))
        )
    ]
    return rows, seen


def test_an_erase_goes_from_the_oldest_on_and_says_how_far_it_is(archive):
    held, _ = archive
    held |= {1: entry(), 2: entry()}
    link = Link()
    rows, seen = erased(link, [listed(2), listed(1)])
    assert rows == [(1, True, "erased"), (2, True, "erased")] and link.erased == [1, 2]
    assert seen == [(1, 40), (1, 100), (2, 40), (2, 100)]


def test_an_erase_stops_at_the_first_that_must_stay(archive):
    held, wrong = archive
    held |= {1: entry(), 2: entry(), 3: entry()}
    sessions = [listed(3), listed(2), listed(1)]
    held.pop(2)
    rows, _ = erased(Link(), sessions)
    assert rows == [(1, True, "erased"), (2, False, "the archive does not hold it")]
    held[2] = entry()
    wrong[2] = "the file has changed: its SHA-256 is another"
    assert erased(Link(), sessions)[0][1:] == [(2, False, wrong.pop(2))]
    rows, _ = erased(Link(), [listed(3), listed(2, running=1), listed(1)])
    assert rows[1:] == [(2, False, "it is being recorded")]


@pytest.mark.parametrize("status", [m.WRONG_DIGEST, m.WRONG_SESSION, m.REFUSED])
def test_a_logger_that_refuses_ends_an_erase(archive, status):
    held, _ = archive
    held |= {1: entry(), 2: entry()}
    rows, _ = erased(Link(_1=status), [listed(2), listed(1)])
    assert rows == [(1, False, str(RequestError("erase", status)))]


def test_another_refusal_is_an_error(archive):
    held, _ = archive
    held[1] = entry()
    with pytest.raises(DeviceError):
        erased(Link(_1=m.NO_CARD), [listed(1)])


class Running:
    """A logger in a state, with buses in theirs; notes what it is asked for."""

    def __init__(self, state, *buses):
        self.state, self.buses = state, buses
        self.stopped = []

    def hello(self):
        return reply(Hello, m.HELLO_REPLY, state=self.state, boot=9)

    def status(self):
        states = {f"bus_state{k}": state for k, state in enumerate(self.buses)}
        return reply(Status, m.STATUS_REPLY, n_buses=len(self.buses), **states)

    def control(self, action, boot):
        self.stopped.append((action, boot))


RECORDS = 1


@pytest.mark.parametrize(
    ("buses", "always", "stops"),
    [
        ((BUS_SILENT,), False, True),
        ((BUS_ACTIVE,), False, False),
        ((BUS_SILENT, BUS_ACTIVE), False, False),
        ((BUS_ACTIVE, BUS_SILENT), False, False),
        ((BUS_SILENT, BUS_SILENT), False, True),
        ((BUS_ACTIVE,), True, True),
    ],
)
def test_a_session_is_closed_where_all_buses_are_silent(buses, always, stops):
    link = Running(m.STATE_IDLE + 1, *buses)
    assert download.finish_running(link, always) == (9 if stops else None)
    assert link.stopped == ([(m.CONTROL_STOP, 9)] if stops else [])
    idle = Running(m.STATE_IDLE, *buses)
    assert download.finish_running(idle, True) is None and not idle.stopped


def test_sessions_of_boots():
    sessions = [listed(3), listed(2), listed(1)]
    assert download.choose_sessions(sessions, ()) == sessions
    assert [s.boot for s in download.choose_sessions(sessions, (1, 3))] == [3, 1]
    with pytest.raises(UsageError, match="no session of boot 7"):
        download.choose_sessions(sessions, (9, 1, 7))


def test_facts_of_a_logger():
    """Firmware 1.2.3 is 0x010203."""
    names = {"car": b"C03", "board": b"pico", "contract": b"\1\2\3\4\5\6\7\x08"}
    hello = reply(Hello, m.HELLO_REPLY, firmware=0x010203, **names)
    assert download.facts_of(hello) == {
        "car": "C03",
        "board": "pico",
        "firmware": "1.2.3",
        "contract": "0102030405060708",
    }


class Part:
    """A part of which places 4 to 7 of ten are missing; notes what is put."""

    def __init__(self, entry=None):
        self.entry = entry
        self.put_places = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def missing(self):
        return [4, 5, 6, 7]

    def put(self, position, block):
        self.put_places.append((position, block[:2]))

    def finish(self, facts):
        return ("entry", facts)


@pytest.mark.parametrize("running", [0, 1])
def test_a_fetch_counts_what_came_and_what_could_not_be_read(monkeypatch, running):
    """Places 5 and 7 cannot be read: zeros stand there. Six of ten were here before."""
    part, opened, seen = Part(), [], []
    blocks = {4: b"aa" * 2048, 5: None, 6: b"cc" * 2048, 7: None}
    link = SimpleNamespace(read_blocks=lambda places: ((k, blocks[k]) for k in places))
    monkeypatch.setattr(
        download, "PartFile", SimpleNamespace(open=lambda *given: opened.append(given) or part)
    )
    session = listed(1, running)
    done = download.fetch_session(
        link, session, "folder", {"car": "C03"}, lambda *n: seen.append(n), True
    )
    assert opened == [("folder", session, True)]
    assert part.put_places == [(4, b"aa"), (5, b"\0\0"), (6, b"cc"), (7, b"\0\0")]
    assert seen == [(7, 10), (8, 10), (9, 10), (10, 10)]
    assert (done.n_new, done.n_unread, done.entry) == (4, 2, ("entry", {"car": "C03"}))
    assert done.verdict == (download.SO_FAR if running else download.FETCHED)
    part.entry = "whole"
    done = download.fetch_session(link, session, "folder")
    assert (done.verdict, done.entry, done.n_new, done.n_unread) == (download.HELD, "whole", 0, 0)


def test_the_clock_is_sent_in_microseconds():
    sent = []
    link = SimpleNamespace(set_time=lambda t_us: sent.append(t_us) or 77)
    assert download.set_clock(link, lambda: 1_769_000_000_123_456_789) == 77
    assert sent == [1_769_000_000_123_456]
