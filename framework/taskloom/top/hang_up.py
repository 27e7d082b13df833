"""Ends the process when its terminal is gone.

SIGHUP does that for most programs. It does not come if the program was started by nohup, or if the terminal is not its
controlling one. Then the thread of textual that writes fails, and its event loop waits for that thread for ever.
"""

from __future__ import annotations

import os
import select
import signal
import threading

__all__ = ["end_on_hang_up"]

# The exit code that a shell shows for a program that SIGHUP has killed.
_CODE = 128 + signal.SIGHUP


def end_on_hang_up(descriptor: int) -> None:
    """Let a daemon thread wait until the terminal is gone, and then end the process: there is nothing to restore.

    Raises RuntimeError if the system refuses the thread.
    """
    threading.Thread(target=_await_hang_up, args=(descriptor,), name="taskloom-top-terminal", daemon=True).start()


def _await_hang_up(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is reported whatever is waited for
    poll.poll()
    os._exit(_CODE)
