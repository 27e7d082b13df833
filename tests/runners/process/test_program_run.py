"""The state of a program's run, driven by hand: ready, checks, the stop and the verdict of its end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunResponsive, RunStarted, RunStartFailed, RunUnresponsive
from taskloom.core.model import ErrorInfo, How, Reason, ReasonKind
from taskloom.program import Check, Program
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body
from taskloom.runners.process import program_run
from taskloom.runners.process.channel import Exited, Left, OverLimit, ProcessStarted, Stopped
from taskloom.runners.process.helper_command import HelperFailed
from taskloom.runners.process.launch import CannotLaunch
from taskloom.runners.process.probes import ProbeFailed
from taskloom.runners.process.program_run import ProgramRun
from taskloom.sync.cancel_token import CancelToken

STOP = Reason(ReasonKind.USER, "test")
PID = 77


class FakeLink:
    """Records what a run does; calls are answered by the test."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.logged: list[str] = []
        self.reports: list[Any] = []
        self.calls: list[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = []

    def signal(self, number: int) -> None:
        self.done.append(signal.Signals(number).name)

    def signal_group(self, number: int) -> None:
        self.done.append(f"group {signal.Signals(number).name}")

    def be_patient(self) -> None:
        self.done.append("patient")

    def kill(self) -> None:
        self.done.append("kill")

    def send(self, message: Any) -> None:
        raise AssertionError(message)

    def log(self, text: str, *, level: int = 20, name: str = "", created: float | None = None) -> None:
        self.logged.append(text)

    def log_record(self, entry: Any) -> bool:
        raise AssertionError(entry)

    def emit(self, report: Any) -> None:
        self.reports.append(report)

    def call(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None], *, is_slow: bool = False
    ) -> None:
        self.calls.append((work, done))

    def answer(self, error: BaseException | None = None) -> None:
        """Answer the oldest call."""
        _, done = self.calls.pop(0)
        done(None, error)


class Scene:
    """A run of a program with a fake link and a clock of its own."""

    def __init__(self, **fields: Any) -> None:
        self.program = Program(**{"argv": ("serve",), **fields})
        binding = Binding(lambda: Body(print, None), program=lambda: self.program)
        order = RunOrder("web#1", "web", "command", 1, 1, False, 1.0, binding)
        self.token = CancelToken()
        self.link = FakeLink()
        self.run = ProgramRun(order, self.token, self.link)
        self.spec = self.run.make_spec()

    def start(self) -> None:
        self.run.on_channel(ProcessStarted(PID), clock.now)

    def cancel(self) -> None:
        self.run.on_cancel(STOP, clock.now)

    def exit(self, code: int = 0, number: int = 0) -> RunEnded | RunStartFailed:
        self.run.on_channel(Exited(code << 8 | number, 0, 0.0, 0.0), clock.now)
        return self.run.end(lost=None)

    def later(self, seconds: float) -> None:
        """Let the time pass, and call the timer if it is due."""
        clock.now += seconds
        if self.run.next_timer() <= clock.now:
            self.run.on_timer(clock.now)


class Clock:
    now = 100.0


clock = Clock()


@pytest.fixture(autouse=True)
def own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.now = 100.0
    monkeypatch.setattr(program_run, "mono", lambda: clock.now)


def ended(how: How, error: str | None = None, *, requested: bool = False, callback: bool = False) -> tuple[Any, ...]:
    return how, error, requested, callback


def told(report: RunEnded | RunStartFailed) -> tuple[Any, ...]:
    assert isinstance(report, RunEnded)
    error = report.error
    return (
        report.how,
        None if error is None else f"{error.type}: {error.message}",
        report.was_requested,
        report.callback_ran,
    )


# -- the verdict


def test_a_program_that_exits_with_a_success_code_has_succeeded() -> None:
    scene = Scene(success_codes={0, 7})
    scene.start()

    assert told(scene.exit(7)) == ended(How.RETURNED)
    assert scene.link.reports == [RunStarted("web#1", True)]


@pytest.mark.parametrize(
    ("fields", "code", "why"),
    [
        ({}, 3, "exit code 3"),
        ({"success_codes": {7}}, 0, "exit code 0"),
        ({"argv": ("/bin/sh", "-c", "x"), "shell": True}, 127, "exit code 127: the shell found no such command"),
        ({}, 127, "exit code 127"),
    ],
    ids=["3", "0-is-none", "shell", "no-shell"],
)
def test_another_code_is_a_failure(fields: dict[str, Any], code: int, why: str) -> None:
    scene = Scene(**fields)
    scene.start()

    assert told(scene.exit(code)) == ended(How.RAISED, f"ProgramFailed: {why}")


