"""`taskloom history`: runs, jobs, starts and actions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.recorded_history import NAME, NOW, RecordedHistory, held_by_a_child

Ask = Callable[..., Any]

HOUR = 3600.0


def test_the_runs_of_the_night_are_shown_with_a_line_for_each_job(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#1", began=NOW - 3 * HOUR, seconds=1.0)
    recorded.run("tick#2", began=NOW - 2 * HOUR, seconds=4.0)
    recorded.run("backup#1", began=NOW - HOUR, seconds=2.5, outcome="failed", error_type="OSError", error_message="X")

    said = ask("history")

    assert said.code == 0
    assert said.err == ""
    assert said.out == (
        "JOB     RUNS  FAILED  OK     TIME  LAST       BEGAN     LAST RUNS\n"
        "backup  1     1       0 %    -     failed     13:13:20  x\n"
        "tick    2     0       100 %  2.5s  succeeded  12:13:20  ▃█\n"
        "\n"
        "RUN       START     BEGAN     TIME  OUTCOME    WHY\n"
        "tick#1    aaaa1111  11:13:20  1s    succeeded\n"
        "tick#2    aaaa1111  12:13:20  4s    succeeded\n"
        "backup#1  aaaa1111  13:13:20  2.5s  failed     OSError: X\n"
    )


def test_failed_shows_every_outcome_that_needs_attention(recorded: RecordedHistory, ask: Ask) -> None:
    outcomes = ["succeeded", "failed", "cancelled", "timed_out", "start_failed", "abandoned", "lost"]
    for number, outcome in enumerate(outcomes):
        recorded.run(f"tick#{number}", began=NOW - HOUR + number, outcome=outcome)

    shown = json.loads(ask("history", "--failed", "-o", "json").out)

    assert [run["outcome"] for run in shown["runs"]] == ["failed", "timed_out", "start_failed", "abandoned", "lost"]
    assert shown["jobs"][0]["runs"] == shown["jobs"][0]["failed"] == 5


def test_the_last_runs_are_shown_and_how_many_are_left_out(recorded: RecordedHistory, ask: Ask) -> None:
    for number in range(5):
        recorded.run(f"tick#{number}", began=NOW - HOUR + number)

    said = ask("history", "--last", "2")

    assert [line.split()[0] for line in said.out.splitlines()[4:]] == ["tick#3", "tick#4"]
    assert said.err == "taskloom: 3 older runs; add -n N to see more of them\n"


def test_of_many_jobs_those_with_failures_have_a_line_and_the_others_are_named(
    recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.run("broken#1", began=NOW - 5 * HOUR, outcome="failed")
    recorded.run("quiet#1", began=NOW - 4 * HOUR)
    recorded.run("recent#1", began=NOW - HOUR)

    said = ask("history", "-n", "2")

    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["broken", "recent"]
    assert "taskloom: 1 more job: quiet; add -n N or JOB to see them\n" in said.err


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (("web",), ["web.1#1", "web.2#1"]),
        (("web.2",), ["web.2#1"]),
        (("b*", "web.1"), ["backup#1", "web.1#1"]),
        (("--since", "90m"), ["web.2#1"]),
        (("--since", "2026-09-21T12:00:00Z"), ["web.1#1", "web.2#1"]),
    ],
)
def test_jobs_and_times_are_chosen(
    words: tuple[str, ...], runs: list[str], recorded: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.cli.control.instants.wall", lambda: NOW)
    for hours, run in enumerate(["web.2#1", "web.1#1", "backup#1"], start=1):
        recorded.run(run, began=NOW - hours * HOUR)

    shown = json.loads(ask("history", *words, "-o", "json").out)

    assert [run["run"] for run in shown["runs"]] == runs


def test_an_unknown_job_is_one_line_with_a_near_match(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("backup#1")

    said = ask("history", "bakcup")

    assert said == (
        2,
        "",
        "taskloom: cannot find job 'bakcup' in the history; known: backup; did you mean 'backup'?\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--actions", "--starts"), "cannot use both --actions and --starts"),
        (("--failed", "--starts"), "cannot use --failed with --starts"),
        (("--failed", "--actions"), "cannot use --failed with --actions"),
        (("tick", "--starts"), "cannot use JOB with --starts"),
        (("--since", "1f0c2a9b.42"), "cannot use '1f0c2a9b.42' with a history; expected a duration or an instant"),
        (("--last", "0"), "0 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    words: tuple[str, ...], message: str, recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.run("tick#1")

    said = ask("history", *words)

    assert said.code == 2
    assert message in said.err
    assert said.out == ""


def test_nothing_to_show_is_said_and_is_not_an_error(recorded: RecordedHistory, ask: Ask) -> None:
    assert ask("history") == (0, "", "taskloom: the history of 'jobs-3f2a' has no such runs\n")
    assert ask("history", "--actions") == (0, "", "taskloom: the history of 'jobs-3f2a' has no such actions\n")


def test_folded_runs_are_one_row_with_their_number(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#60", folded=60, folded_seconds=30.0, seconds=0.5, ended_at=NOW - 3541)

    said = ask("history")

    assert said.out.splitlines()[1].split() == ["tick", "60", "0", "100", "%", "500ms", "succeeded", "13:13:20", "█"]
    assert said.out.splitlines()[4] == (
        "tick (60 runs)  aaaa1111  13:13:20  ~500ms  succeeded  60 runs, the last one ended at 13:14:19"
    )


def test_runs_that_are_unrecorded_or_made_up_for_are_marked(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("a#1", began=NOW - 3 * HOUR, instant=NOW - 3 * HOUR, is_unrecorded=True)
    recorded.run("b#1", began=NOW - 2 * HOUR, instant=NOW - 5 * HOUR)
    recorded.event(seq=1, at=NOW - 2 * HOUR, event="queued", job="b", run="b#1", data={"made_up": True})
    recorded.run("c#1", began=NOW - HOUR, instant=NOW - 5 * HOUR)
    recorded.event(seq=2, at=NOW - HOUR, event="queued", job="c", run="c#1", data={"instant": "2026"})

    lines = ask("history").out.splitlines()[-3:]

    assert [line.partition("succeeded")[2].strip() for line in lines] == ["unrecorded", "made up for 09:13:20", ""]


@pytest.mark.parametrize(
    ("kind", "message", "why"),
    [
        ("OSError", "full\nand more", "OSError: full"),
        ("TaskFailure", "no such host", "no such host"),
        ("ProcessDied", "killed by SIGSEGV", "killed by SIGSEGV"),
        ("TaskFailure", "", "TaskFailure"),
        ("", "", "(watchdog)"),
    ],
)
def test_why_has_the_first_line_of_the_error(
    kind: str, message: str, why: str, recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.run("a#1", outcome="failed", error_type=kind, error_message=message,
                 reason_kind="" if kind else "watchdog")  # fmt: skip

    assert ask("history").out.splitlines()[-1].partition("failed")[2].strip() == why.strip("()")


def test_lost_runs_have_the_time_of_their_last_poll(recorded: RecordedHistory, ask: Ask) -> None:
    reason: Any = {"outcome": "lost", "reason_text": "the program was killed (last seen 13:20:00)"}
    recorded.run("a#1", last_polled=NOW - 1800, stuck_at="a.py:7", **reason)
    recorded.run("b#1", last_polled=None, **reason)

    lines = sorted(ask("history", "--failed").out.splitlines()[-2:])

    assert lines[0].endswith("the program was killed (last seen 13:20:00); last polled at 13:43:20; at a.py:7")
    assert lines[1].endswith("the program was killed (last seen 13:20:00); no poll is known")


def test_runs_of_a_program_that_was_killed_are_lost_before_its_next_start_says_so(
    recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.start("bbbb2222", since=NOW - 3000, alive_at=NOW - 1000, how="running")
    recorded.run("a#1", start="bbbb2222", began=NOW - 3000, outcome=None, last_polled=NOW - 1010)

    said = ask("history", "--failed", "-o", "json")

    shown = json.loads(said.out)
    assert [start["how"] for start in shown["starts"]] == ["lost"]
    assert [(run["run"], run["outcome"], run["last_polled"]) for run in shown["runs"]] == [
        ("a#1", "lost", "2026-09-21T13:56:30.000000Z")
    ]
    assert shown["jobs"][0]["failed"] == 1


def test_runs_of_a_program_that_runs_are_running(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 3000, how="running")
    recorded.run("a#1", start="bbbb2222", outcome=None, seconds=None)

    with held_by_a_child(recorded.path):
        said = ask("history")

    assert said.out.splitlines()[-1].split() == ["a#1", "bbbb2222", "13:13:20", "-", "running"]
    assert said.out.splitlines()[1].endswith(">")


def test_starts_are_listed_with_how_they_ended(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 7000, how="ended", exit_code=1, stop_reason="signal: SIGTERM")
    recorded.start("cccc3333", since=NOW - 5000, how="lost", alive_at=NOW - 4000, pid=4712)

    said = ask("history", "--starts")

    assert said.out == (
        "START     BEGAN     ENDED     PID   HOW                 WHY\n"
        "aaaa1111  12:13:20  13:13:20  4711  ended, exit code 0\n"
        "bbbb2222  12:16:40  13:13:20  4711  ended, exit code 1  signal: SIGTERM\n"
        "cccc3333  12:50:00  -         4712  killed              last seen alive at 13:06:40\n"
    )


@pytest.mark.parametrize(
    ("caller", "who", "command"),
    [
        ({"pid": 7, "uid": 0, "user": "root", "command": "taskloom stop web"}, "root (pid 7)", "taskloom stop web"),
        ({"pid": 7, "command": "/a/bin/python3.11 /a/bin/taskloom stop web"}, "pid 7", "taskloom stop web"),
        ({"pid": 7, "command": "/usr/bin/python3 -P -m taskloom stop"}, "pid 7", "taskloom stop"),
        (
            {"pid": 7, "command": "/usr/bin/python3 /home/a/taskloom/x.py"},
            "pid 7",
            "/usr/bin/python3 /home/a/taskloom/x.py",
        ),
        ({"pid": 7, "uid": 1000, "command": ["taskloom", "stop"]}, "uid 1000 (pid 7)", "taskloom stop"),
        ({"signal": "SIGTERM"}, "SIGTERM", ""),
        ({"signal": "SIGHUP", "pid": 1, "uid": 0, "user": "root"}, "SIGHUP root (pid 1)", ""),
        ({}, "-", ""),
        ("no object", "-", ""),
    ],
)
def test_actions_are_shown_with_who_gave_them(
    caller: object, who: str, command: str, recorded: RecordedHistory, ask: Ask
) -> None:
    recorded.action("stop", jobs=["web", "db"], caller=caller, reason="maintenance", result="done")

    said = ask("history", "--actions")

    head, row = said.out.splitlines()
    assert head.split() == ["AT", "ACTION", "JOBS", "RESULT", "BY", "WHY", "COMMAND"]
    assert row == f"14:12:20  stop    web, db  done    {who.ljust(2)}  maintenance  {command}".rstrip()


def test_without_results_the_actions_have_no_column_of_them(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.action("stop", jobs=["web"], caller={"signal": "SIGTERM"}, reason="", result="")

    assert ask("history", "--actions").out == (
        "AT        ACTION  JOBS  BY       WHY  COMMAND\n14:12:20  stop    web   SIGTERM  -\n"
    )


def test_a_run_that_was_lost_with_its_program_has_no_time(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("web#1", outcome="lost", seconds=0.2)

    assert ask("history").out.splitlines()[-1].split()[3:5] == ["-", "lost"]


def test_actions_on_one_job_are_those_on_it_and_on_the_program(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("web#1")
    recorded.run("db#1")
    for number, (action, jobs) in enumerate([("stop", ["web"]), ("stop", ["db"]), ("shutdown", [])]):
        recorded.action(action, id=number, at=NOW - 60 + number, jobs=jobs)

    shown = json.loads(ask("history", "web", "--actions", "-o", "json").out)

    assert [(each["action"], each["jobs"]) for each in shown["actions"]] == [("stop", ["web"]), ("shutdown", [])]


def test_colours_only_where_they_are_wanted(
    recorded: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.run("tick#1", outcome="failed")
    plain = ask("history").out
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "\033[31mtick#1" in ask("history").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert ask("history").out == plain
    assert "\033" not in plain


def test_without_utf8_the_bars_are_ascii(recorded: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.run("tick#1", began=NOW - 20, seconds=1)
    recorded.run("tick#2", began=NOW - 10, seconds=8)
    monkeypatch.setattr("taskloom.cli.history.history.line_shape", lambda: (None, "~"))

    assert ask("history").out.splitlines()[1].endswith(" .#")


def test_json_has_every_value_of_a_run(recorded: RecordedHistory, ask: Ask, tmp_path: Path) -> None:
    recorded.run(
        "tick#1", runner="process", replica=2, instant=NOW - HOUR, ready_at=NOW - 3599, outcome="failed",
        reason_kind="watchdog", reason_text="no poll", error_type="E", error_message="m", error_traceback="t",
        counters={"lines": 3}, progress={"done": 1.0, "total": None, "unit": "rows"}, stuck_at="a.py:3",
        stuck_stack="s", host="node3", worker="w1", pid=7,
    )  # fmt: skip

    shown = json.loads(ask("history", "-o", "json").out)

    assert shown["program"] == NAME
    assert shown["history"] == str(recorded.path)
    assert shown["older"] == 0
    assert shown["jobs"] == [
        {"job": "tick", "runs": 1, "succeeded": 0, "failed": 1, "mean_seconds": None,
         "last": [{"run": "tick#1", "start": "aaaa1111", "outcome": "failed", "seconds": 1.0}]}
    ]  # fmt: skip
    assert shown["runs"] == [
        {
            "name": NAME, "start": "aaaa1111", "run": "tick#1", "job": "tick", "attempt": 1, "runner": "process",
            "instant": "2026-09-21T13:13:20.000000Z", "queued_at": "2026-09-21T13:13:20.000000Z",
            "started_at": "2026-09-21T13:13:20.000000Z", "ready_at": "2026-09-21T13:13:21.000000Z",
            "ended_at": "2026-09-21T13:13:21.000000Z", "seconds": 1.0, "outcome": "failed", "last_polled": None,
            "counters": {"lines": 3}, "progress": {"done": 1.0, "total": None, "unit": "rows"}, "stuck_at": "a.py:3",
            "folded": 1, "folded_seconds": None, "unrecorded": False, "made_up": False, "failed": True,
            "lost_with": None, "host": "node3", "worker": "w1", "pid": 7,
            "reason": {"kind": "watchdog", "text": "no poll"},
            "error": {"type": "E", "message": "m", "traceback": "t"}, "stuck_stack": "s",
        }
    ]  # fmt: skip


def test_runs_on_a_cluster_have_their_host_and_worker(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("near#1", runner="process")
    before = ask("history", "near").out
    recorded.run("far#1", runner="dask", host="node-7", worker="w3", pid=4242)

    lines = ask("history").out.splitlines()
    [shown] = json.loads(ask("history", "far", "-o", "json").out)["runs"]

    assert "HOST" not in before
    assert lines[-3].split() == ["RUN", "START", "BEGAN", "TIME", "HOST", "WORKER", "PID", "OUTCOME", "WHY"]
    assert {line.split()[0]: line.split()[4:8] for line in lines[-2:]} == {
        "near#1": ["-", "-", "-", "succeeded"],
        "far#1": ["node-7", "w3", "4242", "succeeded"],
    }
    assert (shown["host"], shown["worker"], shown["pid"]) == ("node-7", "w3", 4242)
