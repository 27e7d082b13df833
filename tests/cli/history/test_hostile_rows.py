"""Whatever is in the rows: the verbs show it on one line each, and end without a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.recorded_history import NOW, RecordedHistory

from taskloom.cli.history.row_tables import JobHistory, Shape, action_lines, job_lines, run_lines, start_lines
from taskloom.history.read_rows import ActionEntry, JobTotals, RunEntry, StartEntry
from taskloom.text import printable_lines

Ask = Callable[..., Any]

TEXTS = {
    "escapes": "\033[31mred\007\r\n\u202ereversed\0",
    "long": "x" * 100_000,
    "lines": "first\nsecond\n" * 1000,
    "emoji": "🔥👩‍🚀" * 50,
    "empty": "",
    "half a pair": "\udc80",
}
JUNK: list[Any] = [
    None,
    "",
    "text",
    "\0",
    b"\xff\xfe",
    7,
    -1,
    2**80,
    1e308,
    -1e308,
    float("inf"),
    float("nan"),
    True,
    [],
    {},
    "{",
    "[1]",
]
VERBS = [("history",), ("history", "--starts"), ("history", "--actions"), ("report",), ("logs", "--run", "tick#1")]


@pytest.mark.parametrize("text", TEXTS)
def test_text_from_tasks_and_callers_is_harmless(text: str, recorded: RecordedHistory, ask: Ask) -> None:
    bad = TEXTS[text]
    recorded.start("bbbb2222", since=NOW - 10, how="lost", stop_reason=bad, host=bad, paths=[bad], command=[bad])
    recorded.run("tick#1", start="bbbb2222", outcome="failed", error_type=bad, error_message=bad, reason_text=bad,
                 reason_kind=bad, stuck_at=bad, stuck_stack=bad, error_traceback=bad, runner=bad)  # fmt: skip
    recorded.run(f"{bad}#2", start="bbbb2222", outcome=bad or None)
    recorded.action(bad, jobs=[bad], caller={"user": bad, "pid": bad, "command": [bad, 7]}, reason=bad, result=bad)
    recorded.tail("tick#1", bad, start="bbbb2222")

    for verb in VERBS:
        said, as_json = ask(*verb), ask(*verb, "-o", "json")

        assert said.code == as_json.code == 0, said.err
        json.loads(as_json.out)
        for shown in (*said[1:], *as_json[1:]):
            assert printable_lines(shown) == shown
        if verb[0] == "history":
            assert max(map(len, said.out.splitlines())) < 5000
            assert len(said.out.splitlines()) < 20


@pytest.mark.parametrize("junk", JUNK, ids=ascii)
def test_any_value_in_any_column_can_be_shown(junk: object) -> None:
    shape = Shape(80, "…", NOW)
    starts = [StartEntry.read({"start": "aaaa1111", "how": "ended", column: junk}) for column in StartEntry._fields]
    runs = [RunEntry.read({"run": "a#1", "job": "a", column: junk}) for column in RunEntry._fields]
    actions = [ActionEntry.read({"action": "stop", column: junk}) for column in ActionEntry._fields]
    jobs = [JobHistory(JobTotals("a", 1, 0, 0, None), [run]) for run in runs]

    assert len(start_lines(starts, shape)) == len(starts) + 1
    assert len(run_lines(runs, {}, shape)) == len(job_lines(jobs, {}, shape)) == len(runs) + 1
    assert len(action_lines(actions, shape)) == len(actions) + 1
    every: list[Any] = [*starts, *runs, *actions]
    assert json.dumps([each.as_dict() for each in every], allow_nan=False)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET queued_at = 'yesterday', started_at = X'00', seconds = 'long'",
        "UPDATE runs SET job = X'FFFE', outcome = 7",
        "UPDATE runs SET folded = 'many', counters = '{', progress = '[['",
        "UPDATE runs SET error_message = CAST(X'FF41' AS TEXT), queued_at = NULL",
        "UPDATE starts SET since = 'never', pid = 'x', paths = '{', alive_at = 1e300",
        "DELETE FROM starts WHERE start <> 'aaaa1111'",
        "UPDATE actions SET at = 9e99, jobs = 'web', caller = '7'",
    ],
)
def test_values_of_other_types_hide_no_row(damage: str, recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#1", outcome="failed")
    recorded.action("stop")
    recorded.execute(damage)

    for verb in VERBS:
        said, as_json = ask(*verb), ask(*verb, "-o", "json")

        assert (said.code, as_json.code) == (0, 0), (verb, said.err)
        assert json.loads(as_json.out)


def test_without_its_tables_a_history_is_refused_in_one_line(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.execute("DROP TABLE runs")

    said = ask("history")

    assert said.code == 4
    assert said.err.count("\n") == 1
    assert "no such table" in said.err


def test_names_of_jobs_and_reasons_are_shortened_on_a_narrow_terminal(recorded: RecordedHistory) -> None:
    name = "a-very-long-name-" * 6
    run = RunEntry.read(
        {"run": f"{name}#1", "job": name, "start": "aaaa1111", "queued_at": NOW, "seconds": 1.5, "outcome": "failed",
         "error_type": "ValueError", "error_message": "boom " * 100}
    )  # fmt: skip
    jobs = [JobHistory(JobTotals(name, 20, 0, 20, NOW), [run] * 20)]

    for width, most in ((40, 75), (80, 80), (200, 200)):
        shape = Shape(width, "…", NOW)
        lines = [*run_lines([run], {}, shape), *job_lines(jobs, {}, shape)]
        assert max(len(line.text) for line in lines) <= most + 16
        assert "…" in lines[1].text
    assert f"{name}#1" in run_lines([run], {}, Shape(None, "…", NOW))[1].text


@pytest.mark.long
def test_a_reader_that_goes_away_is_not_an_error(recorded: RecordedHistory, child_env: dict[str, str]) -> None:
    for number in range(1500):
        recorded.run(f"tick#{number}", error_message="x" * 100)
    code = "import sys; from taskloom.cli import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "history", "-n", "2000", "--history", str(recorded.path)]

    with subprocess.Popen(words, env=child_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        os.read(child.stdout.fileno(), 10)
        child.stdout.close()
        said = child.stderr.read().decode()

    assert "Traceback" not in said
    assert "history" not in said
