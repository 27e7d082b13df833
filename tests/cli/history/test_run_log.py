"""`taskloom logs --run`: the last lines of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.recorded_history import NOW, RecordedHistory, held_by_a_child

Ask = Callable[..., Any]

HEAD = "taskloom: run tick#3 of start aaaa1111, began 13:13:20: failed after 1s"


@pytest.fixture
def failed(recorded: RecordedHistory) -> RecordedHistory:
    """A history with a failed run, and its lines."""
    recorded.run("tick#3", outcome="failed")
    recorded.tail("tick#3", "first\nsecond error\nthird\n")
    return recorded


def test_the_lines_of_a_run_are_shown(failed: RecordedHistory, ask: Ask) -> None:
    assert ask("logs", "--run", "tick#3") == (0, "first\nsecond error\nthird\n", f"{HEAD}\n")


def test_the_last_lines_and_those_that_match(failed: RecordedHistory, ask: Ask) -> None:
    assert ask("logs", "--run", "tick#3", "-n", "1").out == "third\n"
    assert ask("logs", "--run", "tick#3", "-n", "0").out == ""
    assert ask("logs", "--run", "tick#3", "--grep", "err").out == "second error\n"


def test_it_is_told_when_older_lines_are_not_kept(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#3", outcome="failed")
    recorded.tail("tick#3", "x", truncated=1 << 20)

    assert ask("logs", "--run", "tick#3").err == f"{HEAD}; 1 MiB of lines before these are not kept\n"


def test_json_has_the_run_and_its_lines(failed: RecordedHistory, ask: Ask) -> None:
    shown = json.loads(ask("logs", "--run", "tick#3", "-o", "json").out)

    assert shown["lines"] == ["first", "second error", "third"]
    assert shown["left_out_bytes"] == 0
    assert (shown["run"]["run"], shown["run"]["outcome"]) == ("tick#3", "failed")


def test_an_id_means_the_latest_start_that_has_it_unless_a_start_is_named(failed: RecordedHistory, ask: Ask) -> None:
    failed.start("bbbb2222", since=NOW - 3000)
    failed.run("tick#3", start="bbbb2222", began=NOW - 3000, outcome="timed_out")
    failed.tail("tick#3", "later\n", start="bbbb2222")

    assert ask("logs", "--run", "tick#3").out == "later\n"
    assert ask("logs", "--run", "tick#3@aaaa").out == "first\nsecond error\nthird\n"
    assert ask("logs", "--run", "tick#3@cccc").err == (
        "taskloom: cannot find run 'tick#3' of start 'cccc' in the history of 'jobs-3f2a'; `taskloom history tick` "
        "lists those that are kept\n"
    )


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("succeeded", "lines are kept of runs that did not succeed"),
        ("lost", "its lines were in the memory of the program that was killed"),
        ("cancelled", "no lines of it are kept"),
    ],
)
def test_why_there_are_no_lines_is_said(outcome: str, why: str, recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#3", outcome=outcome)

    said = ask("logs", "--run", "tick#3")

    assert said == (0, "", f"{HEAD.replace('failed', outcome)}; {why}\n")


def test_the_lines_of_a_run_that_is_alive_are_in_its_program(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("bbbb2222", since=NOW - 3000, how="running")
    recorded.run("tick#3", start="bbbb2222", outcome=None, seconds=None)

    with held_by_a_child(recorded.path):
        said = ask("logs", "--run", "tick#3")

    assert said.err.endswith("running; its lines are kept when it has ended; `taskloom logs tick` shows them now\n")


@pytest.mark.parametrize(
    "run",
    ["tick", "tick#", "#3", "tick#x", "", "tick#3@", "../x#1", "tick#3 ", "tick#3@%", "\udcff#1"],
    ids=ascii,
)
def test_what_is_not_an_id_is_refused(run: str, failed: RecordedHistory, ask: Ask) -> None:
    said = ask("logs", "--run", run)

    assert said.code == 2
    assert "as the id of a run; expected such as tick#3" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "words",
    [("tick",), ("-f",), ("--since", "10m"), ("-l", "nightly"), ("--log-dir", "/tmp"), ("--socket", "/tmp/x")],
)
def test_options_about_other_lines_are_refused(words: tuple[str, ...], failed: RecordedHistory, ask: Ask) -> None:
    said = ask("logs", "--run", "tick#3", *words)

    assert said.code == 2
    assert "with --run: the lines are those of one run in the history" in said.err


def test_a_variable_that_names_a_socket_does_not_matter(
    failed: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKLOOM_SOCKET", "/nowhere")

    assert ask("logs", "--run", "tick#3").code == 0


def test_escapes_of_a_log_do_not_reach_the_terminal(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#3", outcome="failed")
    recorded.tail("tick#3", "\033[2Jgone\r\n\u202eleft\0")

    assert ask("logs", "--run", "tick#3").out == "\\x1b[2Jgone\n\\u202eleft?\n"
