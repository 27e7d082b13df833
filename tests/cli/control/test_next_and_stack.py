"""`taskloom next` and `taskloom stack`."""

from __future__ import annotations

import json
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest
from tests.support.fake_control import job_status

FIRINGS = [
    {"job": "tick", "at": "2036-11-30T00:00:00Z", "in": 3.26, "schedule": "every 10s", "paused": False},
    {"job": "night\x1b", "at": "2036-11-30T23:59:59.9Z", "in": 252.4, "schedule": "0 3 * * *", "paused": True},
    {"job": "tick", "at": None, "in": None, "schedule": "", "paused": False},
]
STACK = """\
  File "/usr/lib/python3.11/threading.py", line 1002, in _bootstrap
    self._bootstrap_inner()
  File "/srv/venv/lib/python3.11/site-packages/taskloom/runners/thread.py", line 5, in run
    body(ctx)
  File "/srv/venv/lib/python3.11/site-packages/acme/taskloom/tasks.py", line 17, in poll
    recv()
  File "/home/me/taskloom/tasks.py", line 3, in recv
"""
STACKS = [
    {"job": "web", "run": "web#2", "where": "tasks.py:3 in recv", "poll_age": 3.14, "text": STACK},
    {"job": "gone", "run": "gone#1", "where": None, "poll_age": None, "text": ""},
]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_the_firings_have_the_time_until_them_and_the_local_time(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    fake = play({"/v1/next": {"firings": FIRINGS}})

    answer = ask(fake, "next", "-n", "7", "t*")

    assert answer.out == dedent("""\
        IN     AT                   JOB        SCHEDULE
        3.3s   2036-11-30 00:00:00  tick       every 10s
        4m12s  2036-11-30 23:59:59  night\\x1b  0 3 * * * (paused)
        -      -                    tick
        """)
    assert fake.requests[0][1] == "/v1/next?count=7&job=t%2A"


def test_jobs_that_fire_too_late_for_the_table_are_named_below_it(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    later = {"next_firing": "2001-01-01T00:00:00Z"}
    jobs = [job_status("tick", **later), job_status("rare", **later), job_status("web"), job_status("able", **later)]
    fake = play({"/v1/next": {"firings": FIRINGS[:1] * 2}, "/v1/jobs": {"jobs": jobs}})

    full, open_end, data = ask(fake, "next", "-n", "2"), ask(fake, "next"), ask(fake, "next", "-n", "2", "-o", "json")

    assert full.err == "taskloom: 2 more jobs fire later: able (in 0s), rare (in 0s)\n"
    assert open_end.err == data.err == ""


def test_firings_as_json_are_as_they_came(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    answer = ask(play({"/v1/next": {"firings": FIRINGS}}), "next", "-o", "json")

    assert json.loads(answer.out) == {"firings": FIRINGS}


def test_no_firing_is_told_on_standard_error(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    answer = ask(play({"/v1/next": {"firings": []}}), "next")

    assert answer == (0, "", "taskloom: no job has a firing to come\n")


def test_labels_choose_by_the_names_of_their_jobs(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({"/v1/jobs": {"jobs": [job_status("tick"), job_status("tock")]}, "/v1/next": {"firings": FIRINGS}})

    ask(fake, "next", "-l", "night")

    assert [target for _, target, _, _ in fake.requests] == [
        "/v1/jobs?label=night",
        "/v1/next?count=20&job=tick&job=tock",
    ]


def test_more_jobs_than_one_query_can_name_are_asked_about_in_several(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    names = [f"night-{number:03}" for number in range(500)]
    fake = play({"/v1/jobs": {"jobs": [job_status(name) for name in names]}, "/v1/next": {"firings": FIRINGS}})

    answer = ask(fake, "next", "-l", "night", "-n", "5", "-o", "json")

    asked = [target for _, target, _, _ in fake.requests[1:]]
    assert [target.split("&")[0] for target in asked] == ["/v1/next?count=5"] * 3
    assert [word[4:] for target in asked for word in target.split("&")[1:]] == names
    assert json.loads(answer.out)["firings"] == [FIRINGS[0]] * 3 + [FIRINGS[1]] * 2


def test_a_label_of_no_job_shows_nothing_rather_than_all(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({"/v1/jobs": {"jobs": []}, "/v1/next": {"firings": FIRINGS}})

    assert ask(fake, "next", "-l", "none").out == ""


@pytest.mark.parametrize("count", ["0", "-1", "1001", "many"])
def test_a_count_is_a_small_positive_number(count: str, ask: Callable[..., Any]) -> None:
    assert ask(None, "next", "-n", count).code == 2


def test_a_stack_has_its_place_and_marks_the_frames_of_tasks(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({"/v1/stacks": {"stacks": STACKS}})

    answer = ask(fake, "stack", "web")

    assert answer.out == dedent("""\
        web#2: at tasks.py:3 in recv, last poll 3.1 s ago
            File "/usr/lib/python3.11/threading.py", line 1002, in _bootstrap
              self._bootstrap_inner()
            File "/srv/venv/lib/python3.11/site-packages/taskloom/runners/thread.py", line 5, in run
              body(ctx)
        >   File "/srv/venv/lib/python3.11/site-packages/acme/taskloom/tasks.py", line 17, in poll
              recv()
        >   File "/home/me/taskloom/tasks.py", line 3, in recv

        gone#1: at an unknown place
        """)
    assert fake.requests[0][1] == "/v1/stacks?job=web"


def test_a_stack_is_styled_only_where_escapes_may_be_written(
    play: Callable[..., Any], ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = [{"job": "web", "run": "web#2", "where": "a\x1b[31m", "poll_age": None, "text": "  \x1b[2J\n"}]
    fake = play({"/v1/stacks": {"stacks": evil}})
    monkeypatch.setenv("FORCE_COLOR", "1")

    styled = ask(fake, "stack").out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = ask(fake, "stack").out

    assert styled == "\x1b[1mweb#2: at a\\x1b[31m\x1b[0m\n    \\x1b[2J\n"
    assert plain == "web#2: at a\\x1b[31m\n    \\x1b[2J\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no job is running"),
        (["web", "rare"], "none of these jobs is running"),
        (["rare"], "rare has no run (waiting for next firing); `taskloom why rare` says more"),
    ],
)
def test_no_stack_is_told_on_standard_error(
    words: list[str], text: str, play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    jobs = [job_status("rare", "waiting", waiting_for="next firing"), job_status("web", "finished")]
    fake = play({"/v1/stacks": {"stacks": []}, "/v1/jobs": {"jobs": jobs[: len(words)]}})

    assert ask(fake, "stack", *words) == (0, "", f"taskloom: {text}\n")


def test_stacks_as_json_are_as_they_came(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    assert json.loads(ask(play({"/v1/stacks": {"stacks": STACKS}}), "stack", "-o", "json").out) == {"stacks": STACKS}
