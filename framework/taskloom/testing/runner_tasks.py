"""The tasks of `RunnerConformance`. They are importable, and all they share with a test is a folder.

A task writes files into the folder, and waits for files that the test writes there: so it works in another process as
well. A wait for a file ends after MOST_SECONDS at the latest, so that a run does not stay for ever if nothing ends it.
"""
# A task gets its context, needed or not.
# ruff: noqa: ARG001

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from taskloom.clock import mono
from taskloom.errors import Cancelled, PermanentFailure, TaskFailure
from taskloom.task import AsyncContext, Context, Task, param

__all__ = ["ENTERED", "FAILURES", "NEW_POLL_INTERVAL", "RELEASE", "RunFolder"]

MOST_SECONDS = 120.0
# Short, because each test waits for it.
CHECK_SECONDS = 0.002

ENTERED = "entered"
"""The file that a task writes when its `run` begins."""
RELEASE = "release"
"""The file at which every task that waits for one returns."""
NEW_POLL_INTERVAL = 7.0
"""Seconds; what `await_poll_interval` waits for."""
MANY = 1000
LINES_AT_ONCE = 250
"""Log lines that a task writes without a pause. A runner that reads them elsewhere may drop what comes too fast."""
BIG = 3 * 1024 * 1024
"""Characters of a text that is larger than any message of a sensible protocol."""


class RunFolder:
    """The folder that a test and its runs share."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def write(self, name: str, text: str = "") -> None:
        """Write a file so that it appears with its whole text."""
        # The name of the thread as well: two threads of a task may write.
        draft = self.path / f".{name}.{os.getpid()}.{threading.get_ident()}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path / name)

    def append(self, name: str, text: str) -> None:
        """Append a line, in one call of the kernel."""
        file = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"{text}\n".encode())
        finally:
            os.close(file)

    def has(self, name: str) -> bool:
        """Return whether the file exists."""
        return (self.path / name).exists()

    def read(self, name: str) -> str:
        """Return the text of a file, "" if there is none."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def await_file(self, name: str, seconds: float = MOST_SECONDS, instead: str = RELEASE) -> bool:
        """Wait until the file exists, or the file `instead`, or the test is over; return False after `seconds`."""
        return wait_until(lambda: self.has(name) or self.has(instead) or not self.path.exists(), seconds)


def wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition is true; return False after `seconds`. Polls no context."""
    limit = mono() + seconds
    while not is_true():
        if mono() > limit:
            return False
        pause(CHECK_SECONDS)
    return True


def pause(seconds: float) -> None:
    """Block without polling any context."""
    threading.Event().wait(seconds)


def note_facts(ctx: Context, folder: str) -> None:
    """Write what the context says about the run."""
    facts = {
        "job": ctx.job,
        "run": ctx.run_id,
        "attempt": ctx.attempt,
        "replica": ctx.replica,
        "poll_interval": ctx.poll_interval,
        "cancelled": ctx.cancelled,
        "urgent": ctx.urgent,
        "reason": ctx.reason,
        "pid": os.getpid(),
    }
    RunFolder(folder).write(f"{ENTERED}-{ctx.attempt}-{ctx.replica}", json.dumps(facts))


def wait(ctx: Context, folder: str) -> None:
    """Wait until cancelled, and write the reason."""
    shared = RunFolder(folder)
    shared.write(ENTERED, str(os.getpid()))
    ctx.wait()
    reason = ctx.reason
    shared.write("reason", json.dumps([reason.kind.value, reason.text, reason.signal] if reason else None))


def raise_when_cancelled(ctx: Context, folder: str) -> None:
    """Wait until cancelled, which raises Cancelled."""
    RunFolder(folder).write(ENTERED)
    while True:
        ctx.sleep(MOST_SECONDS)


def fail_when_cancelled(ctx: Context, folder: str) -> None:
    """Fail once cancelled."""
    RunFolder(folder).write(ENTERED)
    ctx.wait()
    raise ValueError("failed while stopping")


def poll(ctx: Context, folder: str) -> None:
    """Poll in a loop until cancelled."""
    RunFolder(folder).write(ENTERED)
    while not ctx.cancelled:
        pause(CHECK_SECONDS)


def ignore(ctx: Context, folder: str) -> None:
    """Never poll; return when the test releases it."""
    shared = RunFolder(folder)
    shared.write(ENTERED, str(os.getpid()))
    shared.await_file(RELEASE)


def swallow(ctx: Context, folder: str) -> None:
    """Never poll, and go on after every exception; return when the test releases it."""
    shared = RunFolder(folder)
    shared.write(ENTERED, str(os.getpid()))
    _insist(lambda: shared.await_file(RELEASE))


def _insist(call: Callable[[], object]) -> None:
    """Make the call again after every exception, such as one that a signal raises."""
    while True:
        try:
            call()
        except BaseException:  # noqa: BLE001 - see above
            continue
        return


# Compiled with a file name of its own: frames of Taskloom's files are not shown as the place of a run.
_STUCK = """
def stuck_here(wait):
    wait()
