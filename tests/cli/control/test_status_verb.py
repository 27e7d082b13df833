"""`taskloom status`: the table, what is wrong, JSON, and the watching of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.fake_control import STREAM, event_text, job_status, program_status, reply

from taskloom.cli.control.job_table import job_table
from taskloom.control.reply_fields import Fields

NOW = 1_795_000_000.0  # 2026-11-18T11:06:40Z
PROGRAM = {"/v1/program": program_status()}


def jobs(*found: dict[str, Any]) -> dict[str, Any]:
    return {"start": "0a1b2c3d", "seq": 7, "jobs": list(found)}


def table_of(*found: dict[str, Any]) -> str:
    return job_table([Fields(job) for job in found], NOW)


def cell(head: str, job: dict[str, Any]) -> str:
    heads, row = table_of(job).split("\n")
    start = heads.index(head)
    following = heads[start + len(head) :].lstrip()
    end = heads.index(following, start + len(head)) if following else None
    return row[start:end].strip()


def test_the_table_has_six_columns_if_no_job_needs_more() -> None:
    found = [
        job_status("a", "finished", outcome="succeeded", counts={"lines": 3, "bytes": 12}),
        job_status("launch", seconds=4000.25, runs=2),
        job_status("off", "disabled", runs=0),
    ]

    assert table_of(*found) == dedent("""\
        JOB     STATE     LAST       RUNS  TIME     NOTE
        a       finished  succeeded  1     1.5s     bytes 12, lines 3
        launch  running   -          2     1h6m40s
        off     disabled  -          0     -""")


def test_a_column_is_shown_for_all_jobs_if_one_needs_it() -> None:
    found = [
        job_status("flaky", marks=["ready", "flapping"], restarts=7, runs=8),
        job_status("tick", "waiting", waiting_for="next firing", next_firing="2026-11-18T11:10:52.4Z", missed=12),
    ]

    assert table_of(*found) == dedent("""\
        JOB    STATE                    LAST  RUNS  RESTARTS  MISSED  TIME  NEXT      NOTE
        flaky  running, flapping        -     8     7         0       1.5s  -
        tick   waiting for next firing  -     1     0         12      1.5s  in 4m12s""")


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (job_status("j", "waiting", waiting_for="start"), "waiting for start"),
        (job_status("j", "waiting", waiting_for="backoff", due_in=12.34), "waiting for backoff (12.3 s)"),
        (
            job_status("j", "waiting", waiting_for="dependency", waits_for="job 'db' to be ready"),
            "waiting for job 'db' to be ready",
        ),
        (job_status("j", "waiting", waiting_for="next firing", paused=True), "waiting for next firing, paused"),
        (job_status("j", "waiting", waiting_for="next firing", paused=True, marks=["paused"]),
         "waiting for next firing, paused"),
        (job_status("j", marks=[]), "running, not ready"),
        (job_status("j", marks=["ready", "unresponsive"]), "running, unresponsive"),
        (job_status("j", "stopping", marks=["ready", "overdue"]), "stopping, overdue"),
        (job_status("j", "finished", marks=["gave up"]), "finished, gave up"),
        (job_status("j", "a state of a newer program"), "a state of a newer program"),
    ],
)  # fmt: skip
def test_the_state_has_what_the_job_waits_for_and_its_marks(job: dict[str, Any], text: str) -> None:
    assert cell("STATE", job) == text


@every_case(
    ("job", "text"),
    [
        (job_status("j", error="ValueError: one\ntwo"), "ValueError: one"),
        (job_status("j", reason="user: stop, by alice (uid 1000, pid 5)"), "(user: stop, by alice (uid 1000, pid 5))"),
        (job_status("j", reason="user: x", held="stopped by alice (uid 1000)"), "(by alice (uid 1000))"),
        (job_status("j", reason="user: x", held="paused: maintenance"), "(maintenance)"),
        (job_status("j", reason="user: stop", held="stopped"), ""),
        (job_status("j", would_meet_join=False), "would not stop in time"),
        (job_status("j", "finished", would_meet_join=False), ""),
        (job_status("j", progress={"done": 3, "total": 10, "unit": "files"}), "3 of 10 files"),
        (job_status("j", progress={"done": 3.5, "total": None, "unit": ""}), "3.5"),
        (job_status("j", error="\x1b[31mred\x07"), "\\x1b[31mred\\x07"),
    ],
)
def test_the_note_has_numbers_reasons_and_errors_on_one_line(job: dict[str, Any], text: str) -> None:
    assert cell("NOTE", job) == text


@pytest.mark.parametrize(
    ("instant", "text"),
    [("2026-11-18T11:06:49.54Z", "in 9.5s"), ("2026-11-18T11:06:00Z", "in 0s"), ("2026-11-19T12:06:41Z", "in 1d1h1s"),
     ("soon", "-")],
)  # fmt: skip
def test_the_next_firing_is_the_time_until_it(instant: str, text: str) -> None:
    assert cell("NEXT", job_status("j", "waiting", next_firing=instant)) == text


def test_long_names_are_shortened_on_a_terminal_alone() -> None:
    name = "a-very-long-name-of-a-job-that-goes-on-and-on.17"

    assert name in table_of(job_status(name))
    [_, row] = job_table([Fields(job_status(name))], NOW, 60, "~").split("\n")
    assert row.startswith("a-very-long-na~d-on.17  running") or row.split(" ")[0].endswith("n.17")


# -- the verb


def test_the_chosen_jobs_are_asked_for(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({**PROGRAM, "/v1/jobs": jobs(job_status("web"))})

    answer = ask(fake, "status", "web*", "db", "-l", "night")

    assert answer.code == 0
    assert answer.out == "JOB  STATE    LAST  RUNS  TIME  NOTE\nweb  running  -     1     1.5s\n"
    assert [target for _, target, _, _ in fake.requests] == ["/v1/program", "/v1/jobs?job=web%2A&job=db&label=night"]


def test_more_names_than_a_request_can_carry_are_chosen_here(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    found = [job_status(f"job-{number}", labels=["night"] if number % 2 else []) for number in range(1000)]
    fake = play({**PROGRAM, "/v1/jobs": jobs(*found)})

    answer = ask(fake, "status", *(f"job-{number}" for number in range(10, 900)), "job-95?", "-l", "night")

    assert [line.split(" ")[0] for line in answer.out.splitlines()[1:]] == [
        f"job-{number}" for number in range(1000) if number % 2 and (10 <= number < 900 or 950 <= number < 960)
    ]


def test_an_unknown_job_among_too_many_names_is_refused(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    error = {"code": "unknown-job", "message": "cannot find job 'jib-3'; did you mean 'job-3'?", "near": ["job-3"]}
    every = jobs(*(job_status(f"job-{number}") for number in range(1000)))
    fake = play({**PROGRAM, "/v1/jobs": [every, reply({"error": error}, 404)]})

    answer = ask(fake, "status", *(f"job-{number}" for number in range(900)), "jib-3")

    assert (answer.code, answer.err) == (2, "taskloom: cannot find job 'jib-3'; did you mean 'job-3'?\n")
    assert fake.requests[-1][1] == "/v1/jobs?job=jib-3"


def test_json_has_the_program_and_the_jobs_as_they_came(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({**PROGRAM, "/v1/jobs": jobs(job_status("web", future_field=[1]))})

    answer = ask(fake, "status", "-o", "json")

    data = json.loads(answer.out)
    assert data["program"]["name"] == "jobs-3f2a"
    assert data["jobs"] == [job_status("web", future_field=[1])]
    assert answer.err == ""


def test_a_stop_is_told_first_with_who_is_awaited(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    stop = {"reason": "signal: TERM", "seconds_left": 3.25, "awaited": ["web", "db\x1b"]}
    fake = play({"/v1/program": program_status("stopping", stop=stop), "/v1/jobs": jobs(job_status("web", "stopping"))})

    answer = ask(fake, "status")

    assert answer.out.splitlines()[0] == (
        "jobs-3f2a (pid 4711) is stopping (signal: TERM): waiting for web, db\\x1b, at most 3.2 s more"
    )


def test_a_history_that_is_degraded_is_told_first(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    degraded = {"state": "degraded", "reason": "disk\x1b full", "since": "2026-01-31T12:00:00Z", "queued": 1200}
    fake = play({"/v1/program": program_status(history=degraded), "/v1/jobs": jobs(job_status("web"))})

    answer = ask(fake, "status")

    since = datetime(2026, 1, 31, 12, tzinfo=UTC).astimezone()
    assert answer.out.splitlines()[0] == (
        f"history is degraded since {since:%Y-%m-%d %H:%M:%S}: disk\\x1b full; 1,200 rows not written yet"
    )


@pytest.mark.parametrize("history", [None, {"state": "on", "queued": 5}, {"state": "off"}], ids=["old", "on", "off"])
def test_a_history_that_is_not_degraded_is_not_told(
    play: Callable[..., Any], ask: Callable[..., Any], history: dict[str, Any] | None
) -> None:
    fake = play({"/v1/program": program_status(history=history), "/v1/jobs": jobs(job_status("web"))})
    assert ask(fake, "status").out.startswith("JOB")


def test_a_program_without_jobs_says_so(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    assert ask(play({**PROGRAM, "/v1/jobs": jobs()}), "status").out == "no jobs\n"


def test_what_needs_attention_is_red_where_escapes_may_be_written(
    play: Callable[..., Any], ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = jobs(job_status("ok"), job_status("bad", wrong=True, error="\x1b[2J"))
    fake = play({"/v1/program": program_status("stopped"), "/v1/jobs": found})
    monkeypatch.setenv("FORCE_COLOR", "1")

    styled = ask(fake, "status").out.splitlines()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = ask(fake, "status").out.splitlines()

    assert styled == [
        f"\x1b[33m{plain[0]}\x1b[0m",
        f"\x1b[1m{plain[1]}\x1b[0m",
        plain[2],
        f"\x1b[31m{plain[3]}\x1b[0m",
    ]
    assert plain[0] == "jobs-3f2a (pid 4711) is stopped"
    assert plain[3].endswith("\\x1b[2J")


def test_check_fails_if_something_is_wrong_and_says_what(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    found = [
        job_status("fine"),
        job_status("web", "finished", wrong=True, outcome="failed", error="OSError: no route\nto host"),
        job_status("stuck", wrong=True, marks=["ready", "unresponsive"]),
    ]
    fake = play({**PROGRAM, "/v1/jobs": [jobs(*found), jobs(found[0])]})

    wrong, fine = ask(fake, "status", "--check"), ask(fake, "status", "--check", "fine")

    assert wrong.code == 1
    assert wrong.err == "taskloom: 2 jobs need attention: web (failed: OSError: no route), stuck (unresponsive)\n"
    assert wrong.out.startswith("JOB ")
    assert (fine.code, fine.err) == (0, "")


def test_a_job_of_another_shape_is_an_error_in_words(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({**PROGRAM, "/v1/jobs": jobs(job_status("web", runs="many"))})

    answer = ask(fake, "status")

    assert answer.code == 4
    assert answer.err.startswith("taskloom: cannot read the answer of ")
    assert answer.err.endswith(": runs is 'many', expected a number\n")


def test_an_answer_that_is_nested_too_deeply_is_an_error_in_words(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    fake = play({**PROGRAM, "/v1/jobs": jobs(job_status("web", more=deep))})

    answer = ask(fake, "status", "-o", "json")

    assert answer.code in (0, 4)  # whether it fits depends on the stack that is left
    assert "Traceback" not in answer.err


# -- watching


def watched(*more: bytes) -> bytes:
    return STREAM + b"".join(more) + event_text("end", {})


def test_watching_prints_again_what_has_changed(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    ended = jobs(job_status("web", "finished", outcome="succeeded"))
    fake = play(
        {
            **PROGRAM,
            "/v1/jobs": [jobs(job_status("web")), ended],
            "follow /v1/events": watched(event_text("ended", {"job": "web"}, "0a1b2c3d.8")),
        }
    )

    answer = ask(fake, "status", "--watch")

    assert answer.code == 0
    assert answer.out == dedent("""\
        JOB  STATE    LAST  RUNS  TIME  NOTE
        web  running  -     1     1.5s

        JOB  STATE     LAST       RUNS  TIME  NOTE
        web  finished  succeeded  1     1.5s
        """)
    assert "since=0a1b2c3d.7" in next(target for _, target, _, _ in fake.requests if "follow" in target)


def test_watching_prints_nothing_again_if_only_times_have_changed(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    found = [jobs(job_status("web", seconds=seconds, poll_age=seconds)) for seconds in (1.0, 2.0)]
    fake = play({**PROGRAM, "/v1/jobs": found, "follow /v1/events": watched()})

    assert len(ask(fake, "status", "--watch").out.splitlines()) == 2


def test_watching_as_json_prints_an_object_a_line(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    found = [jobs(job_status("web")), jobs(job_status("web", "stopping"))]
    fake = play({**PROGRAM, "/v1/jobs": found, "follow /v1/events": watched()})

    answer = ask(fake, "status", "--watch", "-o", "json")

    assert [json.loads(line)["jobs"][0]["state"] for line in answer.out.splitlines()] == ["running", "stopping"]


def test_watching_ends_although_the_program_cannot_be_asked_after_its_end(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    fake = play({**PROGRAM, "/v1/jobs": [jobs(job_status("web")), b""], "follow /v1/events": watched()})

    answer = ask(fake, "status", "--watch")

    assert (answer.code, answer.err) == (0, "taskloom: jobs-3f2a has ended\n")


def test_watching_cannot_check(ask: Callable[..., Any]) -> None:
    answer = ask(None, "status", "--watch", "--check")

    assert answer.code == 2
    assert "cannot use both --watch and --check; expected one of them" in answer.err
