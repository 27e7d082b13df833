"""The watcher: a small process that kills the program at its hard deadline even while C code holds the GIL.

The program cannot do that itself: signal handlers and threads run Python code, which needs the GIL. But the C half of
CPython's signal handling writes the signal number into a descriptor (`signal.set_wakeup_fd`) without the GIL. The
watcher reads the other end, counts the signals by the same policy as the program, and sends SIGKILL at the deadline.

It is forked before the first thread is started, and is neither a child of the program, which tasks may wait for, nor in
its session. It ends as soon as the program has ended. If the program has an init in front, that is the watcher.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import select
import signal
from collections.abc import Iterable, Iterator
from typing import NoReturn

from taskloom.cli.program.detached import detach
from taskloom.cli.program.init import pipes_to_init
from taskloom.cli.program.process import Process
from taskloom.cli.program.signals import GRACE_SECONDS
from taskloom.cli.program.watch import DUMP_STACKS, WATCHED, OwnSignals, Watch
from taskloom.cli.program.watch_pipes import Order, Pipes, Told
from taskloom.clock import mono
from taskloom.core.model import JobSpec
from taskloom.core.stopping import longest_kill

__all__ = ["WATCHED", "WATCHER_NAME", "CannotWatch", "Watcher"]

WATCHER_NAME = "taskloom-watch"

# Starting and ending take milliseconds; these bound a machine that hardly runs, and a watcher that is stopped.
START_SECONDS = 10.0
DISMISS_SECONDS = 1.0

_SET_SUBREAPER = 36  # of prctl(2)


class CannotWatch(OSError):
    """There is no process, pipe or memory for the watcher, so the program must not begin. Has `errno`, `strerror`."""

    def __init__(self, number: int | None, reason: str = "") -> None:
        number = number or errno.EAGAIN
        super().__init__(number, reason or os.strerror(number))

    def __str__(self) -> str:
        return f"cannot start the watcher process: {self.strerror}"


class Watcher:
    """The program's side of the watcher. `stop_within`: seconds; inf for no deadline until a second signal sets one."""

    def __init__(self, stop_within: float, *, has_terminal: bool) -> None:
        """Start it, and have it told every signal. Called by the main thread before any thread is started.

        Raises CannotWatch; then nothing of it is left.
        """
        # A signal in between would be handled without the watcher, or by a child that is not the watcher yet.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            in_front = pipes_to_init()
            self._process: Process | None = None
            self._kill_seconds = 0.0
            if in_front is not None:
                self._pipes = in_front
            else:
                self._pipes, self._process = _start(has_terminal=has_terminal)
            faulthandler.register(DUMP_STACKS, file=2, all_threads=True)
            signal.set_wakeup_fd(self._pipes.writing, warn_on_full_buffer=False)
            self._pipes.send(Order.BEGIN, stop_within)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.echo = self._pipes.echo
        """Readable whenever the watcher has told something, and at end of file once the watcher has ended."""

    def allow(self, stop_within: float) -> None:
        """Have a stop take as long as the job files say, in seconds. One that has begun keeps its deadline."""
        self._pipes.send(Order.BEGIN, stop_within)

    def watch_jobs(self, specs: Iterable[JobSpec]) -> None:
        """Allow a stop to kill processes of these jobs at its deadline, and to say which of them it could not kill."""
        seconds = max(map(longest_kill, specs), default=0.0)
        if seconds:
            self._kill_seconds = seconds
            self._pipes.send(Order.GRACE, GRACE_SECONDS + seconds)

    def hurry(self, seconds: float) -> None:
        """Limit the stop that is under way to `seconds` seconds. An earlier deadline stays."""
        self.limit(seconds + self._kill_seconds)

    def stop_began(self) -> None:
        """Start the hard deadline of a stop that no signal began."""
        self._pipes.send(Order.STOP_BEGAN)

    def limit(self, seconds: float) -> None:
        """Have the program ended in this many seconds (and the half second of grace) unless it dismisses the watcher.

        For what may block the main thread at the end. An earlier deadline stays.
        """
        self._pipes.send(Order.LIMIT, seconds)

    def forget(self) -> None:
        """Drop what belongs to the program. Called in a forked child of it."""
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(DUMP_STACKS)
        self._pipes.close_program_side()

    def dismiss(self) -> None:
        """End the watcher and wait for its end; an init stays, without a deadline."""
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(DUMP_STACKS)
        if not self._pipes.is_open:
            return  # code that closes all descriptors has ended it; no number of ours is to be used or closed
        self._pipes.send(Order.DISMISS)
        has_ended = _await_end_of_file(self.echo)
        if self._process is not None:
            if not has_ended:  # it is stopped, or the machine hardly runs
                self._process.send(signal.SIGKILL)
                _await_end_of_file(self.echo)
            self._process.wait(DISMISS_SECONDS)
            self._process.close()
        self._pipes.close_program_side()


