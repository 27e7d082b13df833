"""`taskloom events`: events as lines, as JSON, and as they come."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.every_case import every_case
from tests.support.fake_control import STREAM, event_text, job_status

from taskloom.cli.control.event_lines import EventLines
from taskloom.control.reply_fields import Fields
from taskloom.core.events import EventName
from taskloom.observe.log_format import LogFormat
from taskloom.observe.name_column import NameColumn


def event(number: int, name: str, job: str | None = "web", **fields: Any) -> dict[str, Any]:
    about = {} if job is None else {"job": job, "run": f"{job}#1", "attempt": 1}
    return {"seq": number, "at": "2026-01-31T12:00:00.250000Z", "mono": 1.0, "event": name, **about, **fields}


def line_of(data: dict[str, Any]) -> str:
    """Return the line of an event, without its time."""
    text = EventLines(LogFormat.FULL, NameColumn()).render(Fields(data))
    return text.removesuffix("\n").partition(" ")[2]


@every_case(
    ("data", "line"),
    [
        (event(1, "started"), "INFO    web          started"),
        (event(1, "queued"), "INFO    web          queued web#1"),
        (event(1, "ready", seconds=0.25), "INFO    web          ready web#1 after 250ms"),
        (event(1, "scheduler_started", None), "INFO    taskloom     scheduler started"),
        (
            event(1, "cancel_requested", reason={"kind": "user", "text": "stop, by alice (uid 1000, pid 5)"}),
            "INFO    web          stopping: stop, by alice (uid 1000, pid 5)",
        ),
        (
            event(1, "ended", outcome="failed", seconds=1.0,
                  error={"type": "OSError", "message": "no\nroute\x1b", "traceback": "Traceback ..."}),
            "ERROR   web          failed after 1.0 s: OSError: no\\nroute\\x1b",
        ),
        (event(1, "stop_overdue", where="x.py:3 in f", within=10.0, poll_age=3.0, stack="", callbacks=[]),
         "ERROR   web          did not stop within 10s: currently at x.py:3 in f, no poll for 3.0 s"),
        (event(1, "reloaded", None, add=["a", "b"], remove=[], restart=["c"]),
         "INFO    taskloom     reloaded: add a, b; restart c"),
        (event(1, "job_added", task="countdown", daemon=False), "INFO    web          job added web#1: task countdown"),
        (event(1, "job_added", task="x", daemon=True), "INFO    web          job added web#1: task x, daemon"),
        (event(1, "scheduler_started", None, jobs=1500), "INFO    taskloom     scheduler started: 1,500 jobs"),
        (event(1, "scheduler_stopped", None, survivors=1), "INFO    taskloom     scheduler stopped: 1 survivor"),
        (event(1, "scheduler_stopped", None, survivors=0), "INFO    taskloom     scheduler stopped"),
        (event(1, "job_started_in_a_newer_program"), "INFO    web          job_started_in_a_newer_program"),
        (event(1, "ended", outcome="an outcome of a newer program"), "INFO    web          ended"),
        ({}, "INFO    taskloom     an event without a name"),
    ],
)  # fmt: skip
def test_an_event_is_a_line_as_in_the_log(data: dict[str, Any], line: str) -> None:
    assert line_of(data) == line


@every_case("name", [each.value for each in EventName])
def test_each_event_without_its_data_is_a_line(name: str) -> None:
    assert "\n" not in line_of({"event": name, "job": "web"})


def test_the_last_events_are_shown(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    found = [event(number, "started") for number in range(1, 201)]
    fake = play({"/v1/events": {"gap": False, "events": found}})

    usual, few, json_lines = ask(fake, "events"), ask(fake, "events", "-n", "2"), ask(fake, "events", "-o", "json")

    assert len(usual.out.splitlines()) == 100
    assert len(few.out.splitlines()) == 2
    assert [json.loads(line) for line in json_lines.out.splitlines()] == found[100:]
    assert [target for _, target, _, _ in fake.requests] == [
        "/v1/events?count=100",
        "/v1/events?count=2",
        "/v1/events?count=100",
    ]


def test_with_since_all_of_them_are_shown_and_a_gap_is_told(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    found = [event(number, "started") for number in range(1, 201)]
    fake = play({"/v1/events": {"gap": True, "events": found}})

    answer = ask(fake, "events", "--since", "0a1b2c3d.7")

    assert len(answer.out.splitlines()) == 200
    assert answer.err == (
        "taskloom: the first events are missing: they are no longer kept, or the program was restarted\n"
    )
    assert fake.requests[0][1] == "/v1/events?since=0a1b2c3d.7&count=10000"


def test_following_shows_what_comes_until_the_end_of_the_program(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    stream = STREAM + b"".join(
        [
            event_text("started", event(8, "started"), "0a1b2c3d.8"),
            event_text("gap", {"from": "0a1b2c3d.8", "to": "0a1b2c3d.12", "why": "lost"}),
            event_text("ended", event(12, "ended", outcome="succeeded", seconds=1.0), "0a1b2c3d.12"),
            event_text("end", {}),
        ]
    )
    fake = play({"follow /v1/events": stream})

    text, data = ask(fake, "events", "-f", "web*"), ask(fake, "events", "-f", "-o", "json")

    assert text.code == 0
    assert [line.split(maxsplit=3)[3] for line in text.out.splitlines()] == ["started", "succeeded after 1.0 s"]
    assert text.err == (
        "taskloom: events are missing here: they came faster than they could be read, or are no longer kept\n"
    )
    assert [json.loads(line)["event"] for line in data.out.splitlines()] == ["started", "gap", "ended"]
    assert fake.requests[0][1] == "/v1/events?job=web%2A&count=100&follow=true"


def test_a_lost_connection_and_a_restart_are_told(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    first = STREAM + event_text("started", event(8, "started"), "0a1b2c3d.8")
    second = STREAM + event_text("gap", {"from": "0a1b2c3d.8", "to": "bb.0", "why": "restart"}) + event_text("end", {})
    fake = play({"follow /v1/events": [first, second]})

    answer = ask(fake, "events", "-f")

    assert answer.code == 0
    lost, found, gap = answer.err.splitlines()
    assert lost.endswith("it closed the connection; waiting for the program to come back")
    assert found == "taskloom: connected again"
    assert gap == "taskloom: the program was restarted; events from before that may be missing here"


def test_labels_choose_among_the_events(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    many = [job_status(f"a-job-with-a-long-name-{number}") for number in range(1000)]
    found = [event(1, "started", "a-job-with-a-long-name-5"), event(2, "started", "other"), event(3, "reloaded", None)]
    fake = play({"/v1/jobs": {"jobs": many}, "/v1/events": {"events": found}})

    answer = ask(fake, "events", "-l", "night", "-o", "json")

    assert [json.loads(line)["seq"] for line in answer.out.splitlines()] == [1]


def test_following_from_a_place_cannot_have_a_number_of_lines(ask: Callable[..., Any]) -> None:
    answer = ask(None, "events", "-f", "--since", "10m", "-n", "5")

    assert answer.code == 2
    assert "cannot use --lines with both --follow and --since; expected one of these" in answer.err
