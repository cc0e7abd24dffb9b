"""Runs the system's own programs; their refusals become one class of error."""

import re
import subprocess

from stagelog.errors import OutputError

_TIMEOUT_s = 120
_DENIED = re.compile(r"access.{0,20}denied|permission|not permitted", re.I)


def run_program(
    command: list[str], failure: str, hint: str, by_hand: str, hint_denied: str = ""
) -> None:
    """Run a program of the system to its end.

    Parameters
        command      the program and its arguments
        failure      what cannot be done then: "cannot eject E:"
        hint         what to do if the program refuses
        by_hand      what to do if it does not exist or does not end
        hint_denied  what to do if the user may not; as `hint` without it

    Raises  OutputError with what the program wrote.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"{failure}: {error}", by_hand) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"{command[0]} failed"
        is_denied = hint_denied and _DENIED.search(said)
        raise OutputError(f"{failure}: {said[:300]}", hint_denied if is_denied else hint)
