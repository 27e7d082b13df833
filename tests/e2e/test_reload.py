"""SIGHUP after a job file was edited: all changes take effect, or none."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

BEFORE = """
jobs:
  web: {task: sayer, params: {text: one}}
  db: {task: polite, join: 5s}
  old: {task: polite}
  same: {task: polite}
"""
AFTER = """
jobs:
  web: {task: sayer, params: {text: two}}
  db: {task: polite, join: 4s}
  same: {task: polite}
  new: {task: polite}
"""


def no_fault_of_ours(stderr: str) -> bool:
    return "Traceback" not in stderr and "internal error" not in stderr


def test_each_job_is_kept_changed_or_restarted_by_its_changed_fields(start_program: Start) -> None:
    program = start_program(BEFORE, "-v")
    program.wait_for("same         started")

    program.reload(AFTER)

    program.wait_for("says two")
    program.wait_for_event("job_removed", "old")
    program.wait_for("reload: 1 added (new), 1 removed (old), 1 restarted (web), 1 changed in place (db), 1 untouched")
    for line in ("old: remove", "web: restart (params)", "db: apply now (join)", "new: add"):
        assert f"reload: {line}\n" in program.stderr
    program.send(signal.SIGTERM)
    assert program.end() == 0
    [reloaded] = program.events("reloaded")
    told = {key: reloaded[key] for key in ("add", "remove", "apply", "restart")}
    assert told == {"add": ["new"], "remove": ["old"], "apply": ["db"], "restart": ["web"]}
    runs = [event["run"] for event in program.events("queued")]
    assert runs[:4] == ["web#1", "db#1", "old#1", "same#1"]
    assert sorted(runs[4:]) == ["new#1", "web#2"]
    assert no_fault_of_ours(program.stderr)


@pytest.mark.long
def test_a_changed_join_applies_to_the_current_run(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, daemon: true, join: 20s}, main: {task: polite}}")
    program.wait_for("main         started")

    program.reload("jobs: {deaf: {task: deaf, daemon: true, join: 100ms}, main: {task: polite}}")

    program.wait_for("reload: 1 changed in place (deaf), 1 untouched")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    [overdue] = program.events("stop_overdue")
    assert (overdue["job"], overdue["within"]) == ("deaf", 0.1)


def test_a_file_with_errors_changes_nothing_and_all_errors_are_shown(start_program: Start) -> None:
    program = start_program(BEFORE)
    program.wait_for("same         started")

    program.reload("jobs:\n  web: {task: sayr, params: {text: two}}\n  db: {task: polite, join: soon}\n")

    program.wait_for("reload: cannot use the job files (2 errors); nothing has changed")
    assert "jobs.yaml:2:15: error: job 'web': cannot find task 'sayr'" in program.stderr
    assert "jobs.yaml:3:28: error: job 'db': cannot use 'soon'" in program.stderr
    assert "did you mean 'sayer'?" in program.stderr
    assert program.told("reloaded", "cancel_requested") == []
    program.reload(AFTER)
    program.wait_for("says two")
    program.send(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.long
def test_a_missing_file_changes_nothing(start_program: Start) -> None:
    program = start_program(BEFORE)
    program.wait_for("same         started")

    (program.folder / "jobs.yaml").unlink()
    program.send(signal.SIGHUP)

    program.wait_for("reload: cannot use the job files (1 error); nothing has changed")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert program.told("reloaded") == []


@pytest.mark.long
def test_a_hundred_hups_in_a_row_have_the_effect_of_one(start_program: Start) -> None:
    program = start_program(BEFORE)
    program.wait_for("same         started")

    (program.folder / "jobs.yaml").write_text(AFTER)
    for _ in range(100):
        program.send(signal.SIGHUP)

    program.wait_for("says two")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert [event["restart"] for event in program.events("reloaded") if event["restart"]] == [["web"]]
    assert len(program.events("reloaded")) < 100
    assert len(program.events("queued")) == 6


@pytest.mark.long
def test_a_reload_during_a_stop_is_refused(start_program: Start) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: 2s}, polite: {task: polite}}")
    program.wait_for("polite       started")
    program.send(signal.SIGTERM)
    program.wait_for("polite       cancelled")

    program.reload(AFTER)

    program.wait_for("SIGHUP: the program is stopping; nothing is reloaded")
    assert program.end() == 3
    assert program.told("reloaded") == []


def test_a_term_right_after_a_hup_stops_all_jobs(start_program: Start) -> None:
    many = "jobs:\n" + "".join(f"  p{number}: {{task: polite}}\n" for number in range(2000))
    program = start_program("jobs: {first: {task: polite}}")
    program.wait_for("first        started")

    program.reload(many + "  first: {task: polite}\n")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert "SIGTERM: stopping all jobs" in program.stderr
    assert no_fault_of_ours(program.stderr)


@pytest.mark.parametrize("number", [signal.SIGHUP, pytest.param(signal.SIGQUIT, marks=pytest.mark.long)])
def test_hup_and_quit_are_harmless_while_the_files_are_read(start_program: Start, number: int) -> None:
    many = "".join(f"  p{number}: {{task: polite, start: manual}}\n" for number in range(2000))
    program = start_program(f"jobs:\n{many}  first: {{task: polite}}\n")
    # The watcher is there once the handlers are, and before the files are read.
    program.watcher()

    program.send(number)

    program.wait_for("first        started")
    program.send(signal.SIGTERM)
    assert program.end() == 0


def test_a_secret_that_changes_restarts_its_job_and_is_never_shown(start_program: Start) -> None:
    program = start_program("jobs: {lock: {task: secretive, params: {word: swordfish}}}")
    program.wait_for("lock         started")

    program.reload("jobs: {lock: {task: secretive, params: {word: tangerine}}}")

    program.wait_for("reload: 1 restarted (lock)")
    program.wait_for_event("started", "lock", count=2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    said = program.stderr + program.events_path.read_text()
    assert "swordfish" not in said
    assert "tangerine" not in said


def test_a_failed_job_starts_again_when_its_params_are_fixed(start_program: Start) -> None:
    jobs = "jobs: {{web: {{task: flaky, params: {{failures: {}, stays: true}}}}, main: {{task: polite}}}}"
    program = start_program(jobs.format(9))
    program.wait_for("web          failed")

    program.reload(jobs.format(0))

    program.wait_for_event("started", "web", count=2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert program.told("ended")[0] == "ended web failed"


@pytest.mark.long
def test_a_label_selects_its_jobs_and_their_dependencies(start_program: Start) -> None:
    jobs = """
