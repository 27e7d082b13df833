"""The table of jobs: optional columns, and the marks beside the state."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

import pytest

from taskloom.core.model import ErrorInfo, Hold, JobState, Otherwise, Outcome, Reason, ReasonKind, WaitingFor
from taskloom.core.report import JobReport, Killed, StopReport, Survivor
from taskloom.observe.summary import job_table, summary
from taskloom.scheduler.handles import JobStatus

pytestmark = pytest.mark.usefixtures("in_berlin")


def status(job: str, state: JobState, **fields: Any) -> JobStatus:
    counts, meets = fields.pop("counts", {}), fields.pop("would_meet_join", None)
    known = {"waiting_for": None, "runs": 1, "outcome": None, "seconds": 1.5, "reason": None, "error": None}
    report = JobReport(job=job, task="t", daemon=False, state=state, **(known | fields))
    return JobStatus(report, None, 0.0, False, counts, None, meets)


def state_of(job: JobStatus) -> str:
    return re.split(r" {2,}", job_table([job]).splitlines()[1])[1]


def test_the_table_has_six_columns_if_no_job_needs_more() -> None:
    jobs = [
        status("a", JobState.FINISHED, outcome=Outcome.SUCCEEDED, counts={"lines": 3}),
        status("launch", JobState.RUNNING, is_ready=True, runs=2),
        status("off", JobState.DISABLED, runs=0),
    ]

    assert job_table(jobs) == dedent("""\
        JOB     STATE     OUTCOME    RUNS  TIME   NOTE
        a       finished  succeeded  1     1.5 s  lines 3
        launch  running   -          2     1.5 s
        off     disabled  -          0     -""")


def test_a_column_is_shown_for_all_jobs_if_one_needs_it() -> None:
    jobs = [
        status("flaky", JobState.RUNNING, is_ready=True, runs=8, restarts=7, is_flapping=True),
        status("tick", JobState.WAITING, waiting_for=WaitingFor.FIRING, next_firing=1_795_000_000.0, missed=12),
    ]

    assert job_table(jobs) == dedent("""\
        JOB    STATE                    OUTCOME  RUNS  RESTARTS  MISSED  TIME   NEXT FIRING          NOTE
        flaky  running, flapping        -        8     7         0       1.5 s  -
        tick   waiting for next firing  -        1     0         12      1.5 s  2026-11-18 12:06:40""")


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (status("j", JobState.WAITING, waiting_for=WaitingFor.START), "waiting for start"),
        (status("j", JobState.WAITING, waiting_for=WaitingFor.BACKOFF, due_in=12.34), "waiting for backoff (12.3 s)"),
        (
            status("j", JobState.WAITING, waiting_for=WaitingFor.DEPENDENCY, waits_for="job 'db' to be ready"),
            "waiting for job 'db' to be ready",
        ),
        (status("j", JobState.RUNNING), "running, not ready"),
        (status("j", JobState.RUNNING, is_ready=True, is_unresponsive=True), "running, unresponsive"),
        (status("j", JobState.STOPPING, is_ready=True, is_overdue=True), "stopping, overdue"),
        (status("j", JobState.FINISHED, outcome=Outcome.FAILED, has_given_up=True), "finished, gave up"),
    ],
)
def test_the_state_has_what_the_job_waits_for_and_its_marks(job: JobStatus, text: str) -> None:
    assert state_of(job) == text


def test_the_note_has_the_error_in_one_line() -> None:
    job = status(
        "j",
        JobState.RUNNING,
        is_ready=True,
        would_meet_join=False,
        reason=Reason(ReasonKind.USER, "enough"),
        error=ErrorInfo("ValueError", "boom\nsecond line", ""),
    )

    assert job_table([job]).endswith("would not stop in time (user: enough) ValueError: boom")


def test_no_prediction_is_made_for_a_job_that_is_stopping() -> None:
    job = status("j", JobState.STOPPING, is_ready=True, is_overdue=True, would_meet_join=False)

    assert "would not" not in job_table([job])


def test_without_jobs_the_table_is_only_its_head() -> None:
    assert job_table([]) == "JOB  STATE  OUTCOME  RUNS  TIME  NOTE"


def test_long_names_are_shortened_until_the_other_columns_fit_into_a_line() -> None:
    jobs = [status(name, JobState.FINISHED, outcome=Outcome.SUCCEEDED) for name in ("a", "x" * 63 + ".1000")]
    line = {line_width: job_table(jobs, line_width).splitlines()[2] for line_width in (None, 40, 80, 120)}

    assert line[None].startswith("x" * 63 + ".1000  finished")
    assert line[120] == line[None]
    assert line[80].startswith(f"{'x' * 23}…{'x' * 17}.1000  finished")
    assert len(line[80]) <= 80
    assert line[40].startswith("xxxxxxxxxx…xxxx.1000  finished")


def test_the_mark_in_a_long_name_can_be_written_in_every_encoding() -> None:
    jobs = [status("x" * 63 + ".1000", JobState.FINISHED, outcome=Outcome.SUCCEEDED)]

    assert job_table(jobs, 80, "~").splitlines()[1].startswith(f"{'x' * 23}~{'x' * 17}.1000  finished")


@pytest.mark.parametrize(
    ("holds", "reason", "state", "note"),
    [
        ({Hold.PAUSED: Reason(ReasonKind.USER, "pause")}, None, "finished, paused", ""),
        ({Hold.PAUSED: Reason(ReasonKind.USER, "too loud")}, None, "finished, paused", "(too loud)"),
        (
            {Hold.STOPPED: Reason(ReasonKind.USER, "stop, by alice")},
            None,
            "finished, stopped by user",
            "(by alice)",
        ),
        (
            {Hold.STOPPED: Reason(ReasonKind.USER, "enough")},
            Reason(ReasonKind.USER, "enough"),
            "finished, stopped by user",
            "(enough)",
        ),
        (
            {Hold.STOPPED: Reason(ReasonKind.USER, "stop, by root (uid 0, pid 1)")},
            Reason(ReasonKind.USER, "stop, by root (uid 0, pid 1)"),
            "finished, stopped by user",
            "(by root (uid 0, pid 1))",
        ),
        (
            {Hold.STOPPED: Reason(ReasonKind.USER, "stop, by alice")},
            Reason(ReasonKind.DEADLINE, "timeout 5s"),
            "finished, stopped by user",
            "(deadline: timeout 5s) (by alice)",
        ),
        (
            {Hold.PAUSED: Reason(ReasonKind.USER), Hold.STOPPED: Reason(ReasonKind.USER)},
            None,
            "finished, paused, stopped by user",
            "",
        ),
    ],
)
def test_a_job_that_a_user_holds_back_says_so(
    holds: dict[Hold, Reason], reason: Reason | None, state: str, note: str
) -> None:
    job = status("j", JobState.FINISHED, holds=holds, reason=reason)

    assert state_of(job) == state
    assert job_table([job]).splitlines()[1].endswith(f"1.5 s  {note}".rstrip())


def test_the_summary_names_the_runs_that_were_killed_and_those_that_kill_did_not_end() -> None:
    survivor = Survivor("db", "db#1", "db.py:3 in read", "", None, 10.0, 11.0, Otherwise.KILL)
    killed = [Killed("a", "a#1", "SIGKILL after 2.0 s"), *(Killed(name, f"{name}#1", "") for name in "bcdefg")]
    report = StopReport(Reason(ReasonKind.SHUTDOWN), 11.0, (), (survivor,), tuple(killed))

    assert summary(report, []).splitlines()[1:] == [
        "",
        "killed 7 runs: a (SIGKILL after 2.0 s), b, c, d, e and 2 more",
        "",
        "db is still running 11.0 s after its stop was requested (within 10s, otherwise kill; SIGKILL did not end it)",
        "  at db.py:3 in read",
    ]