def test_an_unexpected_signal_is_a_failure_even_if_it_is_the_stop_signal() -> None:
    for number, name in ((signal.SIGSEGV, "SIGSEGV"), (signal.SIGTERM, "SIGTERM")):
        scene = Scene()
        scene.start()

        assert told(scene.exit(number=number)) == ended(How.RAISED, f"ProcessDied: {name}")


@pytest.mark.parametrize(
    ("fields", "code", "number", "expected"),
    [
        ({}, 0, 0, ended(How.CANCELLED, requested=True)),
        ({}, 0, signal.SIGTERM, ended(How.CANCELLED, requested=True)),
        ({}, 143, 0, ended(How.CANCELLED, requested=True)),
        ({"stop_signal": "INT"}, 130, 0, ended(How.CANCELLED, requested=True)),
        ({"stop_signal": "KILL"}, 0, signal.SIGKILL, ended(How.CANCELLED, requested=True)),
        ({"stop_command": ("x",)}, 0, signal.SIGINT, ended(How.CANCELLED, requested=True)),
        ({"stop_command": ("x",)}, 0, signal.SIGUSR1, ended(How.CANCELLED, requested=True)),
        ({"stop_command": ("x",)}, 0, signal.SIGKILL, ended(How.CANCELLED, requested=True)),
        ({"stop_command": ("x",)}, 0, signal.SIGABRT, ended(How.RAISED, "ProcessDied: SIGABRT", requested=True)),
        ({}, 0, signal.SIGUSR1, ended(How.RAISED, "ProcessDied: SIGUSR1", requested=True)),
        ({"success_codes": {3}}, 3, 0, ended(How.CANCELLED, requested=True)),
        ({}, 3, 0, ended(How.RAISED, "ProgramFailed: exit code 3", requested=True, callback=True)),
        ({}, 0, signal.SIGSEGV, ended(How.RAISED, "ProcessDied: SIGSEGV", requested=True)),
    ],
    ids=[
        "0",
        "term",
        "143",
        "130-of-int",
        "kill",
        "int-of-command",
        "usr1-of-command",
        "kill-of-command",
        "abort-in-command",
        "usr1",
        "success",
        "other-code",
        "segv",
    ],
)
def test_the_end_of_a_program_that_was_asked_to_stop(
    fields: dict[str, Any], code: int, number: int, expected: tuple[Any, ...]
) -> None:
    scene = Scene(**fields)
    scene.start()
    scene.cancel()

    assert told(scene.exit(code, number)) == expected


def test_a_program_that_the_ladder_had_to_end_was_killed() -> None:
    for step, number, why in (("terminate", signal.SIGTERM, "SIGTERM"), ("kill", signal.SIGKILL, "SIGKILL")):
        scene = Scene(stop_signal="INT")
        scene.start()
        scene.cancel()
        clock.now += 8.0
        getattr(scene.run, f"on_{step}")(clock.now)

        assert told(scene.exit(number=number)) == ended(How.KILLED, f"ProcessKilled: {why} after 8.0 s", requested=True)


def test_a_program_that_goes_into_the_background_has_failed() -> None:
    scene = Scene()
    scene.start()
    scene.run.on_channel(Exited(0, 0, 0.0, 0.0), clock.now)
    scene.run.on_channel(Left(2, "nginx,nginx"), clock.now)

    assert told(scene.run.end(lost=None)) == ended(
        How.RAISED,
        "ProgramFailed: the program put itself into the background: its first process ended and left 2 processes "
        "(nginx, nginx); start it in the foreground",
    )


def test_what_a_stopped_program_leaves_is_not_a_failure_and_is_said() -> None:
    scene = Scene()
    scene.start()
    scene.cancel()
    scene.run.on_channel(Exited(0, 0, 0.0, 0.0), clock.now)
    scene.run.on_channel(Left(1, "sleep"), clock.now)

    assert told(scene.run.end(lost=None)) == ended(How.CANCELLED, requested=True)
    assert scene.link.logged == ["it left 1 process (sleep): ending what is left"]


def test_a_stop_that_comes_after_the_end_has_not_caused_it() -> None:
    scene = Scene()
    scene.start()
    scene.run.on_channel(Exited(3 << 8, 0, 0.0, 0.0), clock.now)
    scene.cancel()

    assert told(scene.run.end(lost=None)) == ended(How.RAISED, "ProgramFailed: exit code 3")
    assert scene.link.done == []


