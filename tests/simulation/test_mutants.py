"""Bugs planted in the core on purpose: each must be seen by the scenarios, the tables or the state machine.

Every mutant is one exact piece of the core's text and what stands there instead. A change of the core that makes a
piece disappear fails here: plant the bug anew in the new text.
"""

# ruff: noqa: E501 - pieces of the core stand here as they stand there

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "framework" / "taskloom" / "core"


class Mutant(NamedTuple):
    """A bug: in which file of the core, what stood there, what stands there now."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    # -- commands
    Mutant("a job starts while everything stops", "lifecycle",
           'raise SchedulerStopped(f"start job {command.job!r}")', "pass"),
    Mutant("all start while everything stops", "lifecycle", 'raise SchedulerStopped("start")', "pass"),
    Mutant("a job is added while everything stops", "lifecycle",
           'raise SchedulerStopped(f"add job {spec.name!r}")', "pass"),
    Mutant("the start of all starts manual jobs", "lifecycle", "if not job.may_autostart:",
           "if job.state is not JobState.WAITING or job.waiting_for is not WaitingFor.START:"),
    Mutant("the scheduler starts twice", "lifecycle", "self._has_started = True", "pass"),
    Mutant("a delay is not waited for", "lifecycle", "if job.spec.start.delay_seconds > 0:", "if False:"),
    Mutant("a delay is too long", "lifecycle", "self._books.now.mono + job.spec.start.delay_seconds",
           "self._books.now.mono + job.spec.start.delay_seconds * 1.5"),
    Mutant("a stop meant for an older run stops the new one", "lifecycle",
           "if command.run is not None and (", "if False and ("),
    Mutant("a delay that was cut short goes on", "lifecycle",
           "return subject.waiting_for is not WaitingFor.DELAY or subject.due_at != when", "return False"),
    Mutant("a blocked job can be started", "table", "            _T.LATE_EXIT: _to(_S.FINISHED),",
           "            _T.LATE_EXIT: _to(_S.FINISHED),\n            _T.START: _to(_S.RUNNING),"),
    Mutant("a stopping job can be started", "table", "            _T.OVERDUE: _to(_S.STOPPING, _S.BLOCKED),",
           "            _T.OVERDUE: _to(_S.STOPPING, _S.BLOCKED),\n            _T.START: _to(_S.RUNNING),"),
    Mutant("a skipped job can never be started", "table",
           "_S.SKIPPED: {_T.START: _to(_S.RUNNING), ", "_S.SKIPPED: {"),
    Mutant("a refused start gives the wrong reason", "records",
           "if self.state is JobState.STOPPING:", "if self.state is JobState.BLOCKED:"),
    # -- reports
    Mutant("a run may start twice", "lifecycle", "if run.started is not None:", "if False:"),
    Mutant("an abandoned run starts in the books", "lifecycle",
           "if run.outcome is Outcome.ABANDONED:\n            return", "if False:\n            return"),
    Mutant("a failed start of an abandoned run ends it twice", "lifecycle",
           "if run.outcome is Outcome.ABANDONED:\n            self._exit_late(run)\n            return\n        run.error",
           "if False:\n            return\n        run.error"),
    Mutant("a late exit ends the run twice", "lifecycle",
           "if run.outcome is Outcome.ABANDONED:\n            self._exit_late(run)\n            return\n        # A",
           "if False:\n            return\n        # A"),
    Mutant("a late exit is not told", "lifecycle",
           "books.emit_run(EventName.LATE_EXIT, run, seconds=since)", "pass"),
    Mutant("a late exit frees nobody", "lifecycle",
           "        books.emit_run(EventName.LATE_EXIT, run, seconds=since)\n        books.todo.append(actions.RunOver(run.id))",
           "        books.emit_run(EventName.LATE_EXIT, run, seconds=since)"),
    Mutant("a late exit leaves the ledger as it was", "lifecycle",
           "books.release(run)\n        since", "since"),
    Mutant("an ask that came too late is the cause", "lifecycle",
           "run.reason = run.reason if report.was_asked else None", "run.reason = run.reason"),
    Mutant("a run is ready twice", "lifecycle", "if run is not None and run.ready is None:", "if run is not None:"),
    Mutant("an abandoned run says that it is ready", "lifecycle",
           "if run.outcome is None:\n            self._books.emit_run(EventName.READY",
           "if True:\n            self._books.emit_run(EventName.READY"),
    Mutant("everybody is abandoned", "lifecycle", "if run.job.may_be_abandoned:", "if True:"),
    Mutant("nobody is abandoned", "lifecycle", "if run.job.may_be_abandoned:", "if False:"),
    Mutant("an overdue run is awaited for ever", "lifecycle",
           "            self._books.move(run.job, Trigger.OVERDUE, JobState.STOPPING)\n        self._await_no_more(run)",
           "            self._books.move(run.job, Trigger.OVERDUE, JobState.STOPPING)"),
    Mutant("a run that ended is awaited for ever", "lifecycle",
           "        books.release(run)\n        books.todo.append(actions.RunOver(run.id))\n        self._await_no_more(run)",
           "        books.release(run)\n        books.todo.append(actions.RunOver(run.id))"),
    Mutant("the end of a run frees nobody", "lifecycle",
           "        books.todo.append(actions.RunOver(run.id))\n        self._await_no_more(run)",
           "        self._await_no_more(run)"),
    Mutant("a blocked job is not told", "lifecycle", "self._books.emit_run(EventName.BLOCKED, run)", "pass"),
    Mutant("the old reason stays with the new run", "lifecycle", "        job.reason = None\n", ""),
    Mutant("a failed callback is not told", "lifecycle",
           "self._books.emit_run(EventName.CALLBACK_FAILED, run, error=report.error, data={\"callback\": report.callback})",
           "pass"),
    # -- the end of the work
    Mutant("the work is over again and again", "lifecycle",
           "if is_work_over and not self._was_work_over:", "if is_work_over:"),
    Mutant("daemons keep the program alive", "books", "if change and job.spec.daemon:", "if False:"),
    Mutant("daemons alone do not run", "books",
           "(self._has_held or self._active_daemons == 0)", "True"),
    Mutant("daemons hold the program after the work", "books", "self._has_held = True", "pass"),
    Mutant("a job that waits for a person holds the program", "records",
           "return self.waiting_for is not WaitingFor.START", "return True"),
    # -- the books
    Mutant("an outcome is not counted", "books", "run.job.outcomes[outcome] += 1", "pass"),
    Mutant("a number is left out", "books", "self._seq += 1\n        if not self.is_heard:",
           "self._seq += 1 + (name is EventName.READY)\n        if not self.is_heard:"),
    Mutant("an event that nobody hears has no number", "books", "            self._seq += 1\n            return", "            return"),
    Mutant("the wall clock and the monotonic one are one", "books",
           "Event(self._seq, self.now.wall, self.now.mono,", "Event(self._seq, self.now.mono, self.now.mono,"),
    Mutant("a run is counted from when it was queued", "records",
           "return self.ended.mono - self.started.mono", "return self.ended.mono - self.queued.mono"),
    # -- the ladder
    Mutant("runs are hurried too late", "ladder", "HURRY_SHARE = 0.75", "HURRY_SHARE = 0.8"),
    Mutant("the first reminder comes too late", "ladder", "FIRST_REMINDER_SECONDS = 2.0", "FIRST_REMINDER_SECONDS = 3.0"),
    Mutant("reminders come too often", "ladder", "\nREMINDER_SECONDS = 3.0", "\nREMINDER_SECONDS = 2.0"),
    Mutant("a reminder names six", "ladder", "REMINDED_RUNS = 5", "REMINDED_RUNS = 6"),
    Mutant("a reminder counts the named again", "ladder", "len(self.stopping) - len(first)", "len(self.stopping)"),
    Mutant("a reminder outlives its stop", "ladder", "        if not self.stopping:\n            self._remind_at = _NEVER\n", ""),
    Mutant("a reminder of before comes too", "ladder", "return when != self._remind_at", "return not self.stopping"),
    Mutant("a run is hurried twice", "ladder", "if not run.is_urgent:", "if True:"),
    Mutant("a run that ended is hurried and named", "ladder",
           "if run.id not in self.stopping:\n            return True", "if False:\n            return True"),
    Mutant("a deadline that was cut comes twice", "ladder", "else bool(run.overdue_at != when)", "else False"),
    Mutant("a second stop replaces the first reason", "ladder",
           "            books.move(job, Trigger.STOP, job.state, job.waiting_for)",
           "            books.move(job, Trigger.STOP, job.state, job.waiting_for)\n"
           "            if job.run is not None:\n                job.run.reason = reason"),
    Mutant("the shutdown gives more time than there was", "ladder", "min(run.overdue_at, self._latest_for(run))", "self._latest_for(run)"),
    Mutant("a hurried shutdown gives more time", "ladder", "self.latest = min(self.latest, deadline)", "self.latest = deadline"),
    Mutant("a later level has its whole within", "ladder",
           "min(now.mono + run.job.spec.join.within, self._latest_for(run))",
           "now.mono + run.job.spec.join.within"),
    Mutant("a later level gets less than nothing", "ladder", "max(self.latest, run.asked.mono) if run.asked is not None else self.latest", "self.latest"),
    Mutant("a stopped delay leaves the job waiting", "ladder",
           "books.move(job, Trigger.STOP, JobState.SKIPPED)", "books.move(job, Trigger.STOP, JobState.WAITING)"),
    # -- the whole stop
    Mutant("who waits is skipped only in his own level", "shutdown", "if job.run is None:", "if False:"),
    Mutant("who is being stopped keeps his time", "shutdown",
           "        self._ladder.cut(books.now.mono + within)\n", "        self._ladder.latest = books.now.mono + within\n"),
    Mutant("all levels are asked at once", "shutdown",
           "graph.stop_levels({name: job.spec.after for name, job in books.jobs.items()})", "[list(books.jobs)]"),
    Mutant("dependencies are stopped first", "shutdown",
           "for name, job in books.jobs.items()})", "for name, job in books.jobs.items()})[::-1]"),
    Mutant("who was being stopped holds up everybody", "shutdown", "while not self._awaited:",
           "while not self._ladder.stopping:"),
    Mutant("a level is not awaited", "shutdown", "self._awaited.add(job.run.id)", "pass"),
    Mutant("a hurried shutdown forgets the levels below", "shutdown", "for level in waiting:", "for level in waiting[:0]:"),
    Mutant("a hurried shutdown hurries nobody", "shutdown", "        self._ladder.hurry_all()\n", ""),
    Mutant("a second shutdown begins anew", "shutdown", "if self.phase is not Phase.OPEN:\n            return",
           "if self.phase is Phase.STOPPED:\n            return"),
    Mutant("the next level is never asked", "shutdown", "self._awaited.discard(run.id)\n        self.advance()",
           "self._awaited.discard(run.id)"),
    Mutant("the abandoned are no survivors", "shutdown", "len(books.runs)",
           "sum(run.ended is None for run in books.runs.values())"),
    Mutant("nobody is told that the stop is over", "shutdown", "        books.todo.append(StopOver())\n", ""),
    # -- outcomes
    Mutant("what was never entered has failed", "outcome", "return Outcome.CANCELLED, None\n    if reason is None:",
           "return Outcome.FAILED, None\n    if reason is None:"),
    Mutant("who raises Cancelled unasked has succeeded", "outcome",
           "(Outcome.SUCCEEDED if report.how is How.RETURNED else Outcome.FAILED)",
           "(Outcome.FAILED if report.how is How.RAISED else Outcome.SUCCEEDED)"),
    Mutant("an error of the wake-up is a failure", "outcome",
           "(Outcome.CANCELLED if report.was_woken else Outcome.FAILED)", "Outcome.FAILED"),
    Mutant("an error of its own is the wake-up's", "outcome",
           "(Outcome.CANCELLED if report.was_woken else Outcome.FAILED)", "Outcome.CANCELLED"),
    Mutant("a timeout is a cancel", "outcome", "{ReasonKind.DEADLINE: Outcome.TIMED_OUT, ", "{"),
    # -- order and time
    Mutant("only one stale deadline is passed over", "deadlines", "while heap and self._is_stale", "if heap and self._is_stale"),
    Mutant("a deadline that never comes is kept", "deadlines", 'if when != float("inf"):', "if True:"),
    Mutant("a job comes before its second dependent", "graph", "if dependents[need] == 0:", "if dependents[need] <= 1:"),
    Mutant("a circle is left out in silence", "graph", "if seen != len(after):", "if False:"),
]  # fmt: skip

# What judges a mutant, the quickest first; the first that fails has killed it.
SCENARIOS = """
import sys, taskloom
from taskloom.testing import check, explain
from taskloom.testing.scenario import Scenario
assert taskloom.__file__.startswith(sys.argv[1]), taskloom.__file__
for seed in range(40):
    history = Scenario.draw(seed, jobs=8, hours=0.1).run()
    violations = check(history)
    if violations:
        sys.exit(explain(history, violations, steps=3))
