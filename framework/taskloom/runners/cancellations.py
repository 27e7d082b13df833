"""Recognises the exceptions that mean "cancelled": ours, those of asyncio and trio, and groups of nothing else.

anyio has none of its own: it raises that of the library that it runs on.
"""

from __future__ import annotations

import sys

from taskloom.errors import Cancelled

__all__ = ["is_cancellation"]

# Module and class. A library that is not imported has raised nothing, so none is imported here.
_FOREIGN = (("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled"))


def is_cancellation(error: BaseException) -> bool:
    """Return whether the exception is a cancellation, or a group of cancellations only, however deeply nested.

    Calls no code of the exception's class.
    """
    kinds = (Cancelled, *_foreign_kinds())
    remaining = [error]
    while remaining:  # not recursion: a group may be nested more deeply than the interpreter's stack
        each = remaining.pop()
        # Not isinstance, which asks the object for its `__class__`.
        if issubclass(type(each), BaseExceptionGroup):
            remaining.extend(BaseExceptionGroup.exceptions.__get__(each))
        elif not issubclass(type(each), kinds):
            return False
    return True


def _foreign_kinds() -> list[type]:
    found: list[type] = []
    for module, name in _FOREIGN:
        # Not getattr, which would call a module's own `__getattr__`.
        kind = getattr(sys.modules.get(module), "__dict__", {}).get(name)
        if isinstance(kind, type):
            found.append(kind)
    return found
