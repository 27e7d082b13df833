"""The watcher: a small process that kills the program at its hard deadline even while C code holds the GIL.

The program cannot do that itself: signal handlers and threads run Python code, which needs the GIL. But the C half of
CPython's signal handling writes the signal number into a descriptor (`signal.set_wakeup_fd`) without the GIL. The
watcher reads the other end, counts the signals by the same policy as the program, and sends SIGKILL at the deadline.

It is forked before the first thread is started, keeps only its pipes open, ignores the signals of the terminal, and
ends as soon as the program has ended, which it also waits for (pidfd).
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
from typing import NoReturn

from taskloom.cli.program.signals import GRACE_SECONDS, HURRY_SECONDS, SignalAction, SignalPolicy
from taskloom.clock import mono

__all__ = ["WATCHED", "Watcher"]

# Not the number of any signal: the program sends it when a stop begins without a signal.
_STOP_BEGAN = 255
# Has faulthandler print all stacks, which needs no GIL. A real-time signal, since tasks are unlikely to use one.
_DUMP_STACKS = signal.SIGRTMAX
DUMP_STACKS_SECONDS = 0.2
WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Watcher:
    """The program's side of the watcher. `stop_within`: seconds; inf for no deadline until a second signal sets one."""

    def __init__(self, stop_within: float, *, has_terminal: bool) -> None:
        """Fork the process. Call it before any thread is started."""
        reading, self._writing = os.pipe()
        self.echo, echoing = os.pipe()
        """Readable whenever the watcher has read something, and at end of file once the watcher has ended."""
        os.set_blocking(self._writing, False)
        os.set_blocking(echoing, False)
        program = os.getpid()
        # Blocked, since the child would run the program's handlers until it has set its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writing)
            os.close(self.echo)
            _watch(program, reading, echoing, stop_within, SignalPolicy(has_terminal=has_terminal))
        os.close(reading)
        os.close(echoing)
        faulthandler.register(_DUMP_STACKS, file=2, all_threads=True)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop_began(self) -> None:
        """Start the hard deadline of a stop that no signal began."""
        try:
            os.write(self._writing, bytes([_STOP_BEGAN]))
        except OSError:
            pass  # it was killed from outside; the program works without it

    def dismiss(self) -> None:
        """Kill the watcher and wait for its end."""
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(_DUMP_STACKS)
        for descriptor in (self._writing, self.echo):
            try:
                os.close(descriptor)
            except OSError:
                pass  # code that closes all descriptors, as daemons do, has closed it
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # a task's own waitpid has reaped it


def _watch(program: int, reading: int, echoing: int, stop_within: float, policy: SignalPolicy) -> NoReturn:
    """Run the watcher in the child process; never returns."""
    try:
        gc.disable()  # a collection would touch, and so copy, the pages shared with the program
        for number in WATCHED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # so that a reader of the program's output gets end of file when it ends
            os.dup2(nowhere, descriptor)
        os.chdir("/")
        _loop(program, reading, echoing, stop_within, policy)
    finally:
        os._exit(0)


def _loop(program: int, reading: int, echoing: int, stop_within: float, policy: SignalPolicy) -> None:
    handle = _open_process(program)
    poller = select.poll()
    poller.register(reading, select.POLLIN)
    if handle is not None:
        poller.register(handle, select.POLLIN)
    deadline, has_dumped = float("inf"), False
    while True:
        left = deadline - mono()
        if left <= 0:
            _send(signal.SIGKILL, program, handle)
            return
        if not has_dumped:
            left -= DUMP_STACKS_SECONDS
            if left <= 0:
                has_dumped = True
                _send(_DUMP_STACKS, program, handle)
                continue
        ready = poller.poll(None if left == float("inf") else left * 1000)
        if any(descriptor == handle for descriptor, _ in ready):
            return  # the program has ended
        if ready:
            numbers = os.read(reading, 4096)
            if not numbers:
                return  # the program has closed the pipe: it dismisses us
            _echo(echoing)
            for number in numbers:
                deadline = min(deadline, mono() + _seconds_left(number, stop_within, policy))


def _echo(echoing: int) -> None:
    """Wake the program's main thread: `signal_queue` explains why a signal alone may not."""
    try:
        os.write(echoing, b".")
    except (BlockingIOError, BrokenPipeError):
        pass  # the pipe is full of unread echoes, so the main thread will wake; or the program has ended


def _seconds_left(number: int, stop_within: float, policy: SignalPolicy) -> float:
    """Return how many seconds the program has left after this signal."""
    if number == _STOP_BEGAN:
        policy.stop_began()
        return stop_within + GRACE_SECONDS
    left = {SignalAction.STOP: stop_within, SignalAction.HURRY: HURRY_SECONDS, SignalAction.EXIT: 0.0}
    return left.get(policy.action_for(number, mono()), float("inf")) + GRACE_SECONDS


def _open_process(program: int) -> int | None:
    # Unlike a pid, a pidfd is never reused for another process. Without pidfds, the end of the pipe is the only sign.
    try:
        return os.pidfd_open(program)
    except (AttributeError, OSError):
        return None


def _send(number: int, program: int, handle: int | None) -> None:
    try:
        if handle is not None:
            signal.pidfd_send_signal(handle, number)
        elif os.getppid() == program:
            os.kill(program, number)
    except ProcessLookupError:
        pass
