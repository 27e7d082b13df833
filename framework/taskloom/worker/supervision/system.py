"""The few calls of the kernel that `posix` does not have, and their numbers; signals as `_signal` has them."""

import _ctypes
import _signal  # type: ignore[import-not-found]
import posix

signals = _signal
"""The C part of `signal`; that one would take longer to import than all of this, for its enums."""

CONTROL = 3
"""The descriptor of the control socket in the run's main process."""

_SET_PDEATHSIG = 1  # of prctl(2), as the next
_SET_SUBREAPER = 36

# Faults of our own code must end us: the run dies with us then.
_FAULTS = (signals.SIGSEGV, signals.SIGBUS, signals.SIGFPE, signals.SIGILL, signals.SIGABRT, signals.SIGSYS)
_CHANGEABLE = signals.valid_signals() - {signals.SIGKILL, signals.SIGSTOP}


def become_subreaper() -> None:
    """Adopt the orphans among our descendants. Raises OSError."""
    _prctl(_SET_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Undone by a change of the user. Raises OSError."""
    _prctl(_SET_PDEATHSIG, signals.SIGKILL)


def continue_with_parents_end() -> None:
    """Have the kernel continue this process when its parent ends, if it is stopped then. Raises OSError.

    Sent for the end of the thread that has forked, too: a process that is not stopped does not notice.
    """
    _prctl(_SET_PDEATHSIG, signals.SIGCONT)


def ignore_signals() -> None:
    """Ignore all signals but those that this process handles, and faults."""
    for number in _CHANGEABLE:
        if number not in _FAULTS:
            signals.signal(number, signals.SIG_IGN)


def reset_signals() -> None:
    """Give each signal its default action, and block none."""
    for number in _CHANGEABLE:
        signals.signal(number, signals.SIG_DFL)
    unblock_signals()


def block_signals() -> None:
    """Let signals wait."""
    signals.pthread_sigmask(signals.SIG_SETMASK, _CHANGEABLE)


def unblock_signals() -> None:
    """Let signals in, those that have waited first."""
    signals.pthread_sigmask(signals.SIG_SETMASK, ())


def rename(name: bytes) -> None:
    """Give this process a name of at most 15 characters, for `ps` and `top`."""
    write_file("/proc/self/comm", name)


def write_file(path: str, data: bytes) -> int:
    """Write into a file of the kernel; return the error's number, or 0."""
    try:
        file = posix.open(path, posix.O_WRONLY)
        try:
            posix.write(file, data)
        finally:
            posix.close(file)
    except OSError as error:
        return error.errno or -1
    return 0


def read_file(path: str) -> bytes:
    """Return what a file of the kernel gives at once; nothing if it cannot be read.

    That is all of it if it has one line, and about a page otherwise.
    """
    try:
        file = posix.open(path, posix.O_RDONLY)
        try:
            return posix.read(file, 65_536)
        finally:
            posix.close(file)
    except OSError:
        return b""


def read_lines(path: str) -> list[bytes]:
    """Return the lines of a file of the kernel, 16 MiB at most; none if it cannot be read."""
    parts: list[bytes] = []
    try:
        file = posix.open(path, posix.O_RDONLY)
        try:
            while len(parts) < 256 and (part := posix.read(file, 65_536)):
                parts.append(part)
        finally:
            posix.close(file)
    except OSError:
        return []
    return b"".join(parts).split(b"\n")


def text_of(number: int) -> str:
    """Return the words for an error of the kernel, which are about the machine where the kernel's own mislead."""
    if number == 11:  # EAGAIN of fork(2)
        return "the system has no more processes (limits: `ulimit -u`, pids.max of the cgroup, kernel.pid_max)"
    if number == 12:
        return "the system has no more memory"
    if number in (23, 24):
        return "the system has no more file descriptors (limits: `ulimit -n`, fs.file-max)"
    return posix.strerror(number)


def _prctl(option: int, value: int) -> None:
    # Arguments of this call are passed as C ints, which is enough for these two.
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
    if _ctypes.call_function(address, (option, value, 0, 0, 0)) != 0:
        raise OSError(22, posix.strerror(22))
