"""The report of `taskloom drill`, as a table and as JSON."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

from taskloom.cli.drill.report import as_data, as_text
from taskloom.cli.drill.trial import DrilledJob, DrillResult
from taskloom.core.model import ErrorInfo, Outcome

FINE = DrilledJob(
    job="tick",
    task="countdown",
    verdict=DrillResult.IN_TIME,
    outcome=Outcome.CANCELLED,
    ready_after=0.0004,
    stopped_in=1.25,
    worst_gap=0.0021,
    worst_at="",
    is_wakeable=False,
    budget=5.0,
)
DEAF = replace(
    FINE,
    job="deaf",
    task="reader",
    verdict=DrillResult.OVER_BUDGET,
    outcome=None,
    stopped_in=None,
    worst_gap=6.0,
    where="reader.py:12 in run",
    stack='  File "reader.py", line 12, in run\n    sock.recv(10)\n',
    declared="jobs.yaml:3",
    callbacks=("terminate: still running",),
)


def test_the_table_has_a_line_for_each_job_and_the_totals() -> None:
    reader = replace(FINE, job="reader", worst_gap=1.0, is_wakeable=True, budget=None, verdict=DrillResult.NOT_AWAITED)

    assert as_text([FINE, reader], 2) == dedent("""\
        JOB     TASK       OUTCOME    READY AFTER  STOPPED IN  WORST GAP     BUDGET  VERDICT
        tick    countdown  cancelled  0.4ms        1.25s       2.1ms         5s      in time
        reader  countdown  cancelled  0.4ms        1.25s       1s, wakeable  -       not awaited

        2 jobs drilled: all passed""")


def test_a_job_over_budget_is_named_with_its_line_and_stack() -> None:
    assert as_text([DEAF], 1) == dedent("""\
        JOB   TASK    OUTCOME  READY AFTER  STOPPED IN  WORST GAP  BUDGET  VERDICT
        deaf  reader  -        0.4ms        not yet     6s         5s      over budget

        deaf did not stop within 5s (task reader, declared at jobs.yaml:3)
          at reader.py:12 in run
          it has not polled since the request to stop; its longest time without a poll: 6s
          terminate: still running
          its stack, innermost last:
            File "reader.py", line 12, in run
              sock.recv(10)

        1 job drilled: 0 passed, 1 did not""")


def test_a_job_that_saw_the_stop_and_went_on_is_reported_as_such() -> None:
    assert "  it has seen the request to stop and goes on\n" in as_text([replace(DEAF, has_seen_stop=True)], 1)


def test_a_job_that_failed_is_reported_with_its_error() -> None:
    error = ErrorInfo("ValueError", "boom", "Traceback (most recent call last):\nValueError: boom\n")
    failed = replace(FINE, verdict=DrillResult.FAILED, outcome=Outcome.FAILED, stopped_in=None, error=error)

    assert (
        "\ntick failed (task countdown)\n"
        "  ValueError: boom\n"
        "  Traceback (most recent call last):\n"
        "  ValueError: boom\n"
        "\n1 job drilled: 0 passed, 1 did not"
    ) in as_text([failed], 1)


def test_long_gaps_and_left_threads_are_noted_below_the_table() -> None:
    job = replace(FINE, worst_gap=0.8, worst_at="tick.py:9 in run", threads_left=("pump-1", "pump-2"))

    text = as_text([job], 1)

    assert "\n\ntick went 800ms without a poll, at tick.py:9 in run\n" in text
    assert "\ntick left 2 threads running: pump-1, pump-2\n" in text


def test_an_interrupted_drill_reports_how_many_jobs_were_drilled() -> None:
    assert as_text([FINE], 3).endswith("\n\ninterrupted: 1 of 3 jobs drilled, 1 passed")
    assert as_text([], 1) == "\ninterrupted: 0 of 1 job drilled, 0 passed"


def test_the_totals_count_jobs_that_ended_before_the_request_to_stop() -> None:
    early = replace(FINE, verdict=DrillResult.ENDED_BY_ITSELF, outcome=Outcome.SUCCEEDED, stopped_in=None)

    assert as_text([FINE, early], 2).endswith("\n\n2 jobs drilled: all passed; 1 ended before the request to stop")


def test_json_has_everything() -> None:
    data = as_data([FINE, DEAF], 2)

    assert (data["passes"], data["wanted"], data["drilled"]) == (False, 2, 2)
    assert data["jobs"][1] == {
        "job": "deaf",
        "task": "reader",
        "verdict": "over budget",
        "passes": False,
        "outcome": None,
        "ready_after": 0.0004,
        "stopped_in": None,
        "worst_gap": 6.0,
        "worst_at": "",
        "wakeable": False,
        "budget": 5.0,
        "where": "reader.py:12 in run",
        "has_seen_stop": False,
        "stack": DEAF.stack,
        "killed": None,
        "error": None,
        "callbacks": ["terminate: still running"],
        "threads_left": [],
        "declared": "jobs.yaml:3",
    }


def test_json_of_an_interrupted_drill_does_not_pass() -> None:
    assert as_data([FINE], 1)["passes"] is True
    assert as_data([FINE], 2)["passes"] is False


KILLED = replace(
    FINE,
    job="deaf",
    task="reader",
    verdict=DrillResult.KILLED,
    stopped_in=5.01,
    worst_gap=None,
    where="reader.py:12 in run",
    killed="SIGKILL after 5.0 s",
    error=ErrorInfo("ProcessKilled", "SIGKILL after 5.0 s", "", is_explained=True),
)


def test_a_job_that_had_to_be_killed_does_not_pass_and_says_how() -> None:
    assert as_text([KILLED], 1) == dedent("""\
        JOB   TASK    OUTCOME    READY AFTER  STOPPED IN  WORST GAP  BUDGET  VERDICT
        deaf  reader  cancelled  0.4ms        5.01s       -          5s      killed

        deaf did not stop within 5s and was killed (task reader)
          at reader.py:12 in run
          SIGKILL after 5.0 s

        1 job drilled: 0 passed, 1 did not""")
    assert as_data([KILLED], 1)["jobs"][0]["killed"] == "SIGKILL after 5.0 s"
    assert as_data([FINE], 1)["jobs"][0]["killed"] is None


def test_a_job_that_term_ended_in_time_passes_with_a_note() -> None:
    job = replace(FINE, killed="SIGTERM after 4.0 s")

    assert as_text([job], 1).splitlines()[3:] == [
        "tick did not end by itself: SIGTERM after 4.0 s",
        "",
        "1 job drilled: all passed",
    ]
