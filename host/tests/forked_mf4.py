"""The reader of MF4 files in a fork of the test's process: asammdf takes three seconds to import,
and the product starts a process for every file. The fixture `own_mf4_process` brings that back.
"""

import contextlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

_WORKER = "stagelog.importers.mf4_worker"
TimeoutExpired = subprocess.TimeoutExpired  # this module stands in the place of subprocess


def run(command, env, timeout, capture_output, check):
    """Do what subprocess.run does for the command of importers/mf4.py."""
    assert command[:3] == [sys.executable, "-m", _WORKER] and capture_output and not check
    importlib.import_module("asammdf")  # before the fork: once for all files
    path, folder, max_bytes = command[3:]
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            os.dup2(errors.fileno(), 2)
            _work(path, folder, int(max_bytes) + _mapped_bytes())
        code = os.waitstatus_to_exitcode(_wait(child, command, timeout))
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, b"", errors.read())


def _mapped_bytes():
    """Return the address space of this process, which its fork has from the start."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _work(path, folder, max_bytes):
    """Run the worker in this process, which ends here."""
    code = 1
    with contextlib.suppress(BaseException):
        try:
            importlib.import_module(_WORKER).main(path, folder, max_bytes)
            code = 0
        except SystemExit as ended:
            os.write(2, f"{ended.code}\n".encode())
        except BaseException:
            os.write(2, traceback.format_exc().encode())
    os._exit(code)


def _wait(child, command, timeout_s):
    """Return the status of a child; TimeoutExpired if it takes longer."""
    deadline = time.monotonic() + timeout_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutExpired(command, timeout_s)
        time.sleep(0.002)