def _start(*, has_terminal: bool) -> tuple[Pipes, Process]:
    """Start a watcher that is not a child of this process."""
    pipes, process = _fork(has_terminal=has_terminal)
    if not _is_child(process.pid):
        return pipes, process
    # This process adopts orphans: the process that started it had set PR_SET_CHILD_SUBREAPER, which survives exec.
    process.send(signal.SIGKILL)
    os.waitpid(process.pid, 0)
    process.close()
    pipes.close_program_side()
    with _not_adopting():
        return _fork(has_terminal=has_terminal)


def _fork(*, has_terminal: bool) -> tuple[Pipes, Process]:
    try:
        pipes = Pipes()
    except OSError as error:
        raise CannotWatch(error.errno) from None
    program = os.getpid()
    try:
        middle = os.fork()
    except OSError as error:
        pipes.keep_program_side()
        pipes.close_program_side()
        raise CannotWatch(error.errno) from None
    if middle == 0:
        _leave_to_grandchild(program, pipes, has_terminal=has_terminal)
    pipes.keep_program_side()
    try:
        return pipes, Process(_await_ready(middle, pipes.echo))
    except CannotWatch:
        pipes.close_program_side()
        raise


def _leave_to_grandchild(program: int, pipes: Pipes, *, has_terminal: bool) -> NoReturn:
    """Fork once more and exit. The grandchild gets a new parent: process 1, or the nearest process that adopts."""
    code = 1
    try:
        if os.fork() == 0:
            _be_watcher(program, pipes, has_terminal=has_terminal)
        code = 0
    except OSError as error:
        code = error.errno or errno.EAGAIN
    finally:
        os._exit(code)


def _be_watcher(program: int, pipes: Pipes, *, has_terminal: bool) -> NoReturn:
    try:
        watch = _make_watch(program, pipes, has_terminal=has_terminal)
        _answer(pipes, os.getpid())
        watch.serve()
    except OSError as error:
        _answer(pipes, -(error.errno or errno.EAGAIN))
    finally:
        os._exit(0)


def _make_watch(program: int, pipes: Pipes, *, has_terminal: bool) -> Watch:
    os.setsid()  # so that a signal to the program's process group or terminal is not for us, too
    process = Process(program)
    own = OwnSignals(WATCHED)
    kept = {pipes.reading, pipes.echoing, *own.descriptors}
    detach(WATCHER_NAME, kept if process.fileno is None else kept | {process.fileno})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    return Watch(process, pipes, own, has_terminal=has_terminal)


def _answer(pipes: Pipes, pid: int) -> None:
    """Tell the program the watcher's pid, or the negative number of the error why there is none."""
    os.write(pipes.echoing, Told(0, 0.0, is_direct=False, counts=False, pid=pid).encoded())


def _await_ready(middle: int, echo: int) -> int:
    """Return the pid of the watcher once it watches. Raises CannotWatch."""
    code = 0
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1])
    except ChildProcessError:
        pass  # the caller ignores SIGCHLD: the kernel has collected it, and what counts comes below
    poller = select.poll()
    poller.register(echo, select.POLLIN)
    if not poller.poll(START_SECONDS * 1000):
        raise CannotWatch(errno.EAGAIN, "it does not answer")
    told = Told.read(echo)
    if not told:
        raise CannotWatch(code) if code > 0 else CannotWatch(errno.EAGAIN, "it has ended")
    if told[0].pid < 0:
        raise CannotWatch(-told[0].pid)
    return told[0].pid


def _await_end_of_file(echo: int) -> bool:
    """Read until the watcher has closed its end of the pipe; return whether it has, within DISMISS_SECONDS."""
    deadline = mono() + DISMISS_SECONDS
    poller = select.poll()
    poller.register(echo, select.POLLIN)
    while poller.poll(max(0.0, deadline - mono()) * 1000):
        if Told.read(echo) is None:
            return True
    return False


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@contextlib.contextmanager
def _not_adopting() -> Iterator[None]:
    """Adopt no orphans meanwhile."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_SUBREAPER, 0, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SET_SUBREAPER, 1, 0, 0, 0)