def test_over_its_memory_limit_is_told_whatever_the_code_is() -> None:
    scene = Scene()
    scene.start()
    scene.run.on_channel(OverLimit(512 << 20, 530 << 20), clock.now)

    assert told(scene.exit(number=9)) == ended(How.RAISED, "ProcessDied: over memory_limit 512 MiB (was 530)")


def test_a_program_of_which_nothing_is_known_any_more_is_lost() -> None:
    scene = Scene()
    scene.start()

    assert told(scene.run.end(lost=ErrorInfo("ProcessLost", "gone", ""))) == ended(How.LOST, "ProcessLost: gone")


# -- the start


def test_it_starts_with_its_files_and_variables_and_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.env").write_text("A=file\nB=file\n")
    monkeypatch.setenv("NOTIFY_SOCKET", "/x")
    monkeypatch.setenv("TASKLOOM_STOP_WITHIN", "5s")
    monkeypatch.setenv("C", "ours")
    scene = Scene(env={"A": "own"}, env_files=(str(tmp_path / "a.env"),), cwd="/", stdin=b"in")
    env = scene.spec.env

    assert [env[name] for name in ("A", "B", "C", "TASKLOOM_JOB", "TASKLOOM_RUN")] == [
        "own",
        "file",
        "ours",
        "web",
        "web#1",
    ]
    assert not {"NOTIFY_SOCKET", "TASKLOOM_STOP_WITHIN"} & env.keys()
    assert (scene.spec.argv, scene.spec.cwd, scene.spec.stdin) == (("serve",), "/", b"in")


def test_an_env_file_that_is_gone_fails_the_start() -> None:
    with pytest.raises(CannotLaunch, match=r"cannot start 'serve': cannot read env_file 'gone\.env': no such file"):
        Scene(env_files=("gone.env",))


def test_a_stop_before_the_program_runs_is_sent_once_it_does() -> None:
    scene = Scene(ready_address="tcp://127.0.0.1:1", check=CHECK)
    scene.cancel()
    before = list(scene.link.done)
    scene.start()
    scene.later(60)

    assert before == []
    assert scene.link.done == ["patient", "SIGTERM", "SIGCONT"]
    assert not scene.link.calls


# -- the reload


def test_a_reload_sends_its_signal_while_the_program_runs() -> None:
    scene = Scene(reload_signal="HUP")
    scene.run.on_reload()
    scene.start()
    scene.run.on_reload()
    scene.cancel()
    scene.run.on_reload()

    assert scene.link.done == ["SIGHUP", "patient", "SIGTERM", "SIGCONT"]


def test_a_reload_does_nothing_without_a_signal() -> None:
    scene = Scene()
    scene.start()
    scene.run.on_reload()

    assert scene.link.done == []


# -- ready


def test_a_line_makes_it_ready_once() -> None:
    scene = Scene(ready_line=r"listening on \d+")
    scene.start()
    scene.run.on_line("stdout", "starting", clock.now)
    before = list(scene.link.reports)
    scene.run.on_line("stderr", "now listening on 80", clock.now)
    scene.run.on_line("stderr", "now listening on 81", clock.now)

    assert before == [RunStarted("web#1", False)]
    assert scene.link.reports[1:] == [RunReady("web#1")]
    assert scene.link.logged == ["starting", "now listening on 80", "now listening on 81"]


def test_a_line_that_is_read_before_the_message_of_the_start_makes_it_ready_too() -> None:
    scene = Scene(ready_line="up", check=CHECK)
    scene.run.on_line("stdout", "up", clock.now)
    before = list(scene.link.reports)
    scene.start()
    scene.later(10)

    assert before == []
    assert scene.link.reports == [RunStarted("web#1", False), RunReady("web#1")]
    assert len(scene.link.calls) == 1


def test_an_address_is_tried_until_it_answers() -> None:
    scene = Scene(ready_address="tcp://127.0.0.1:1")
    scene.start()
    tries = []
    for _ in range(8):
        scene.link.answer(ConnectionRefusedError())
        tries.append(scene.run.next_timer() - clock.now)
        scene.later(tries[-1])
    scene.link.answer()

    assert [round(each, 3) for each in tries] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert scene.link.reports == [RunStarted("web#1", False), RunReady("web#1")]
    assert not scene.link.calls


