"""`taskloom report`: the summary of `run` again, or which runs were alive when the program was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.recorded_history import NOW, RecordedHistory, held_by_a_child

from taskloom.control.reply_fields import Fields
from taskloom.control.report_data import statuses_of
from taskloom.core.model import ErrorInfo, Hold, JobState, Otherwise, Outcome, Reason, ReasonKind
from taskloom.core.report import JobReport, Killed, StopReport, Survivor
from taskloom.observe.summary import summary
from taskloom.runners import ProcessInfo
from taskloom.scheduler.handles import JobStatus

Ask = Callable[..., Any]


def status(job: str, *, process: ProcessInfo | None = None, **fields: Any) -> JobStatus:
    known: dict[str, Any] = {
        "task": "countdown", "daemon": False, "state": JobState.FINISHED, "waiting_for": None, "runs": 1,
        "outcome": Outcome.SUCCEEDED, "seconds": 1.25, "reason": None, "error": None,
    }  # fmt: skip
    return JobStatus(
        JobReport(job=job, **{**known, **fields}), None, 0.0, True, {"lines": 3}, None,
        runner="process" if process else "thread", otherwise=Otherwise.KILL if process else Otherwise.EXIT,
        would_meet_join=False if process else None, process=process,
    )  # fmt: skip


STATUSES = [
    status("tick"),
    status("broken", outcome=Outcome.FAILED, error=ErrorInfo("OSError", "full\nand more", "trace"), has_failed=True),
    status("never", runs=0, outcome=None, seconds=0.0, state=JobState.WAITING, restarts=2, missed=4),
    status("stuck", outcome=None, state=JobState.STOPPING, reason=Reason(ReasonKind.SHUTDOWN, "SIGTERM")),
    status("child", outcome=None, state=JobState.RUNNING, process=ProcessInfo(7, 2, 5 << 20, 1.5, "stopped")),
    status("nightly", holds={Hold.PAUSED: Reason(ReasonKind.USER, "maintenance")}, next_firing=NOW + 60.0),
    status("held", holds={Hold.STOPPED: Reason(ReasonKind.USER, "stop, by alice")}),
]
REPORT = StopReport(
    Reason(ReasonKind.SIGNAL, "SIGTERM"),
    3.5,
    tuple(each.report for each in STATUSES),
    (
        Survivor("stuck", "stuck#1", "a.py:3 in f", "  File a.py\n    f()", 4.0, 5.0, 6.5, Otherwise.EXIT, ("cb: X",)),
        Survivor("child", "child#1", "", "", None, float("inf"), 0.0, Otherwise.KILL),
    ),
    (Killed("web", "web#3", "SIGKILL after 10.0 s"),),
)


def data_of(report: StopReport, statuses: list[JobStatus]) -> dict[str, Any]:
    """Return it as the program records it."""
    return {**report.as_dict(), "jobs": [each.as_dict() for each in statuses]}


def test_the_report_is_the_summary_that_run_showed(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 7000, report=data_of(REPORT, STATUSES), exit_code=3, stop_reason="SIGTERM")

    said = ask("report")

    assert said.code == 0
    assert said.out == summary(REPORT, STATUSES)
    assert said.err == (
        "taskloom: start bbbb2222 of jobs-3f2a, pid 4711: began 12:16:40, ended 13:13:20 after 56m40s, exit code 3 "
        "(SIGTERM)\n"
    )


@pytest.mark.parametrize("each", STATUSES, ids=lambda each: each.report.job)
def test_the_status_of_a_job_is_made_again_from_its_data(each: JobStatus) -> None:
    [made] = statuses_of(Fields({"jobs": [json.loads(json.dumps(each.as_dict()))]}))

    assert summary(REPORT, [made]) == summary(REPORT, [each])


def test_json_has_the_start_and_the_report_as_it_was_recorded(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 7000, report=data_of(REPORT, STATUSES), paths=["jobs/"], host="here")

    shown = json.loads(ask("report", "-o", "json").out)

    assert shown["report"] == json.loads(json.dumps(data_of(REPORT, STATUSES)))
    assert shown["start"] == {
        "name": "jobs-3f2a", "start": "bbbb2222", "since": "2026-09-21T12:16:40.000000Z", "pid": 4711, "host": "here",
        "version": "", "paths": ["jobs/"], "command": [], "alive_at": "2026-09-21T13:13:20.000000Z",
        "ended_at": "2026-09-21T13:13:20.000000Z", "exit_code": 0, "how": "ended", "stop_reason": None,
    }  # fmt: skip
    assert shown["alive"] == []


@pytest.mark.parametrize("how", ["lost", "running"])
def test_of_a_program_that_was_killed_the_runs_are_shown_that_were_alive(
    how: str, recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.start("bbbb2222", since=NOW - 7000, alive_at=NOW - 100, how=how)
    recorded.run("old#1", start="bbbb2222", began=NOW - 6000, outcome="lost", ended_at=NOW - 5000)
    recorded.run("done#1", start="bbbb2222", began=NOW - 6000)
    ended = {"outcome": "lost", "ended_at": NOW - 100} if how == "lost" else {"outcome": None}
    recorded.run("web#1", start="bbbb2222", began=NOW - 6000, last_polled=NOW - 101, **ended)

    said = ask("report")

    assert said.code == 0
    assert said.err == (
        "taskloom: start bbbb2222 of jobs-3f2a, pid 4711: began 12:16:40, killed; last seen alive at 14:11:40\n"
        "taskloom: there is no report; 1 run was alive\n"
    )
    [_, row] = said.out.splitlines()
    assert row.split()[0] == "web#1"
    assert row.endswith("last polled at 14:11:39")


def test_without_a_start_it_is_the_last_one_that_is_over(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 100, how="running")

    with held_by_a_child(recorded.path):
        over, running = ask("report"), ask("report", "bbbb2222")

    assert "start aaaa1111" in over.err
    assert running.err.endswith("taskloom: there is no report yet: it is running\n")
    assert running.code == 0


@pytest.mark.parametrize(
    ("start", "code", "message"),
    [
        ("aaaa", 0, "start aaaa1111 of"),
        ("b", 2, "cannot choose one start: 'b' may be bbbb3333, bbbb2222"),
        ("aaab1111", 2, "cannot find start 'aaab1111'; known: bbbb3333, bbbb2222, aaaa1111; did you mean 'aaaa1111'?"),
        ("", 2, "cannot find start ''"),
    ],
)
def test_a_start_is_its_id_or_the_beginning_of_it(
    start: str, code: int, message: str, recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.start("bbbb2222", since=NOW - 3000)
    recorded.start("bbbb3333", since=NOW - 2000)

    said = ask("report", start)

    assert said.code == code
    assert message in said.err


def test_a_report_of_a_later_version_is_refused_and_json_has_it(recorded: RecordedHistory, ask: Ask) -> None:
    data = data_of(REPORT, STATUSES)
    data["jobs"][0]["outcome"] = "teleported"
    recorded.start("bbbb2222", since=NOW - 3000, report=data)

    said = ask("report")

    assert said.code == 1
    assert "taskloom: cannot show the report: it has 'teleported', expected one of succeeded" in said.err
    assert said.err.endswith("; -o json shows it as it is\n")
    assert json.loads(ask("report", "-o", "json").out)["report"] == json.loads(json.dumps(data))


@pytest.mark.parametrize("damage", ["'{'", "'[]'", "'7'", "X'FF00'", "'null'", "''", "1.5"])
def test_a_damaged_report_is_none(damage: str, recorded: RecordedHistory, ask: Ask) -> None:
    recorded.execute(f"UPDATE starts SET report = {damage}")  # noqa: S608 - the test's own

    said = ask("report")

    assert said.code == 0
    assert said.err.endswith("taskloom: there is no report; no run was alive\n")
