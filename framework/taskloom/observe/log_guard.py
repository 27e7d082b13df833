"""Keeps the log whole when a plugin sets up logging for itself, as a script of its own would do.

`logging.basicConfig(force=True)` removes the handler of the program and adds one that writes to standard error as well;
`dictConfig` and `fileConfig` also disable every logger that they do not know. Under `taskloom run` the first would
silence the log or write each line twice, and the second would silence jobs of other people.

The root logger refuses such changes at once, since they may come at any time, from any thread. A change that comes
in another way is found and set again by `check`: after plugins were imported, and while the jobs run. Handlers that
write elsewhere, such as files, are left alone.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from taskloom.clock import mono
from taskloom.text import first_of

__all__ = ["LogGuard"]

# How often all loggers are looked at while events come: often for a person, and rare for a thousand loggers.
CHECK_SECONDS = 1.0
_MOST_NAMED = 5
# A plugin that sets up logging in each of its runs is reported once; one that varies it is not reported for ever.
_MOST_WARNINGS = 100
_OWN = ("taskloom", "taskloom.task")
_LOGGING = os.path.dirname(logging.__file__)  # noqa: PTH120 - compared with the file names of frames, as text


class LogGuard:
    """Guards the handler of the program on the root logger. `warn` is called with a sentence for each kind of change.

    `level`: the least level that reaches the handler.
    """

    def __init__(self, handler: logging.Handler, level: int, warn: Callable[[str], object]) -> None:
        self.handler = handler
        self.level = level
        self._warn = warn
        self._warned: set[str] = set()
        self._checked_at = float("-inf")
        self._classes: dict[logging.Logger, type[logging.Logger]] = {}
        self._before: tuple[int, bool] = logging.root.level, logging.raiseExceptions

    def install(self) -> None:
        """Put the handler on the root logger and guard it. Reports what plugins have changed before."""
        root = logging.getLogger()
        self._before = root.level, logging.raiseExceptions
        if root.level <= logging.WARNING:  # as it is at the start, or lower: `check` reports only what was silenced
            root.setLevel(self.level)
        root.addHandler(self.handler)
        self._guard(root, _GuardedRoot)
        vars(root)[_GUARD] = self
        for name in _OWN:
            self._guard(logging.getLogger(name), _NeverDisabled)
        self.check("an imported package")

    def set_level(self, level: int) -> None:
        """Let messages of this level reach the handler from now on; idempotent."""
        if level != self.level:
            self.level = level
            if vars(logging.getLogger()).get(_GUARD) is self:
                logging.getLogger().setLevel(level)

    def remove(self) -> None:
        """Take the handler off and leave logging as it was before `install`."""
        for logger, before in self._classes.items():
            logger.__class__ = before
        self._classes.clear()
        root = logging.getLogger()
        vars(root).pop(_GUARD, None)
        root.removeHandler(self.handler)
        level, logging.raiseExceptions = self._before
        root.setLevel(level)

    def watch(self) -> None:
        """Check the root logger, and all loggers now and then. Called often, while the jobs run."""
        root = logging.getLogger()
        is_intact = self.handler in root.handlers and root.level <= self.level and root.manager.disable < self.level
        if not is_intact or mono() >= self._checked_at + CHECK_SECONDS:
            self.check("a task")

    def check(self, culprit: str) -> None:
        """Set again what was changed, and report it. `culprit`: who has probably changed it."""
        self._checked_at = mono()
        logging.raiseExceptions = False
        for change in [*self._check_root(), *self._check_loggers()]:
            self.report(culprit, change)

    def report(self, culprit: str, change: str) -> None:
        """Report a change, once."""
        sentence = f"logging: {culprit} {change}"
        if sentence not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(sentence)
            self._warn(sentence)

    def is_double(self, handler: logging.Handler) -> bool:
        """Return whether a handler writes to standard output or standard error, as ours does."""
        if handler is self.handler or isinstance(handler, logging.FileHandler):
            return False
        # A StreamHandler has its stream; the handler of rich has a console with a file.
        stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
        return stream is not None and _is_standard(stream)

    def _guard(self, logger: logging.Logger, guarded: type) -> None:
        if isinstance(logger, guarded):
            return  # another program in this process guards it too; the last one counts
        self._classes[logger] = type(logger)
        # Derived from its own class, which another package may have made.
        logger.__class__ = type(guarded.__name__, (guarded, type(logger)), {})

    def _check_root(self) -> Iterator[str]:
        root = logging.getLogger()
        if self.handler not in root.handlers:
            root.handlers.append(self.handler)
            yield "has removed the handler of the log; it is added again"
        if root.level > self.level:
            wanted = logging.getLevelName(root.level)
            root.setLevel(self.level)
            yield f"has set the level of the root logger to {wanted}; it is {logging.getLevelName(self.level)} again"
        if root.manager.disable >= self.level:
            logging.disable(logging.NOTSET)
            yield "has called logging.disable; it is undone"

    def _check_loggers(self) -> Iterator[str]:
        loggers = {"root": logging.getLogger()} | {
            name: logger
            for name, logger in logging.root.manager.loggerDict.copy().items()
            if isinstance(logger, logging.Logger)
        }
        doubling = [name for name, logger in loggers.items() if self._remove_doubles(logger)]
        if doubling:
            names = first_of(doubling, _MOST_NAMED)
            yield f"has added handlers that write each line to standard error again (to {names}); they are removed"
        silenced = sorted(name for name, logger in loggers.items() if logger.disabled)
        for name in silenced:
            loggers[name].disabled = False
        if silenced:
            yield f"has disabled loggers that exist ({first_of(silenced, _MOST_NAMED)}); they are enabled again"
        muted = [name for name, logger in loggers.items() if name.startswith("taskloom") and self._unmute(logger)]
        if muted:
            yield f"has silenced {first_of(muted, _MOST_NAMED)}; this is undone"

    def _remove_doubles(self, logger: logging.Logger) -> bool:
        if not logger.handlers or not _reaches_root(logger):
            return False
        doubles = [handler for handler in list(logger.handlers) if self.is_double(handler)]
        for handler in doubles:
            logger.removeHandler(handler)
        return bool(doubles)

    def _unmute(self, logger: logging.Logger) -> bool:
        """Let all records of one of our own loggers pass to the root logger; return whether they did not."""
        is_muted = not logger.propagate or logger.level > self.level
        if is_muted:
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
        return is_muted


_GUARD = "taskloom_guard"


class _GuardedRoot(logging.Logger):
    """The root logger while it is guarded."""

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - the name in logging
        """Add the handler, unless it writes to standard error as well."""
        guard: LogGuard | None = vars(self).get(_GUARD)
        if guard is None or not guard.is_double(hdlr):
            super().addHandler(hdlr)
        else:
            guard.report(_caller(), "has tried to log to standard error once more; its handler is not added")
        if guard is not None and guard.handler not in self.handlers:
            super().addHandler(guard.handler)

    def removeHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - the name in logging
        """Remove the handler, unless it is that of the program."""
        guard: LogGuard | None = vars(self).get(_GUARD)
        if guard is None or hdlr is not guard.handler:
            super().removeHandler(hdlr)
            return
        guard.report(_caller(), "has tried to remove the handler of the log; it stays")
        if sys._getframe(1).f_code is getattr(logging.basicConfig, "__code__", None):
            # It does nothing if a handler is left; and the handler that it adds next brings ours back.
            super().removeHandler(hdlr)

    def setLevel(self, level: Any) -> None:  # noqa: N802 - the name in logging
        """Set the level, unless it would silence the log."""
        super().setLevel(level)
        guard: LogGuard | None = vars(self).get(_GUARD)
        if guard is not None and self.level > guard.level:
            wanted, kept = logging.getLevelName(self.level), logging.getLevelName(guard.level)
            super().setLevel(guard.level)
            guard.report(_caller(), f"has tried to set the level of the root logger to {wanted}; it stays {kept}")


class _NeverDisabled(logging.Logger):
    """A logger of ours: `disable_existing_loggers` has no effect on it."""

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Ignore the value."""


def _is_standard(stream: Any) -> bool:
    if any(stream is each for each in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:
        return stream.fileno() in (1, 2)
    except Exception:  # noqa: BLE001 - any object may be a stream; io.StringIO has no descriptor
        return False


def _reaches_root(logger: logging.Logger) -> bool:
    """Return whether the records of a logger are passed on to the root logger."""
    current: logging.Logger | None = logger
    while current is not None and current.parent is not None:
        if not current.propagate:
            return False
        current = current.parent
    return True


def _caller() -> str:
    """Return the place that has called logging: the innermost frame outside of logging and of this module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_LOGGING, __file__)):
        frame = frame.f_back
    return "a task" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