def test_nothing_is_tried_after_the_stop_or_the_end() -> None:
    for end in (Scene.cancel, Scene.exit):
        scene = Scene(ready_address="tcp://127.0.0.1:1")
        scene.start()
        end(scene)
        scene.link.answer(ConnectionRefusedError())
        scene.later(3600)

        assert not scene.link.calls


# -- checks

CHECK = Check(tcp="127.0.0.1:1", every=10.0, failures=3)


def test_checks_begin_when_it_is_ready() -> None:
    scene = Scene(check=CHECK, ready_line="up")
    scene.start()
    scene.later(60)
    before = list(scene.link.calls)
    scene.run.on_line("stdout", "up", clock.now)
    scene.later(9.9)
    early = list(scene.link.calls)
    scene.later(0.1)

    assert before == early == []
    assert len(scene.link.calls) == 1


def test_failures_in_a_row_make_it_unresponsive_once_and_a_success_responsive() -> None:
    scene = Scene(check=CHECK)
    scene.start()
    for _ in range(4):
        scene.later(10)
        scene.link.answer(ProbeFailed("refused"))
    scene.later(10)
    scene.link.answer()

    assert scene.link.reports[1:] == [
        RunUnresponsive("web#1", 30.0, "3 failed checks in a row: refused"),
        RunResponsive("web#1"),
    ]
    assert scene.link.logged[0] == "check failed (1 of 3): tcp://127.0.0.1:1: refused"
    assert scene.link.logged[-2:] == [
        "check failed (4 in a row): tcp://127.0.0.1:1: refused",
        "check succeeded after 4 failures",
    ]


def test_a_success_between_failures_begins_anew() -> None:
    scene = Scene(check=CHECK)
    scene.start()
    for error in (OSError("x"), OSError("x"), None, OSError("x"), OSError("x")):
        scene.later(10)
        scene.link.answer(error)

    assert [type(report) for report in scene.link.reports] == [RunStarted]


def test_each_success_is_a_poll() -> None:
    scene = Scene(check=CHECK)
    scene.start()
    before = scene.token.polls
    for error in (None, OSError("x"), None):
        scene.later(10)
        scene.link.answer(error)

    assert scene.token.polls - before == 2
    assert scene.token.is_wakeable


def test_a_program_without_a_check_counts_as_waiting() -> None:
    scene = Scene()
    scene.start()

    assert scene.token.is_waiting


# -- the stop


def test_the_stop_signal_goes_to_the_main_process_which_is_continued_if_it_was_stopped() -> None:
    scene = Scene(stop_signal="QUIT")
    scene.start()
    scene.cancel()
    scene.run.on_terminate(clock.now)
    scene.run.on_kill(clock.now)

    assert scene.link.done == ["patient", "SIGQUIT", "SIGCONT", "group SIGTERM", "kill"]


def test_a_stop_command_runs_in_place_of_the_signal() -> None:
    scene = Scene(stop_command=("pg_ctl", "stop"), stop_signal="INT")
    scene.start()
    scene.cancel()
    before = list(scene.link.done)
    scene.link.answer()
    after = list(scene.link.done)
    scene.run.on_terminate(clock.now)

    assert before == after == ["patient"]
    assert scene.link.done == ["patient", "SIGINT", "SIGCONT", "group SIGTERM"]


def test_the_stop_signal_goes_to_all_that_a_shell_has_started() -> None:
    scene = Scene(argv=("/bin/sh", "-c", "a | b"), shell=True, stop_signal="INT")  # noqa: S604 - nothing is executed
    scene.start()
    scene.cancel()

    assert scene.link.done == ["patient", "group SIGINT", "group SIGCONT"]


def test_a_stop_command_that_fails_is_replaced_by_the_signal_at_once() -> None:
    scene = Scene(stop_command=("pg_ctl", "stop"))
    scene.start()
    scene.cancel()
    scene.link.answer(HelperFailed("exit code 1"))

    assert scene.link.done == ["patient", "SIGTERM", "SIGCONT"]
    assert scene.link.logged == ["stop_command failed: exit code 1; sending SIGTERM"]


def test_a_check_that_is_under_way_has_no_effect_after_the_stop() -> None:
    scene = Scene(check=CHECK)
    scene.start()
    scene.later(10)
    scene.cancel()
    scene.link.answer(ProbeFailed("refused"))
    scene.later(60)

    assert scene.link.logged == []
    assert not scene.link.calls


def test_a_process_that_stops_itself_is_said() -> None:
    scene = Scene()
    scene.start()
    scene.run.on_channel(Stopped(signal.SIGSTOP), clock.now)

    assert scene.link.logged == ["the process was stopped by SIGSTOP"]
