"""The lines of a supervisor."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.runners.process.channel import (
    Continued,
    Done,
    Exited,
    Left,
    OutOfMemory,
    OverLimit,
    ProcessStarted,
    StartFailed,
    Stopped,
    SupervisorMessage,
    parse_message,
)


@every_case(
    ("line", "message"),
    [
        ("started 17", ProcessStarted(17)),
        ("failed 2 cannot start 'x': No such file", StartFailed(2, "cannot start 'x': No such file")),
        ("exited 139 2048 1.5 0.25", Exited(139, 2048, 1.5, 0.25)),
        ("left 2 sleep, sh", Left(2, "sleep, sh")),
        ("left 1", Left(1, "")),
        ("stopped 19", Stopped(19)),
        ("continued", Continued()),
        ("over 100 200", OverLimit(100, 200)),
        ("oom", OutOfMemory()),
        ("done", Done()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_message_is_read(line: str, message: SupervisorMessage) -> None:
    read = parse_message(line)

    assert read == message
    assert type(read) is type(message)


@every_case("line", ["", "nonsense", "started", "started x", "exited 1", "over 1", "stopped", "failed x y"])
def test_any_other_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its text: it is a bug of ours
        parse_message(line)
