"""The history of one program: whether there is one, what it is given, and what the log says about it."""

from __future__ import annotations

import builtins
import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from tests.support.fake_recorder import FakeRecorder

from taskloom.cli.program import history_choice
from taskloom.cli.program.history import DEGRADED_SECONDS, FINISH_SECONDS, LEAST_SECONDS, ProgramHistory
from taskloom.cli.program.signals import Signal
from taskloom.clock import mono
from taskloom.control.action_record import Action, HistoryStatus
from taskloom.control.exchange import Caller
from taskloom.control.program_info import ProgramInfo
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.policies import Missed, Schedule
from taskloom.core.remembered import RememberedJob
from taskloom.errors import JobFileError
from taskloom.history import location, recorder
from taskloom.history.errors import HistoryUnusable
from taskloom.history.model import HistoryState, LostRun, Opened, RunGauges
from taskloom.jobfile.fields.history import HistoryMode, HistorySetting
from taskloom.observe.console import Console
from taskloom.observe.log_format import LogFormat
from taskloom.observe.log_ring import LogRing, Origin
from taskloom.observe.masking import Masker
from taskloom.scheduler.facade import Scheduler
from taskloom.testing import make_job

ON, OFF, DEFAULT = (HistorySetting(mode) for mode in (HistoryMode.ON, HistoryMode.OFF, HistoryMode.DEFAULT))
SECRET = "geheim1"
INFO = ProgramInfo("jobs-3f2a", start="0a1b2c3d", since=1000.0, paths=("jobs.yaml",), command=("taskloom", SECRET))
CATCHES_UP = replace(make_job("nightly"), schedule=Schedule(every=3600.0, text="every 1h", missed=Missed.CATCH_UP))


