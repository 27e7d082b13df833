"""The assertion of conformance tests: pytest does not rewrite `assert` in installed packages."""

from __future__ import annotations

__all__ = ["require"]


def require(condition: object, message: str) -> None:
    """Raise AssertionError with the message unless the condition is true."""
    if not condition:
        raise AssertionError(message)
