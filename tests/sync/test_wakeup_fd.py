"""The descriptor that wakes a thread, when a task has closed it."""

from __future__ import annotations

import os

from taskloom.sync.wakeup_fd import WakeupFd


def test_a_wakeup_that_a_task_has_closed_wakes_no_thread_and_raises_nothing() -> None:
    wakeup = WakeupFd()
    os.close(wakeup.fileno())

    wakeup.set()

    wakeup.forget()