class Program:
    """A history, and the log of its program."""

    def __init__(self) -> None:
        self.history = ProgramHistory()
        self.lines: list[str] = []
        self.ring = LogRing()
        self.masker = Masker([SECRET])
        self.console = Console(self._put, is_colored=False, log_format=LogFormat.FULL, masker=self.masker)

    def _put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        self.lines.append(" ".join(text.decode().split()[1:]))

    def open(self, setting: HistorySetting = ON, *specs: JobSpec, is_fresh: bool = False) -> FakeRecorder | None:
        """Do what the program does at its start; return the recorder if there is one."""
        self.history.choose(setting, specs, self.masker)
        with Scheduler(log=False) as scheduler:
            self.history.open(INFO, scheduler, self.ring, is_fresh=is_fresh)
        self.history.begin(self.console, specs)
        return FakeRecorder.made[-1] if FakeRecorder.made else None

    def opened(self, setting: HistorySetting = ON, *specs: JobSpec, **options: Any) -> FakeRecorder:
        found = self.open(setting, *specs, **options)
        assert found is not None
        return found


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Program]:
    monkeypatch.setattr(recorder, "Recorder", FakeRecorder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield Program()
    FakeRecorder.opens_with = Opened((), {})
    FakeRecorder.made.clear()


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the extra: nothing of the history may be imported there."""
    real = builtins.__import__

    def refusing(name: str, *arguments: Any) -> Any:
        assert not name.startswith("taskloom.history"), name
        return real(name, *arguments)

    monkeypatch.setattr(history_choice, "find_spec", lambda _: None)
    monkeypatch.setattr(builtins, "__import__", refusing)


def event(name: EventName, job: str = "web", **fields: Any) -> Event:
    return Event(7, 1000.0, 5.0, name, job, f"{job}#1", **fields)


# -- whether there is one


def test_the_history_is_on_by_default_if_its_packages_are_installed(program: Program, tmp_path: Path) -> None:
    opened = program.opened(DEFAULT)

    assert opened.target.path == f"{tmp_path}/taskloom/jobs-3f2a.sqlite"
    assert opened.options["name"] == "jobs-3f2a"
    assert opened.options["start"][:2] == ("0a1b2c3d", 1000.0)
    assert program.history.memory is program.history


def test_without_its_packages_there_is_none_and_one_line_for_those_who_look(
    program: Program, no_packages: None
) -> None:
    assert program.open(DEFAULT) is None

    assert program.lines == ["DEBUG taskloom no history of runs is recorded: the extra history is not installed"]
    assert program.history.memory is None


def test_a_history_that_is_set_needs_its_packages(program: Program, no_packages: None) -> None:
    with pytest.raises(click.UsageError) as caught:
        program.open(ON)
    assert caught.value.message == (
        "cannot record the history: its packages are not installed; pip install 'taskloom[history]'"
    )


def test_packages_that_are_half_removed_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ValueError("sqlalchemy.__spec__ is None")

    monkeypatch.setattr(history_choice, "find_spec", fail)
    assert not history_choice.is_installed()


@pytest.mark.parametrize(
    ("setting", "hint"),
    [(OFF, "set history: on, or give --history on"), (DEFAULT, "pip install 'taskloom[history]'")],
    ids=["off", "default"],
)
def test_a_job_that_catches_up_needs_a_history(
    program: Program, monkeypatch: pytest.MonkeyPatch, setting: HistorySetting, hint: str
) -> None:
    if setting is DEFAULT:
        monkeypatch.setattr(history_choice, "find_spec", lambda _: None)

    with pytest.raises(JobFileError) as caught:
        program.open(setting, CATCHES_UP)

    [problem] = caught.value.problems
    assert problem.hint == hint
    assert "'nightly'" in problem.message


def test_a_reload_with_a_job_that_catches_up_is_refused_without_a_history(program: Program) -> None:
    program.open(OFF)
    program.history.check([make_job("web")])
    with pytest.raises(JobFileError):
        program.history.check([CATCHES_UP])


def test_with_a_history_a_job_may_catch_up(program: Program) -> None:
    program.opened(DEFAULT, CATCHES_UP)
    program.history.check([CATCHES_UP])


def test_a_program_without_a_history_does_nothing(program: Program) -> None:
    assert program.open(OFF) is None
    answers: list[bool] = []

    program.history.put(event(EventName.STARTED))
    program.history.note_signal(Signal(signal.SIGTERM, 0.0), "shutdown")
    program.history.record(Action("stop", (), Caller(0, 1), "", ""), answers.append)
    program.history.record_instant("web", 1.0, answers.append)
    program.history.finish(dict, 0, mono())
    program.history.leave_behind()

    assert answers == [False, False]
    assert program.history.status() == HistoryStatus("off")
    assert program.lines == []


# -- the place


def test_the_place_may_be_a_path(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = program.opened(HistorySetting(HistoryMode.ON, "./runs.sqlite", keep=60.0, size=16 << 20))

    assert opened.target.path == str(tmp_path / "runs.sqlite")
    assert (opened.options["keep"], opened.options["size"]) == (60.0, 16 << 20)


def test_the_password_of_a_place_is_masked_from_then_on(program: Program) -> None:
    opened = program.opened(HistorySetting(HistoryMode.ON, "postgresql://me:passwort@host/name"))

    assert opened.options["mask"]("the word is passwort") == "the word is **********"
    assert program.masker.mask("passwort") == "**********"


def test_a_place_that_cannot_be_used_is_an_error_of_the_user(program: Program) -> None:
    with pytest.raises(click.UsageError) as caught:
        program.open(HistorySetting(HistoryMode.ON, "postgresql+asyncpg://host/name"))
    assert caught.value.message.startswith("cannot use 'postgresql+asyncpg://host/name' as the history: ")


def test_a_user_without_a_folder_is_not_a_reason_not_to_run(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(*_: object) -> None:
        raise HistoryUnusable("of this user", "there is no home directory; set XDG_STATE_HOME")

    monkeypatch.setattr(location, "state_folder", no_home)

    assert program.open(DEFAULT) is None

    why = "cannot open the history of this user: there is no home directory; set XDG_STATE_HOME"
    assert program.lines == [f"WARNING taskloom no history of runs is recorded: {why}"]
    assert program.history.status()[:2] == ("degraded", why)


def test_secrets_of_the_command_line_are_masked(program: Program) -> None:
    assert program.opened().options["start"].command == ("taskloom", "**********")


def test_packages_that_cannot_be_imported_are_not_a_reason_not_to_run(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("cannot import name 'Table'")

    monkeypatch.setattr(recorder, "Recorder", broken)

    assert program.open(DEFAULT) is None
    [line] = program.lines
    assert line.startswith("WARNING taskloom no history of runs is recorded: its packages cannot be imported (")
    with pytest.raises(click.UsageError):
        Program().open(ON)


# -- what earlier starts have left


def lost(run: str, polled: float | None = None) -> LostRun:
    return LostRun("ffff", run, run.split("#")[0], polled, 995.0)


def test_the_log_says_which_runs_were_lost_and_when_they_polled(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.cli.program.history_lines.local_time", lambda wall, _: f"second {wall:g}")
    FakeRecorder.opens_with = Opened((lost("web#3", 990.0), lost("tick#1")), {})

    program.opened()

    assert program.lines == [
        (
            "INFO taskloom the program was killed (last seen second 995), and 2 runs were lost: web#3 (last polled "
            "second 990), tick#1 (no poll is known)"
        )
    ]


def test_of_many_lost_runs_only_some_are_named(program: Program) -> None:
    FakeRecorder.opens_with = Opened(tuple(lost(f"job{n}#1") for n in range(1000)), {})
    program.opened()
    [line] = program.lines
    assert "and 1,000 runs were lost: job0#1 (no poll is known)," in line
    assert len(line) < 400


def test_the_log_says_which_jobs_are_paused_since_when(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.cli.program.history_lines.local_time", lambda wall, _: f"second {wall:g}")
    paused = RememberedJob("f", 0.0, paused_since=900.0, paused_reason=f"pause, by alice: {SECRET}")
    remembered = {"web": paused, "gone": paused, "fine": RememberedJob("f", 0.0), "pair.2": paused}
    FakeRecorder.opens_with = Opened((), remembered)
    specs = [make_job("web"), make_job("fine"), replace(make_job("pair"), replicas=2)]

    program.opened(ON, *specs)

    assert program.lines == [
        "INFO taskloom web is paused since second 900, by alice: **********",
        "INFO taskloom pair.2 is paused since second 900, by alice: **********",
    ]
    assert set(program.history.remembered(specs)) == {"web", "fine", "pair.2"}


def test_of_many_paused_jobs_only_some_have_a_line(program: Program) -> None:
    paused = RememberedJob("f", 0.0, paused_since=900.0)
    FakeRecorder.opens_with = Opened((), {f"job{n}": paused for n in range(1000)})
    program.opened(ON, *(make_job(f"job{n}") for n in range(1000)))
    assert len(program.lines) == 11
    assert program.lines[-1].endswith("and 990 more jobs that were paused before the start")


def test_a_fresh_start_forgets_what_schedules_remember(program: Program) -> None:
    FakeRecorder.opens_with = Opened((lost("web#1"),), {"web": RememberedJob("f", 0.0, paused_since=900.0)})

    opened = program.opened(ON, make_job("web"), is_fresh=True)

    assert opened.options["is_fresh"]
    assert program.history.remembered([make_job("web")]) == {}
    assert len(program.lines) == 1  # the lost run: it happened all the same


def test_a_job_that_was_added_is_remembered_by_this_start(program: Program) -> None:
    """A reload that removes it has it forgotten; one that adds it again must not find what was there before."""
    remembered = RememberedJob("f", 0.0)
    FakeRecorder.opens_with = Opened((), {"web": remembered, "later": remembered})
    program.opened(ON, make_job("web"))

    program.history.put(event(EventName.JOB_ADDED))

    assert program.history.remembered([make_job("web"), make_job("later")]) == {"later": remembered}


def test_lines_of_the_recorder_wait_for_the_log(program: Program) -> None:
    opened = None
    program.history.choose(ON, [], program.masker)
    with Scheduler(log=False) as scheduler:
        program.history.open(INFO, scheduler, program.ring, is_fresh=False)
    opened = FakeRecorder.made[-1]
    opened.options["log"]("warning", "the history is degraded: no space left")
    assert program.lines == []

    program.history.begin(program.console, [])
    opened.options["log"]("info", f"it works again: {SECRET}")

    assert program.lines == [
        "WARNING taskloom the history is degraded: no space left",
        "INFO taskloom it works again: **********",
    ]


# -- while the jobs run


def test_the_recorder_gets_each_event_and_with_an_end_what_the_run_has_reported(program: Program) -> None:
    opened = program.opened()
    progress = {"done": 1, "total": None, "unit": ""}
    started = event(EventName.STARTED)
    ended = event(EventName.ENDED, data={"counts": {"lines": 3}, "progress": progress})

    program.history.put(started)
    program.history.put(ended)

    assert opened.events == [(started, None), (ended, RunGauges(None, {"lines": 3}, progress))]


def test_the_tail_of_a_log_has_the_lines_of_its_run_alone(program: Program) -> None:
    opened = program.opened()
    for run, text in (("web#1", "old"), ("web#2", "first"), ("tick#1", "other"), ("web#2", "second")):
        program.ring.add(1000.0, text, Origin(run.split("#")[0], "info", run.split("#")[0], run))

    assert opened.options["tail_of"]("web#2") == ("first\nsecond\n", 0)


def test_an_action_is_recorded_with_who_requested_it(program: Program) -> None:
    opened = program.opened()
    answers: list[bool] = []

    program.history.record(Action("stop", ("web",), Caller(os.getuid(), os.getpid()), "why", "how"), answers.append)

    [row] = opened.actions
    assert (row.action, row.jobs, row.reason, row.result) == ("stop", ("web",), "why", "how")
    assert (row.caller["pid"], row.caller["uid"]) == (os.getpid(), os.getuid())
    program_of_test = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    assert str(row.caller["command"]).startswith(shlex.quote(program_of_test))
    assert answers == []
    opened.waiting.pop()(True)
    assert answers == [True]


def test_an_action_of_a_process_that_is_gone_has_its_pid_alone(program: Program) -> None:
    opened = program.opened()
    program.history.record(Action("stop", (), Caller(54321, 2**22 + 1), "", ""), lambda _: None)
    assert opened.actions[0].caller == {"pid": 2**22 + 1, "uid": 54321}


def test_no_client_waits_for_a_history_that_is_degraded(program: Program) -> None:
    opened = program.opened()
    opened.found = HistoryState("degraded", "no space left", 900.0, 3, 1, "/there")
    answers: list[bool] = []

    program.history.record(Action("stop", (), Caller(0, 1), "", ""), answers.append)

    assert answers == [False]
    assert len(opened.actions) == 1  # it is recorded once that is possible
    assert program.history.status() == HistoryStatus("degraded", "no space left", 900.0, "/there", 3, 1)


def test_a_signal_is_an_action_at_the_moment_at_which_it_arrived(program: Program) -> None:
    opened = program.opened()
    program.history.note_signal(Signal(signal.SIGHUP, mono() - 100.0), "reload", f"1 added ({SECRET})")
    program.history.note_signal(Signal(signal.SIGTERM, mono()), "shutdown")

    first, second = opened.actions
    assert (first.action, first.caller, first.result) == ("reload", {"signal": "SIGHUP"}, "1 added (**********)")
    assert second.at - first.at > 99.0


def test_an_instant_is_passed_on_with_its_answer(program: Program) -> None:
    opened = program.opened()
    answers: list[bool] = []
    program.history.record_instant("web", 1000.0, answers.append)
    opened.waiting.pop()(True)
    assert (opened.instants, answers) == ([("web", 1000.0)], [True])


# -- the end


@pytest.mark.parametrize(("left", "seconds"), [(100.0, FINISH_SECONDS), (0.5, 0.5), (-1.0, LEAST_SECONDS)], ids=str)
def test_the_end_takes_no_more_than_is_left_of_the_deadline(program: Program, left: float, seconds: float) -> None:
    opened = program.opened()
    before = mono()

    program.history.finish(lambda: {"exit_code": 1}, 1, mono() + left)

    [(report, code, until)] = opened.finished
    assert (report, code) == ({"exit_code": 1}, 1)
    assert before + seconds - 0.001 <= until <= mono() + seconds
    assert opened.calls == ["open", "close"]
    program.history.finish(dict, 0, mono())  # idempotent
    assert len(opened.finished) == 1


def test_an_end_does_not_wait_long_for_a_history_that_is_degraded(program: Program) -> None:
    opened = program.opened()
    opened.found = HistoryState("degraded", "no space left", 900.0)
    program.history.finish(dict, 0, mono() + 100.0)
    assert opened.finished[0][2] <= mono() + DEGRADED_SECONDS


def test_what_is_not_written_at_the_end_is_said(program: Program) -> None:
    opened = program.opened()
    opened.is_written, opened.found = False, HistoryState("degraded", "no space left", 900.0, 1200)

    program.history.finish(dict, 0, mono())

    assert program.lines == [
        "WARNING taskloom the history could not be written to its end: 1,200 rows missing (no space left)"
    ]


def test_a_program_that_does_not_begin_has_an_end_in_its_history(program: Program) -> None:
    """Otherwise the next start would take it for one that was killed."""
    opened = program.opened()
    program.history.close(2)
    assert [(report, code) for report, code, _ in opened.finished] == [({}, 2)]


def test_a_forked_child_leaves_the_history_alone(program: Program) -> None:
    opened = program.opened()
    program.history.leave_behind()
    program.history.put(event(EventName.STARTED))
    program.history.finish(dict, 0, mono())
    assert (opened.calls, opened.events, opened.finished) == (["open", "leave_behind"], [], [])
