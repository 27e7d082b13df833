"""The init that stays in front of the program where that would be process 1 of a container or pid namespace.

Process 1 is different: the kernel drops each signal to it that has no handler, SIGKILL by its own watcher included, so
no hard deadline could hold; and it has to collect the end of every orphan. So the program runs as a child of process 1.
It keeps the session, the process group and the terminal, as if the init were not there: Ctrl-C, Ctrl-Z and `fg` work
as without it. When the init ends, or is killed, the kernel ends all other processes of the namespace.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from taskloom.cli.program.detached import detach, reserve_descriptors
from taskloom.cli.program.process import Child
from taskloom.cli.program.watch import WATCHED, OwnSignals, Watch
from taskloom.cli.program.watch_pipes import Pipes

__all__ = ["INIT_NAME", "pipes_to_init", "stay_in_front"]

INIT_NAME = "taskloom-init"

# Not passed on: what the terminal sends to the whole process group, so that the program has got it, and what is about
# the init itself.
_NOT_PASSED_ON = {
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS),
}

_pipes: Pipes | None = None


def stay_in_front() -> None:
    """Fork the program if this is process 1. Returns only in the program.

    Called before any thread, and before large imports: what is imported now stays in the memory of the init. Raises
    OSError if there is no process or pipe to be had.
    """
    global _pipes  # noqa: PLW0603 - one process has one init at most
    if os.getpid() != 1:
        return
    reserve_descriptors()
    pipes = Pipes()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would lose the exit code
    # Blocked signals wait; without a handler the kernel would drop them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        _be_init(pid, pipes)
    pipes.keep_program_side()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _pipes = pipes


def pipes_to_init() -> Pipes | None:
    """Return the pipes to the init in front of this program, or None if there is none."""
    return _pipes


def _be_init(pid: int, pipes: Pipes) -> NoReturn:
    """Be process 1 until the program ends."""
    program = Child(pid)
    try:
        _watch(program, pipes)
    finally:  # also after a bug of ours or without memory: the program goes on, and its orphans are collected
        os._exit(program.wait_for_end())


def _watch(program: Child, pipes: Pipes) -> None:
    has_terminal = os.isatty(0)
    own = OwnSignals({*WATCHED, *signal.valid_signals()} - _NOT_PASSED_ON)
    kept = {pipes.reading, pipes.echoing, *own.descriptors}
    detach(INIT_NAME, kept if program.fileno is None else kept | {program.fileno})
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    watch = Watch(program, pipes, own, has_terminal=has_terminal)
    watch.serve()
    watch.pass_on()
