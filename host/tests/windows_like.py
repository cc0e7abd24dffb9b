"""Run `stagelog` as Windows would run it, as far as that can be shown on another system.

    python -X warn_default_encoding windows_like.py VERB ...

What the product's own modules see is Windows: os.name and sys.platform, no fcntl, termios, pty, no
os.getuid, os.pwrite, os.mkfifo, no /proc, /dev, /sys, no SIGHUP, no madvise, select for sockets
only, a folder that cannot be opened as a file. For everybody, a file that is open or mapped can be
neither removed nor replaced, and text without a stated encoding is an error (there it is cp1252).
Libraries and the standard library see the system they run on: that they work on Windows is their
own claim.
"""

import builtins
import functools
import mmap
import os
import select
import signal
import stat
import sys
import types
import warnings

OURS = ("stagelog", "slog", "detectors", "logger", "drivers", "boards")
POSIX_MODULES = set(
    "crypt curses fcntl grp nis posix pty pwd readline resource spwd syslog".split()
)
POSIX_MODULES |= {"termios", "tty", "_posixsubprocess", "_posixshmem"}
POSIX_OS = """
    chown chroot confstr ctermid environb fchdir fchmod fchown fdatasync fork forkpty fpathconf
    fstatvfs fwalk get_blocking getegid getenvb geteuid getgid getgrouplist getgroups getloadavg
    getpgid getpgrp getpriority getresgid getresuid getsid getuid getxattr initgroups killpg lchown
    listxattr lockf login_tty major makedev memfd_create minor mkfifo mknod nice openpty pathconf
    pidfd_open pipe2 posix_fadvise posix_fallocate posix_openpt posix_spawn posix_spawnp pread
    preadv pwrite pwritev readv register_at_fork removexattr sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler sched_param
    sched_setaffinity sched_setparam sched_setscheduler sched_yield sendfile set_blocking seteuid
    setegid setgid setgroups setns setpgid setpriority setregid setresgid setresuid setreuid setsid
    setuid setxattr splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname unshare wait
    wait3 wait4 waitid writev O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NDELAY
    O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE SCHED_FIFO SCHED_RR
    SCHED_OTHER WNOHANG WIFEXITED WEXITSTATUS RTLD_NOW
""".split()
WINDOWS_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}


class Proxy(types.ModuleType):
    """A module without some of its names, and with others in their place."""

    def __init__(self, module, without=(), **instead):
        super().__init__(module.__name__)
        vars(self).update(_module=module, _without=frozenset(without), **instead)

    def __getattr__(self, name):
        if name in self._without:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._module, name)

    def __setattr__(self, name, value):
        setattr(self._module, name, value)


class Mapped(mmap.mmap):
    """A mapped file without what Windows lacks."""

    @property
    def madvise(self):
        raise AttributeError("madvise")


def select_sockets(*lists):
    for file in (file for files in lists[:3] for file in files):
        handle = file if isinstance(file, int) else file.fileno()
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise OSError(10038, "an operation was attempted on something that is not a socket")
    return select.select(*lists)


def open_handle(path, flags, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, flags, *rest, **more)


def taken(path, dir_fd):
    """Return whether this process has a file open or mapped."""
    folder = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else ""
    real = os.path.realpath(os.path.join(folder, os.fspath(path)))
    if os.path.isdir(real):
        return False
    links = []
    for handle in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{handle}"))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return real in links or any(line.rstrip().endswith(f" {real}") for line in maps)


def guard(name):
    """Refuse what Windows refuses for a file that is open: `os.name` of it."""
    plain = getattr(os, name)

    @functools.wraps(plain)
    def guarded(*paths, **more):
        handles = {k: v for k, v in more.items() if k.endswith("dir_fd")}
        for path in paths[:2]:
            if isinstance(path, (str, os.PathLike)) and taken(path, handles.get("dir_fd")):
                raise PermissionError(13, "it is being used by another process", str(path))
        return plain(*paths, **more)

    setattr(os, name, guarded)


def no_posix_paths(event, arguments):
    """Refuse to open what is under /proc, /dev and /sys, if a module of ours wants it."""
    if event != "open" or not isinstance(arguments[0], str):
        return
    if not arguments[0].startswith(("/proc/", "/dev/", "/sys/")):
        return
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "").split(".")[0]
        if name in OURS:
            raise FileNotFoundError(2, "No such file or directory", arguments[0])
        if name in ("__main__", "psutil", "serial", "multiprocessing", "subprocess"):
            return
        frame = frame.f_back


def become_windows():
    """Show Windows to the modules of the product, from now on."""
    signals = {name for name in dir(signal) if name.startswith("SIG") and name.isupper()}
    without = (signals - WINDOWS_SIGNALS) | {
        "alarm",
        "setitimer",
        "pause",
        "sigwait",
        "siginterrupt",
    }
    unpolled = ("poll", "epoll", "kqueue", "devpoll")
    unmapped = [name for name in dir(mmap) if name.startswith("MADV_")]
    shown = {
        "os": Proxy(os, {*POSIX_OS, "posix"}, name="nt", open=open_handle),
        "sys": Proxy(sys, {"getandroidapilevel"}, platform="win32"),
        "signal": Proxy(signal, without, SIGBREAK=signal.SIGTTIN, CTRL_C_EVENT=0),
        "select": Proxy(select, unpolled, select=select_sockets),
        "mmap": Proxy(mmap, unmapped, mmap=Mapped),
    }
    plain = builtins.__import__

    def importing(name, globals=None, locals=None, fromlist=(), level=0):
        if (globals or {}).get("__name__", "").split(".")[0] in OURS:
            if name.split(".")[0] in POSIX_MODULES:
                raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
            if name in shown:
                return shown[name]
        return plain(name, globals, locals, fromlist, level)

    builtins.__import__ = importing
    for name in ("replace", "rename", "remove", "unlink"):
        guard(name)
    sys.addaudithook(no_posix_paths)
    for ours in OURS:
        warnings.filterwarnings("error", category=EncodingWarning, module=rf"{ours}(\.|$)")


if __name__ == "__main__":
    become_windows()
    from stagelog.cli import main

    main(sys.argv[1:])
