"""Log records and events on the console."""

from __future__ import annotations

import logging
import re

import pytest

from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome
from taskloom.observe.console import Console, ConsoleHandler


class Sink:
    """Collects the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        # Without the time, which differs from run to run.
        self.lines.extend(re.sub(r"^\S+ ", "", line) for line in text.decode().splitlines())


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def logger(sink: Sink) -> logging.Logger:
    """An unregistered logger whose only handler is that of a console."""
    logger = logging.Logger("test_console", logging.INFO)  # noqa: LOG001 - a registered one has other handlers too
    logger.addHandler(ConsoleHandler(Console(sink.put, is_colored=False)))
    return logger


def test_a_record_becomes_a_line_of_its_job(sink: Sink, logger: logging.Logger) -> None:
    logger.info("beat %d", 3, extra={"job": "heart"})

    assert sink.lines == ["INFO    heart        beat 3"]


def test_a_record_without_a_job_has_the_name_of_its_logger(sink: Sink, logger: logging.Logger) -> None:
    logger.warning("careful")

    assert sink.lines == ["WARNING test_console careful"]


def test_a_filter_may_drop_a_record(sink: Sink, logger: logging.Logger) -> None:
    logger.handlers[0].addFilter(lambda record: "secret" not in record.getMessage())

    logger.info("secret")
    logger.info("open")

    assert sink.lines == ["INFO    test_console open"]


def test_a_bad_log_call_is_reported_and_does_not_raise(sink: Sink, logger: logging.Logger) -> None:
    logger.info("%d", "no number")

    [line] = sink.lines
    assert line.startswith("INFO    test_console cannot format the log message '%d'")


def test_control_characters_are_escaped(sink: Sink, logger: logging.Logger) -> None:
    logger.info("red: \x1b[31m\tx\nsecond\x85line", extra={"job": "a"})

    assert sink.lines == ["INFO    a            red: \\x1b[31m\\tx", "INFO    a            second\\x85line"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ErrorInfo("ValueError", "boom", "Traceback\n  here\n"),
            [
                "ERROR   job          failed after 1.5 s: ValueError: boom",
                "ERROR   job          Traceback",
                "ERROR   job            here",
            ],
        ),
        (
            ErrorInfo("PermanentFailure", "the disk is gone", "Traceback\n", is_explained=True),
            ["ERROR   job          failed after 1.5 s: the disk is gone"],
        ),
    ],
    ids=["unexpected, with traceback", "explained, without traceback"],
)
def test_a_failure_is_logged_with_its_traceback_if_unexpected(
    sink: Sink, error: ErrorInfo, expected: list[str]
) -> None:
    console = Console(sink.put, is_colored=False)

    console(Event(1, 0.0, 0.0, EventName.ENDED, "job", "job#1", 1, None, Outcome.FAILED, 1.5, error))

    assert sink.lines == expected


def test_lines_are_ordered_by_the_monotonic_clock_while_the_wall_clock_steps_back() -> None:
    puts: list[tuple[float | None, str, bool]] = []

    def put(text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        puts.append((at, run, is_start))

    console = Console(put, is_colored=False)
    console(Event(1, 5000.0, 10.0, EventName.STARTED, "job", "job#1", 1))
    console(Event(2, 1000.0, 11.0, EventName.ENDED, "job", "job#1", 1, None, Outcome.SUCCEEDED, 1.0))

    assert puts == [(10.0, "job#1", True), (11.0, "", False)]


def test_a_start_without_a_line_is_passed_on_all_the_same() -> None:
    """The lines of the run wait for it, so a suppressed line must not hold them back."""
    starts: list[str] = []

    def put(text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        starts.extend([run] * is_start)

    console = Console(put, is_colored=False, call_later=lambda seconds, callback: None)
    for number in range(2, 302):
        console(Event(number, 0.0, 0.0, EventName.STARTED, "job", f"job#{number}", 1))

    assert starts == [f"job#{number}" for number in range(2, 302)]


@pytest.mark.parametrize("created", [float("nan"), float("inf"), -1e300])
def test_a_record_without_a_valid_time_is_logged(sink: Sink, logger: logging.Logger, created: float) -> None:
    made = {"msg": "x", "levelno": logging.INFO, "levelname": "INFO", "name": "made", "created": created}

    logger.handle(logging.makeLogRecord(made))

    assert sink.lines == ["INFO    made         x"]


def test_a_record_whose_parts_cannot_be_shown_raises_nothing(sink: Sink, logger: logging.Logger) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no text")

        __repr__ = __str__

    logger.info(Broken())

    assert sink.lines == ["INFO    test_console cannot format the log message of type Broken: no text"]
