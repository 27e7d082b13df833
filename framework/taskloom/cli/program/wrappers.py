"""Functions of the standard library that the program wraps while it runs, and puts back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Wrappers"]


class Wrappers:
    """Attributes that were replaced by wrappers. For one thread, or for a forked child."""

    def __init__(self) -> None:
        # (object, name of the attribute, our wrapper, what it wraps)
        self._wrapped: list[tuple[Any, str, Any, Any]] = []

    def wrap(self, target: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace an attribute by `make(attribute)`, unless it is one of our wrappers already."""
        before = getattr(target, name)
        if any(before is ours for _, _, ours, _ in self._wrapped):
            return
        ours = make(before)
        self._wrapped.append((target, name, ours, before))
        setattr(target, name, ours)

    def close(self) -> None:
        """Put back what was there before, unless another wrapper has replaced ours meanwhile. Idempotent."""
        while self._wrapped:
            target, name, ours, before = self._wrapped.pop()
            if getattr(target, name) is ours:
                setattr(target, name, before)
