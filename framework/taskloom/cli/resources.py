"""Resources that the system refuses: threads, processes, memory, descriptors. Says so in one sentence.

Imports next to nothing, since it is needed when nothing can be imported any more.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BUG_EXIT_CODE",
    "EXIT_CODE",
    "OutOfResources",
    "advice_for",
    "bug_sentence",
    "end_of",
    "memory_limits",
    "needed",
    "room_for_start",
    "room_to_import",
    "room_to_read",
    "say",
    "say_traceback",
    "stack_bytes",
]

# `ExitCode.NO_RESOURCES` and `ExitCode.BUG`; a test compares them. The enum is not imported, since that takes memory.
EXIT_CODE, BUG_EXIT_CODE = 75, 70

_PROCESSES = "raise the limit of processes and threads (ulimit -u, pids.max of the cgroup) or of memory (ulimit -v)"
_MEMORY = "raise the limit of memory (ulimit -v, ulimit -d, memory.max of the cgroup)"
_FILES = "raise the limit of open files (ulimit -n)"
_SYSTEM_FILES = "the whole system has too many open files (fs.file-max)"
_SPACE = "a file system or another limit of the system is full"

_BY_ERRNO = {errno.EMFILE: _FILES, errno.ENFILE: _SYSTEM_FILES, errno.ENOMEM: _MEMORY}
# A full pipe or a full disk has these numbers as well, so they count only where something is made.
_BY_ERRNO_AT_START = {errno.EAGAIN: _PROCESSES, errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE}
# The words of the dynamic linker and of the importer; the ImportError has no errno.
_IN_IMPORT_ERROR = {
    "failed to map segment": _MEMORY,
    "cannot map zero-fill pages": _MEMORY,
    "cannot apply additional memory protection": _MEMORY,
    "cannot change memory protections": _MEMORY,
    "cannot create shared object descriptor": _MEMORY,
    "cannot create cache for search path": _MEMORY,
    "cannot allocate memory": _MEMORY,
    "Cannot allocate memory": _MEMORY,
    "out of memory": _MEMORY,
    "can't start new thread": _PROCESSES,
    "Resource temporarily unavailable": _PROCESSES,
    "Too many open files in system": _SYSTEM_FILES,
    "Too many open files": _FILES,
}
# Stdlib modules and threads need a handful at a time, our own pipes ten; less than this is not worth a start.
SPARE_DESCRIPTORS = 24
# The modules of a program without plugins, beside the stacks of its threads. Measured: 60 MiB.
START_BYTES = 80 << 20
# What the modules of any verb take, as measured. With less than this left, a SystemError or an ImportError shows a lack
# of memory, and `hashlib` catches what the dynamic linker raises, logs 60 lines, and then lacks names (CPython 3.11).
IMPORT_BYTES = 16 << 20
# Our own: output, scheduler, two helpers, waiter, two listeners, control, and one for the first job.
START_THREADS = 9
# The stack of a thread if RLIMIT_STACK is unlimited: glibc on x86-64.
DEFAULT_STACK_BYTES = 2 << 20
# How long the last words wait for a reader of standard error.
SAY_SECONDS = 0.3
_PIECE = 4096


# The slots of BaseException itself: a class of a plugin may have properties of these names.
_CAUSE, _CONTEXT, _SUPPRESS_CONTEXT = (
    BaseException.__dict__[name] for name in ("__cause__", "__context__", "__suppress_context__")
)


_ERRNO = OSError.__dict__["errno"]
_PATH = ImportError.__dict__["path"]
# CPython and the scheduler give nothing else to recognize it by.
_NO_THREAD, _OF_SCHEDULER = "can't start new thread", "cannot start the scheduler's thread: "


class OutOfResources(Exception):
    """The system refuses what the program needs to begin. `what`: what could not be done, such as `fork`."""

    def __init__(self, what: str, error: BaseException | str, advice: str = "") -> None:
        reason = (error if isinstance(error, str) else _text_of(error)).removeprefix(f"cannot {what}: ")
        self.advice = advice or _advice(error)
        super().__init__(f"cannot {what}: {reason}; {self.advice}")


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Raise OutOfResources in place of an error that shows a lack of resources. `what`: what is tried, as a verb."""
    try:
        yield
    except OutOfResources:
        raise
    except BaseException as error:
        if advice_for(error, at_start=True):
            raise OutOfResources(what, error) from error
        raise


def advice_for(error: BaseException, *, at_start: bool = False) -> str:
    """Return what to do about the lack of resources that this error shows, or ""; its causes count as well.

    `at_start`: the error came from making a thread, a process or a descriptor, where EAGAIN and ENOSPC show it, too.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        advice = _advice_for_one(each, at_start=at_start)
        if advice:
            return advice
        pending += [_CAUSE.__get__(each), None if _SUPPRESS_CONTEXT.__get__(each) else _CONTEXT.__get__(each)]
        if issubclass(type(each), BaseExceptionGroup):
            pending += BaseExceptionGroup.exceptions.__get__(each)
    return ""


def _advice_for_one(error: BaseException, *, at_start: bool) -> str:
    # Not isinstance, which asks the object for its `__class__`.
    kind = type(error)
    if issubclass(kind, OutOfResources):
        advice: str = error.advice  # type: ignore[attr-defined]
        return advice
    if issubclass(kind, MemoryError):
        return _MEMORY
    if issubclass(kind, OSError):
        number: int = _ERRNO.__get__(error) or 0
        return _BY_ERRNO.get(number, "") or (_BY_ERRNO_AT_START.get(number, "") if at_start else "")
    if issubclass(kind, RuntimeError) and _message_of(error).removeprefix(_OF_SCHEDULER) == _NO_THREAD:
        return _PROCESSES
    # The dynamic linker has raised it: an ImportError that a package raises by itself, whatever its text, has no path.
    if issubclass(kind, ImportError) and _PATH.__get__(error) is not None:
        text = _message_of(error)
        return next((advice for words, advice in _IN_IMPORT_ERROR.items() if words in text), "")
    return ""


def _message_of(error: BaseException) -> str:
    """Return the message of an error that a plugin may have raised; "" if its `__str__` raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - code of the exception's class
        return ""


