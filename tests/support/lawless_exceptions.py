"""Exceptions of a plugin that break every rule: no text, no class, no cause, and 3 MB of message."""

from __future__ import annotations

from typing import Any

__all__ = ["COUNT", "EXCEPTIONS", "lawless_exceptions"]

EXCEPTIONS = """
from taskloom import Task, param

class Mute(Exception):
    def __str__(self): raise RuntimeError("no str")
class Ending(Exception):
    def __str__(self): raise SystemExit(3)
    __repr__ = __str__
class Classless(Exception):
    @property
    def __class__(self): raise RuntimeError("no class")
class Causeless(Exception):
    __cause__ = __context__ = __traceback__ = __suppress_context__ = __notes__ = property(lambda self: 1 / 0)
class Meta(type):
    def __getattribute__(cls, name):
        if name in ("__name__", "__qualname__", "__module__", "__mro__", "__dict__", "__class__"):
            raise RuntimeError("no " + name)
        return super().__getattribute__(name)
    def __repr__(cls): raise RuntimeError("no repr")
    def __instancecheck__(cls, value): raise RuntimeError("no check")
    __subclasscheck__ = __instancecheck__
class Nameless(Exception, metaclass=Meta): ...
class NoImport(ImportError):
    name = property(lambda self: 1 / 0)
    def __str__(self): raise RuntimeError("no str")
class NoSystem(OSError):
    errno = strerror = property(lambda self: 1 / 0)
    def __str__(self): raise RuntimeError("no str")
class NoExit(SystemExit):
    code = property(lambda self: 1 / 0)
class NoGroup(ExceptionGroup):
    exceptions = property(lambda self: 1 / 0)
class Outside(BaseException):
    def __str__(self): raise GeneratorExit
class Unshown:
    def __repr__(self): raise SystemExit(4)
    __str__ = __repr__

ERRORS = [
    Mute("x"), Ending("x"), Classless("x"), Causeless("x"), Nameless("x"), NoImport("x"), NoSystem(5, "x"), NoExit(3),
    NoGroup("x", [ValueError(1)]), Outside("x"), SystemExit(Unshown()), ImportError("x" * 3_000_000),
]
def boom(*given, **named): raise ERRORS[NUMBER]
"""
COUNT = 12
"""How many there are."""


def lawless_exceptions() -> list[BaseException]:
    """Return one of each."""
    namespace: dict[str, Any] = {"__name__": "lawless"}
    exec(EXCEPTIONS.replace("NUMBER", "0"), namespace)
    found: list[BaseException] = namespace["ERRORS"]
    assert len(found) == COUNT
    return found
