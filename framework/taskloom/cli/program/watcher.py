"""The watcher: a tiny process that ends the program on time even while C code holds the GIL.

Nothing in the program itself can: a signal handler is Python, and so is every thread. But the C half of
CPython's signal handling writes the number into a descriptor (`signal.set_wakeup_fd`) without the GIL. The
watcher reads the other end, counts as the program does, and kills at the hard deadline.

It is forked before the first thread exists, holds no descriptor but its pipe, ignores the signals of the
terminal, and ends as soon as the program is gone: it waits for that too (pidfd).
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
from typing import NoReturn

from taskloom.cli.program.signals import HURRY_SECONDS, LAST_WORD_SECONDS, SignalAction, SignalPolicy
from taskloom.clock import mono

__all__ = ["WATCHED", "Watcher"]

# No signal has this number; the program sends it when it stops without one.
_STOP_BEGAN = 255
# Has C code print all stacks, whoever holds the GIL: a real-time signal, which no task is likely to use.
_TELL_STACKS = signal.SIGRTMAX
TELL_STACKS_SECONDS = 0.2
WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Watcher:
    """The program's side. `stop_within`: seconds, inf for no hard deadline but a third signal's."""

    def __init__(self, stop_within: float, *, has_terminal: bool) -> None:
        """Fork the process; call it before any thread is started."""
        reading, self._writing = os.pipe()
        self.echo, echoing = os.pipe()
        """Readable whenever the watcher has read something; at its end once the watcher is gone."""
        os.set_blocking(self._writing, False)
        os.set_blocking(echoing, False)
        program = os.getpid()
        # A signal between the fork and the child's own settings would be handled as the program handles it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writing)
            os.close(self.echo)
            _watch(program, reading, echoing, stop_within, SignalPolicy(has_terminal=has_terminal))
        os.close(reading)
        os.close(echoing)
        faulthandler.register(_TELL_STACKS, file=2, all_threads=True)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop_began(self) -> None:
        """Say that the program stops by itself: the hard deadline counts from now."""
        try:
            os.write(self._writing, bytes([_STOP_BEGAN]))
        except OSError:
            pass  # it was killed from outside; the program goes on without it

    def dismiss(self) -> None:
        """End the watcher and wait for it: it outlives nobody."""
        signal.set_wakeup_fd(-1)
        faulthandler.unregister(_TELL_STACKS)
        os.close(self._writing)
        os.close(self.echo)
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # somebody reaped it before


def _watch(program: int, reading: int, echoing: int, stop_within: float, escalation: SignalPolicy) -> NoReturn:
    """Be the watcher; never returns into the program's code."""
    try:
        gc.disable()  # a collection would touch, and so copy, the pages shared with the program
        for number in WATCHED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        _let_go_of_output()
        _loop(program, reading, echoing, stop_within, escalation)
    finally:
        os._exit(0)


def _let_go_of_output() -> None:
    """Hold nobody's pipe open: who reads the program's output waits for its end, not for ours."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.chdir("/")


def _loop(program: int, reading: int, echoing: int, stop_within: float, escalation: SignalPolicy) -> None:
    handle = _open_process(program)
    poller = select.poll()
    poller.register(reading, select.POLLIN)
    if handle is not None:
        poller.register(handle, select.POLLIN)
    deadline, has_told = float("inf"), False
    while True:
        left = deadline - mono()
        if left <= 0:
            _send(signal.SIGKILL, program, handle)
            return
        if not has_told:
            left -= TELL_STACKS_SECONDS
            if left <= 0:
                has_told = True
                _send(_TELL_STACKS, program, handle)
                continue
        ready = poller.poll(None if left == float("inf") else left * 1000)
        if any(descriptor == handle for descriptor, _ in ready):
            return  # the program has ended
        if ready:
            numbers = os.read(reading, 4096)
            if not numbers:
                return  # the program let go of us
            _echo(echoing)
            for number in numbers:
                deadline = min(deadline, mono() + _allowance(number, stop_within, escalation))


def _echo(echoing: int) -> None:
    """Wake the program's main thread: see `mailbox` for why a signal alone may not."""
    try:
        os.write(echoing, b".")
    except (BlockingIOError, BrokenPipeError):
        pass  # so many echoes unheard that one more tells nothing; or nobody is there to hear


def _allowance(number: int, stop_within: float, escalation: SignalPolicy) -> float:
    """Return how many seconds the program may still live after this."""
    if number == _STOP_BEGAN:
        escalation.stopping()
        return stop_within + LAST_WORD_SECONDS
    step = escalation.step(number, mono())
    seconds = {SignalAction.STOP: stop_within, SignalAction.HURRY: HURRY_SECONDS, SignalAction.LEAVE: 0.0}.get(
        step, float("inf")
    )
    return seconds + LAST_WORD_SECONDS


def _open_process(program: int) -> int | None:
    # A pidfd cannot come to mean another process, as a number can. Where there is none, the pipe's end must do.
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