"""
TESTS = ("tests/core", "tests/simulation/test_machine.py")
# A mutant that goes round in circles is caught as well. CPU seconds: a busy machine must not catch anybody.
JUDGE_CPU_SECONDS = 60
JUDGE_WALL_SECONDS = 900


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_still_has_its_place(mutant: Mutant) -> None:
    text = (CORE / f"{mutant.file}.py").read_text(encoding="utf-8")

    assert text.count(mutant.old) == 1, "the core has changed here: plant this bug anew, in the new text"
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


@pytest.mark.long
@pytest.mark.timeout(4 * JUDGE_WALL_SECONDS)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant, tmp_path: Path, child_env: dict[str, str]) -> None:
    plant(mutant, tmp_path)

    killer = find_killer(tmp_path, child_env)

    assert killer is not None, "survived everything"


def plant(mutant: Mutant, root: Path) -> None:
    """Copy the package and put the bug into the copy."""
    package = root / "taskloom"
    shutil.copytree(CORE.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / "core" / f"{mutant.file}.py"
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def find_killer(root: Path, env: dict[str, str]) -> str | None:
    """Return what caught the bug, or None."""
    program = [sys.executable, "-c", SCENARIOS, os.fspath(root)]
    pytest_ = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=0"]
    judges = [("scenarios", program), *((name, [*pytest_, name]) for name in TESTS)]
    for name, command in judges:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=env | {"PYTHONPATH": os.fspath(root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=JUDGE_WALL_SECONDS,
            check=False,
            preexec_fn=limit_cpu,
        )
        if answer.returncode != 0:
            return name
    return None


def limit_cpu() -> None:
    """Have the kernel end the judge; called in the child, before it becomes one."""
    resource.setrlimit(resource.RLIMIT_CPU, (JUDGE_CPU_SECONDS, JUDGE_CPU_SECONDS))


@pytest.mark.long
@pytest.mark.timeout(4 * JUDGE_WALL_SECONDS)
def test_the_core_as_it_stands_survives_every_judge(tmp_path: Path, child_env: dict[str, str]) -> None:
    """Guards the judges: one that fails on its own account would kill every mutant."""
    shutil.copytree(CORE.parent, tmp_path / "taskloom", ignore=shutil.ignore_patterns("__pycache__"))

    assert find_killer(tmp_path, child_env) is None
