"""Closes the sockets of our servers in a forked child: it would listen, too, and hold the sockets of their clients."""

from __future__ import annotations

import os
from typing import Protocol

__all__ = ["close_in_children", "keep_in_children"]


class _Server(Protocol):
    def forget(self) -> None:
        """Close all descriptors."""


_OPEN: set[_Server] = set()
_hooks: list[bool] = []


def close_in_children(server: _Server) -> None:
    """Have `forget` of a server called in each child that is forked from now on."""
    _OPEN.add(server)
    if not _hooks:  # hooks cannot be taken back
        _hooks.append(True)
        os.register_at_fork(after_in_child=_forget_all)


def keep_in_children(server: _Server) -> None:
    """Call it no longer: the server is closed. Idempotent."""
    _OPEN.discard(server)


def _forget_all() -> None:
    while _OPEN:
        try:
            _OPEN.pop().forget()
        except Exception:  # noqa: BLE001 - in a hook it would be printed; a descriptor that is left open is the lesser evil
            pass
