"""Whatever a program answers, a client ends in an answer or in a `ControlError`."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_control import STREAM, event_text, job_status, reply

from taskloom.cli.control.event_lines import EventLines
from taskloom.cli.control.job_table import job_table, wrong_jobs
from taskloom.cli.control.program_text import history_text, stop_text
from taskloom.clock import mono
from taskloom.control.client_call import Call
from taskloom.control.client_errors import ControlError
from taskloom.control.reply_fields import Fields
from taskloom.control.sse_parser import EventParser
from taskloom.control.unix_client import Peer
from taskloom.core.events import EventName
from taskloom.observe.log_format import LogFormat
from taskloom.observe.name_column import NameColumn

NOW = 1_795_000_000.0
WHOLE = [reply({"jobs": [{"job": "web"}]}), STREAM + event_text("ended", {"job": "web"}, "aa.1")]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


PREFIX = "cannot read the answer of pid 7: "


def bent(raw: bytes, at: int, piece: bytes, cut: int) -> bytes:
    """Return an answer with other bytes in it."""
    at %= len(raw) + 1
    return raw[:at] + piece + raw[at + cut :]


def error_of(read: Callable[[], object]) -> str:
    """Return the text of the `ControlError`, or "" if there is none. Any other error is a failure of the test."""
    try:
        read()
    except ControlError as error:
        return str(error)
    return ""


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 400), st.binary(max_size=8), st.integers(0, 60))
def test_any_bytes_are_an_answer_or_an_error_in_words(whole: bytes, at: int, piece: bytes, cut: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with theirs:
        theirs.sendall(bent(whole, at, piece, cut))
    deadline = mono() + 30.0

    with Call(Peer(ours, os.getpid(), os.geteuid()), "/x.sock") as call:
        call.send("GET", "/v1", None, {}, deadline)
        text = error_of(lambda: call.body(call.head(deadline), deadline))

    assert text.isprintable()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 9))
def test_any_stream_is_events_or_an_error_in_words(noise: bytes, size: int) -> None:
    text = event_text("ended", {"job": "web"}, "aa.1") + noise + event_text("end", {})
    parser, events = EventParser(), []

    with contextlib.suppress(ValueError):
        for start in range(0, len(text), size):
            events += parser.feed(text[start : start + size])

    assert events[0].id == "aa.1"
    assert all(isinstance(event.data, dict) for event in events)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(job_status("web"))), VALUES, max_size=3))
def test_any_job_is_a_row_or_an_error_in_words(changed: dict[str, Any]) -> None:
    job = Fields(job_status("web") | changed, "pid 7")
    tables: list[str] = []

    text = error_of(lambda: tables.append(job_table([job], NOW, 80))) or error_of(lambda: wrong_jobs([job]))

    assert text == "" or text.startswith(PREFIX)
    assert all(table.count("\n") == 1 for table in tables)


FIELDS = [
    "job",
    "run",
    "at",
    "mono",
    "seq",
    "attempt",
    "reason",
    "outcome",
    "seconds",
    "error",
    "why",
    "count",
    "where",
]
NAMES = [each.value for each in EventName]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
def test_any_event_is_a_line_or_an_error_in_words(name: str, data: dict[str, Any]) -> None:
    lines: list[str] = []
    fields = Fields({"event": name, **data}, "pid 7")

    text = error_of(lambda: lines.append(EventLines(LogFormat.FULL, NameColumn()).render(fields)))

    assert text == "" or text.startswith(PREFIX)
    assert all(line.count("\n") == 1 for line in lines)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([stop_text, lambda program: history_text(program, 0.0)]),
       st.dictionaries(st.sampled_from(["name", "pid", "state", "stop"]), VALUES),
       st.dictionaries(st.sampled_from(["reason", "since", "url", "queued", "dropped"]), VALUES))  # fmt: skip
def test_any_program_is_a_line_or_an_error_in_words(
    shown: Callable[[Fields], str], data: dict[str, Any], history: dict[str, Any]
) -> None:
    lines: list[str] = []
    program = Fields({**data, "history": {"state": "degraded", **history}}, "pid 7")

    text = error_of(lambda: lines.append(shown(program)))

    assert text == "" or text.startswith(PREFIX)
    assert "\n" not in "".join(lines)
