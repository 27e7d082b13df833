"""Threads without Python in them, through ctypes: what the machine allows.

No C has to be compiled: functions of the C library that block or return are the bodies of these threads.
"""

from __future__ import annotations

import ctypes

__all__ = ["Crowd", "start_and_join"]

_C = ctypes.CDLL(None, use_errno=True)
_BARRIER_BYTES = 64  # a pthread_barrier_t has 32 at most


def start_and_join(times: int) -> None:
    """Start so many threads and join each before the next."""
    thread = ctypes.c_ulong()
    address = ctypes.byref(thread)
    for _ in range(times):
        _check(_C.pthread_create(address, None, _C.getppid, None))
        _check(_C.pthread_join(thread, None))


class Crowd:
    """So many threads that sleep until all are let go at once."""

    def __init__(self, size: int) -> None:
        # A thread is released when one more than there are threads has come to the barrier: that is `release`.
        self._barrier = ctypes.create_string_buffer(_BARRIER_BYTES)
        _check(_C.pthread_barrier_init(self._barrier, None, size + 1))
        self._threads = [self._start() for _ in range(size)]

    def _start(self) -> ctypes.c_ulong:
        thread = ctypes.c_ulong()
        _check(_C.pthread_create(ctypes.byref(thread), None, _C.pthread_barrier_wait, self._barrier))
        return thread

    def release(self) -> None:
        """Let all of them go, and join them."""
        _C.pthread_barrier_wait(self._barrier)
        for thread in self._threads:
            _check(_C.pthread_join(thread, None))


def _check(code: int) -> None:
    if code:
        raise OSError(code, "cannot handle a thread")
