"""Threads that run no Python code, made with ctypes: the limit of the machine.

No C code has to be compiled: these threads run functions of the C library.
"""

from __future__ import annotations

import ctypes

__all__ = ["Crowd", "start_and_join"]

_C = ctypes.CDLL(None, use_errno=True)
_BARRIER_BYTES = 64  # a pthread_barrier_t has at most 32


def start_and_join(times: int) -> None:
    """Start this number of threads, and join each one before the next."""
    thread = ctypes.c_ulong()
    address = ctypes.byref(thread)
    for _ in range(times):
        _check(_C.pthread_create(address, None, _C.getppid, None))
        _check(_C.pthread_join(thread, None))


class Crowd:
    """Threads that sleep until all of them are released at once."""

    def __init__(self, size: int) -> None:
        # The barrier releases all threads when one more than their number waits at it: the caller of `release`.
        self._barrier = ctypes.create_string_buffer(_BARRIER_BYTES)
        _check(_C.pthread_barrier_init(self._barrier, None, size + 1))
        self._threads = [self._start() for _ in range(size)]

    def _start(self) -> ctypes.c_ulong:
        thread = ctypes.c_ulong()
        _check(_C.pthread_create(ctypes.byref(thread), None, _C.pthread_barrier_wait, self._barrier))
        return thread

    def release(self) -> None:
        """Release all threads, and join them."""
        _C.pthread_barrier_wait(self._barrier)
        for thread in self._threads:
            _check(_C.pthread_join(thread, None))


def _check(code: int) -> None:
    if code:
        raise OSError(code, "cannot handle a thread")