jobs:
  disk: {task: silent_leaver}
  db: {task: polite, after: {disk: succeeded}}
  web: {task: polite, after: db, labels: [front]}
  other: {task: polite}
"""
    program = start_program(jobs, "-l", "front")

    program.wait_for("web          started")
    assert "also running, since other jobs start after them: disk, db\n" in program.stderr
    program.reload(jobs.replace("web", "shop").replace("after: db", "after: [db, other]"))
    program.wait_for("shop         started")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert "also running, since other jobs start after them: disk, db, other\n" in program.stderr
    added = [event["job"] for event in program.events("job_added")]
    assert added == ["disk", "db", "web", "shop", "other"]


@pytest.mark.long
def test_a_label_that_no_job_has_any_more_changes_nothing(start_program: Start) -> None:
    program = start_program("jobs: {web: {task: polite, labels: [front]}}", "-l", "front")
    program.wait_for("web          started")

    program.reload("jobs: {web: {task: polite, labels: [back]}}")

    program.wait_for("reload: cannot find a job with label 'front'; labels: back; nothing has changed")
    program.send(signal.SIGTERM)
    assert program.end() == 0


def test_a_package_that_hangs_at_import_delays_only_the_reload(start_program: Start) -> None:
    program = start_program(BEFORE)
    program.wait_for("same         started")
    program.reload("jobs: {new: {task: never-imported}}")
    program.wait_for("reload: reading the job files again")
    program.send(signal.SIGQUIT)
    program.wait_for("web#1 is at")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert program.told("reloaded") == []
    assert program.stderr.count("cancelled after") == 4


@pytest.mark.long
def test_a_package_that_exits_at_import_changes_nothing(start_program: Start) -> None:
    program = start_program(BEFORE)
    program.wait_for("same         started")

    program.reload("jobs: {new: {task: exits-at-import}}")

    program.wait_for("reload: cannot use the job files (1 error); nothing has changed")
    assert "cannot import task 'exits-at-import' of broken-toy 1.0" in program.stderr
    program.send(signal.SIGTERM)
    assert program.end() == 0
