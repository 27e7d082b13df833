"""Plugins that set up logging for themselves neither double nor silence the lines of the program."""

from __future__ import annotations

import io
import logging
import logging.config
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.logging import RichHandler

from taskloom.observe.log_guard import LogGuard

# A warning names some of the loggers, by the alphabet; the test process has those of many packages.
EARLIER = "!earlier"


class Collecting(logging.Handler):
    """Our handler: collects the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Guarded:
    """A guard, its handler and its warnings."""

    def __init__(self) -> None:
        self.handler = Collecting()
        self.warnings: list[str] = []
        self.guard = LogGuard(self.handler, logging.INFO, self.warnings.append)

    def says(self, logger: str) -> int:
        """Log one message, and return how often it arrives."""
        self.handler.messages.clear()
        logging.getLogger(logger).info("hello")
        return len(self.handler.messages)


def _references() -> list[Any]:
    references: list[Any] = vars(logging)["_handlerList"]
    return references


def handlers_of_root() -> list[logging.Handler]:
    """Return the handlers of the root logger without those of pytest."""
    return [handler for handler in logging.getLogger().handlers if "LogCapture" not in type(handler).__name__]


@pytest.fixture
def plain_logging() -> Iterator[None]:
    """Logging as in a new process; what the test has changed is undone."""
    root, manager = logging.getLogger(), logging.root.manager
    handlers, level, disabled = root.handlers[:], root.level, manager.disable
    loggers, references = manager.loggerDict.copy(), _references()[:]
    root.handlers[:] = []
    root.setLevel(logging.WARNING)

    yield

    root.handlers[:] = handlers
    root.setLevel(level)
    logging.disable(disabled)
    manager.loggerDict.clear()
    manager.loggerDict.update(loggers)
    _references()[:] = references
    for logger in loggers.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture
def guarded(plain_logging: None) -> Iterator[Guarded]:
    one = Guarded()
    one.guard.install()
    yield one
    one.guard.remove()


def test_messages_reach_the_handler_once(guarded: Guarded) -> None:
    assert guarded.says("taskloom.task") == 1
    assert guarded.says("any.other") == 1
    assert guarded.warnings == []


def test_basic_config_by_force_changes_nothing(guarded: Guarded) -> None:
    logging.basicConfig(force=True, level=logging.ERROR)

    assert handlers_of_root() == [guarded.handler]
    assert guarded.says("any.other") == 1
    here = f"logging: {__file__}:"
    assert [warning.startswith(here) for warning in guarded.warnings] == [True, True, True]


def test_a_file_that_a_plugin_logs_to_is_kept(guarded: Guarded, tmp_path: Path) -> None:
    logging.basicConfig(force=True, filename=tmp_path / "log", level=logging.INFO)

    assert guarded.says("any.other") == 1
    assert "hello" in (tmp_path / "log").read_text()
    for handler in handlers_of_root():
        if handler is not guarded.handler:
            logging.getLogger().removeHandler(handler)
            handler.close()


@pytest.mark.parametrize("has_root", [True, False])
def test_a_dict_config_disables_none_of_our_loggers(guarded: Guarded, has_root: bool) -> None:
    assert guarded.says(EARLIER) == 1
    root = {"root": {"handlers": ["c"], "level": "ERROR"}} if has_root else {}
    logging.config.dictConfig({"version": 1, "handlers": {"c": {"class": "logging.StreamHandler"}}, **root})

    assert guarded.says("taskloom.task") == 1
    guarded.guard.check("a package")

    assert guarded.says(EARLIER) == 1
    assert any(EARLIER in warning for warning in guarded.warnings)
    assert handlers_of_root() == [guarded.handler]


def test_a_file_config_is_handled_alike(guarded: Guarded) -> None:
    text = (
        "[loggers]\nkeys=root\n[handlers]\nkeys=c\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=ERROR\nhandlers=c\n[handler_c]\nclass=StreamHandler\nargs=(sys.stderr,)\n"
    )

    logging.config.fileConfig(io.StringIO(text))

    assert guarded.says("taskloom.task") == 1
    assert handlers_of_root() == [guarded.handler]


def test_what_no_call_has_told_is_found(guarded: Guarded) -> None:
    root = logging.getLogger()
    root.handlers = []
    root.level = logging.CRITICAL
    logging.disable(logging.CRITICAL)
    logging.getLogger("taskloom.task").propagate = False
    logging.getLogger("taskloom").setLevel(logging.ERROR)
    logging.raiseExceptions = True

    guarded.guard.watch()

    assert guarded.says("taskloom.task") == 1
    assert logging.raiseExceptions is False
    assert len(guarded.warnings) == 4


def test_handlers_that_write_to_standard_error_again_are_removed(guarded: Guarded) -> None:
    doubling, apart = logging.getLogger("doubling"), logging.getLogger("apart")
    apart.propagate = False
    in_memory = logging.StreamHandler(io.StringIO())
    for logger in (doubling, apart):
        logger.addHandler(logging.StreamHandler(sys.stdout))
    doubling.addHandler(RichHandler(console=Console(file=sys.stderr)))
    doubling.addHandler(in_memory)

    guarded.guard.check("a package")

    assert doubling.handlers == [in_memory]
    assert len(apart.handlers) == 1  # its messages do not reach our handler, so they are not doubled


def test_a_package_that_was_imported_before_is_found_at_once(plain_logging: None) -> None:
    logging.getLogger().handlers = []  # those of pytest, with which basicConfig would do nothing
    logging.basicConfig(level=logging.ERROR)
    one = Guarded()

    one.guard.install()

    assert handlers_of_root() == [one.handler]
    assert one.says("any.other") == 1
    assert len(one.warnings) == 2
    one.guard.remove()


def test_a_repeated_change_is_reported_once(guarded: Guarded) -> None:
    for _ in range(3):
        logging.getLogger().handlers.clear()
        guarded.guard.watch()

    assert guarded.warnings == ["logging: a task has removed the handler of the log; it is added again"]


def test_afterwards_logging_is_as_before(plain_logging: None) -> None:
    one = Guarded()
    before = type(logging.getLogger()), logging.getLogger().level, logging.raiseExceptions

    one.guard.install()
    one.guard.remove()

    assert (type(logging.getLogger()), logging.getLogger().level, logging.raiseExceptions) == before
    assert handlers_of_root() == []


def test_the_level_that_is_let_through_may_change(guarded: Guarded) -> None:
    guarded.guard.set_level(logging.DEBUG)
    logging.getLogger("lib").debug("now")
    logging.getLogger().setLevel(logging.INFO)

    assert guarded.handler.messages == ["now"]
    assert logging.getLogger().level == logging.DEBUG

    guarded.guard.set_level(logging.WARNING)

    assert guarded.says("lib") == 0