def _advice(error: BaseException | str) -> str:
    found = "" if isinstance(error, str) else advice_for(error, at_start=True)
    return found or "see the limits of this process (ulimit -a)"


def _text_of(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return _message_of(error) or type(error).__name__


def room_for_start() -> None:
    """Check that the limits of this process leave room for a start. Raises OutOfResources if they do not.

    Without it a start would fail at any place, also in C code that ends the process.
    """
    room_to_read()
    _check_memory(START_BYTES + START_THREADS * stack_bytes(), "a start")


def room_to_import() -> None:
    """Check that the limits of memory leave room for the modules of a verb. Raises OutOfResources if they do not.

    Without it a package could meet the lack of memory first, and say it in its own words.
    """
    _check_memory(IMPORT_BYTES, "the modules of Taskloom")


def room_to_read() -> None:
    """Check that some files can be opened. Raises OutOfResources otherwise.

    Without it a directory of packages that cannot be opened would look like one without tasks.
    """
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(SPARE_DESCRIPTORS))
    except OSError as error:
        if advice_for(error):
            raise OutOfResources(f"open {SPARE_DESCRIPTORS} files", error) from None
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _check_memory(wanted: int, use: str) -> None:
    import resource

    for name, limit, used in memory_limits():
        if limit != resource.RLIM_INFINITY and limit - used < wanted:
            left = max(0, limit - used) >> 20
            reason = f"{name} is {limit >> 20} MiB and leaves {left} MiB"
            raise OutOfResources(f"find {wanted >> 20} MiB for {use}", reason, _MEMORY)


def memory_limits() -> Iterator[tuple[str, int, int]]:
    """Yield each limit of memory: its name, its bytes, and how many of them are used."""
    import resource

    try:
        with open("/proc/self/statm", "rb", 0) as file:  # noqa: PTH123 - not by pathlib, which is not imported yet
            pages = [int(field) for field in file.read().split()]
    except OSError:
        return  # no /proc
    size = os.sysconf("SC_PAGE_SIZE")
    yield "ulimit -v", resource.getrlimit(resource.RLIMIT_AS)[0], pages[0] * size
    yield "ulimit -d", resource.getrlimit(resource.RLIMIT_DATA)[0], pages[5] * size


def stack_bytes() -> int:
    """Return the address space that the stack of a new thread takes."""
    import resource
    import threading

    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return threading.stack_size() or (DEFAULT_STACK_BYTES if limit == resource.RLIM_INFINITY else limit)


def bug_sentence() -> str:
    """Return the sentence below the traceback of a bug."""
    from taskloom import __version__

    return f"taskloom {__version__}: internal error; please report the lines above with your job file"


def end_of(error: BaseException) -> int:
    """Say why the verb ends with this exception, and return the exit code: EXIT_CODE, or that of a bug."""
    if _is_lost_memory_error(error):
        error = MemoryError("out of memory")
    if advice_for(error):
        say(f"taskloom: {_start_sentence(error)}; nothing was started\n")
        return EXIT_CODE
    say_traceback(error, bug_sentence())
    return BUG_EXIT_CODE


def _is_lost_memory_error(error: BaseException) -> bool:
    """Return whether this error comes from code that has lost a MemoryError: too little memory is left."""
    if not isinstance(error, SystemError | ImportError):
        return False
    try:
        return any(0 <= limit < used + IMPORT_BYTES for _, limit, used in memory_limits())
    except Exception:  # noqa: BLE001 - not even this can be read, which shows it as well
        return True


def _start_sentence(error: BaseException) -> str:
    return str(error if isinstance(error, OutOfResources) else OutOfResources("begin", error))


def say_traceback(error: BaseException, sentence: str) -> None:
    """Write the traceback of an exception, and a sentence below it, to descriptor 2."""
    try:
        import traceback

        from taskloom.text import printable_lines

        text = printable_lines("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - no memory, or an error whose text cannot be made
        text = f"{type(error).__name__}\n"
    say(f"{text}{sentence}\n")


def say(text: str) -> None:
    """Write text to descriptor 2, whatever `sys.stderr` is. Never raises an Exception.

    It waits for a reader for SAY_SECONDS at most: the program ends, also if its last words are not read.
    """
    try:
        left = text.encode("utf-8", "backslashreplace")
        poller = select.poll()
        poller.register(2, select.POLLOUT)
        while left and poller.poll(SAY_SECONDS * 1000):
            left = left[os.write(2, left[:_PIECE]) :]
    except (OSError, ValueError):
        pass  # descriptor 2 is closed, or its disk is full
    except MemoryError:
        try:
            os.write(2, b"taskloom: out of memory\n")
        except OSError:
            pass