"""
_stuck: dict[str, Any] = {}
exec(compile(_STUCK, "conformance_stuck.py", "exec"), _stuck)


def stick(ctx: Context, folder: str) -> None:
    """Do what `swallow` does, in a function whose name can be found in a stack."""
    shared = RunFolder(folder)
    shared.write(ENTERED)
    _stuck["stuck_here"](lambda: _insist(lambda: shared.await_file(RELEASE)))


def report(ctx: Context, folder: str) -> None:
    """Report counters and progress, wait for the file `more`, and report again at the very end."""
    shared = RunFolder(folder)
    ctx.count("lines", 2)
    ctx.count("lines")
    ctx.count("ünï cödé", 5)
    ctx.progress(1, 4, "files")
    shared.write(ENTERED)
    shared.await_file("more")
    for _ in range(MANY):
        ctx.count("many")
    ctx.progress(4, 4, "files")


def log(ctx: Context, folder: str) -> None:
    """Log at several levels, the last line just before the end. Wait at times for the file with the number of lines."""
    shared = RunFolder(folder)
    ctx.log.debug("first, %d%%", 100)
    ctx.log.info("line\nbreak")
    try:
        raise ValueError("inner")
    except ValueError:
        ctx.log.exception("with a traceback")
    ctx.log.warning("ünï cödé \udc80")
    for number in range(MANY):
        if number and number % LINES_AT_ONCE == 0:
            shared.await_file(f"{number} lines")
        ctx.log.info("number %d", number)


class Announcing(Task):
    """Announce that it is ready when the file `ready` is there, many times."""

    announces_ready: ClassVar[bool] = True
    folder: str = param(description="folder shared with the test")

    def run(self, ctx: Context) -> None:
        shared = RunFolder(self.folder)
        shared.write(ENTERED)
        shared.await_file("ready")
        for _ in range(MANY):
            ctx.ready()


class Terminated(Task):
    """Never poll; end when `terminate` is called, which counts its calls in a file, or when the test releases it."""

    folder: str = param(description="folder shared with the test")
    _is_told: bool = False

    def run(self, ctx: Context) -> None:
        shared = RunFolder(self.folder)
        shared.write(ENTERED)
        wait_until(lambda: self._is_told or shared.has(RELEASE), MOST_SECONDS)

    def terminate(self) -> None:
        RunFolder(self.folder).append("terminated", "once")
        self._is_told = True


def call_back(ctx: Context, folder: str) -> None:
    """Never poll; end by a callback of the cancellation, which counts its calls in a file."""
    shared, is_told = RunFolder(folder), threading.Event()

    def notice() -> None:
        shared.append("called back", "once")
        is_told.set()

    ctx.on_cancel(notice)
    shared.write(ENTERED)
    is_told.wait(MOST_SECONDS)


def await_urgency(ctx: Context, folder: str) -> None:
    """Return only when the stop is urgent."""
    shared = RunFolder(folder)
    shared.write(ENTERED)
    if wait_until(lambda: ctx.urgent or shared.has(RELEASE), MOST_SECONDS) and ctx.urgent:
        shared.write("urgent")


def await_poll_interval(ctx: Context, folder: str) -> None:
    """Wait until the poll interval has changed, write it, and wait until cancelled."""
    shared = RunFolder(folder)
    shared.write(ENTERED)
    while ctx.poll_interval != NEW_POLL_INTERVAL and not ctx.wait(CHECK_SECONDS):
        pass
    shared.write("interval", str(ctx.poll_interval))
    ctx.wait()


async def wait_async(ctx: AsyncContext, folder: str) -> None:
    """Await the context until cancelled, and write the reason."""
    shared = RunFolder(folder)
    shared.write(ENTERED)
    await ctx.wait()
    shared.write("reason", ctx.reason.text if ctx.reason else "")


async def await_something_else(ctx: AsyncContext, folder: str) -> None:
    """Await something that knows nothing of the cancel."""
    import asyncio  # here, and `subprocess` below: every other task starts faster without them

    RunFolder(folder).write(ENTERED)
    await asyncio.sleep(MOST_SECONDS)


class Constructed(Task):
    """Write that it was entered. With the file `refuse` its constructor fails, with `hold` it waits for `make`."""

    def __init__(self, folder: str) -> None:
        self.shared = RunFolder(folder)
        if self.shared.has("refuse"):
            raise FileNotFoundError("no such device")
        if self.shared.has("hold"):
            self.shared.write("making")
            self.shared.await_file("make")

    def run(self, ctx: Context) -> None:
        self.shared.write(ENTERED)


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


FAILURES: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("no such thing: ünï cödé \udc80\0\n2"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "MemoryError": MemoryError,
    "RecursionError": lambda: RecursionError("too deep"),
    "ExceptionGroup": lambda: ExceptionGroup("both", [ValueError("a"), OSError(5, "b")]),
    "Cancelled": Cancelled,
    "PermanentFailure": lambda: PermanentFailure("never again"),
    "TaskFailure": lambda: TaskFailure("the device is off"),
    "Unprintable": Unprintable,
    "OSError": lambda: OSError("x" * BIG),
}
"""How to make each error that `fail` raises, by the name of its class."""


def fail(ctx: Context, how: str) -> None:
    """Raise an error."""
    error = FAILURES[how]()
    raise error


def fail_until_second_attempt(ctx: Context, folder: str) -> None:
    """Fail in the first attempt."""
    RunFolder(folder).write(f"{ENTERED}-{ctx.attempt}")
    if ctx.attempt == 1:
        raise ValueError("the first attempt")


def give_back_a_generator(ctx: Context) -> object:
    """Return a generator, as a mistake: its code is never executed."""
    return (number for number in range(3))


def give_back_a_number(ctx: Context) -> int:
    """Return a number, which nothing reads."""
    return 5


def start_children(ctx: Context, folder: str) -> None:
    """Start children, one of them in a session of its own that ignores signals, write their ids, and never poll."""
    import subprocess

    shared = RunFolder(folder)
    for own_session in (False, True):
        program = (
            "import signal, time\n"
            "for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(each, signal.SIG_IGN)\n"
            f"time.sleep({MOST_SECONDS})"
        )
        child = subprocess.Popen([sys.executable, "-S", "-c", program], start_new_session=own_session)
        shared.append("children", str(child.pid))
    shared.write(ENTERED, str(os.getpid()))
    shared.await_file(RELEASE)


# Linux stops a process some time after the signal was sent, and says when it has. Elsewhere there is no such file.
_STOP = """
kill -STOP "$1" || exit
until [ ! -r "/proc/$1/stat" ] || grep -q ") T " "/proc/$1/stat"; do :; done
echo "$1" >"$2" && mv "$2" "$3"
"""


def stop_itself(ctx: Context, folder: str) -> None:
    """Stop its own process, which then executes nothing any more. Only then a child writes that it was entered."""
    import subprocess

    path = RunFolder(folder).path
    names = str(path / f".{ENTERED}"), str(path / ENTERED)
    subprocess.run(["sh", "-c", _STOP, "sh", str(os.getpid()), *names], check=True)


def die(ctx: Context, number: int) -> None:
    """Die of a signal that the stop has not sent."""
    os.kill(os.getpid(), number)
    pause(MOST_SECONDS)


def exit_hard(ctx: Context) -> None:
    """End the process without a word."""
    os._exit(9)


def note_signal(ctx: Context, folder: str) -> None:
    """Return when SIGUSR1 has come."""
    shared, is_told = RunFolder(folder), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: is_told.set())
    shared.write(ENTERED, str(os.getpid()))
    if wait_until(lambda: is_told.is_set() or ctx.cancelled, MOST_SECONDS) and is_told.is_set():
        shared.write("signalled")
