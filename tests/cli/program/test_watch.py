"""The watch over a program, with a program that is only pretended and a clock that the test sets."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from taskloom.cli.program import watch as module
from taskloom.cli.program.process import Process
from taskloom.cli.program.watch import DUMP_STACKS, WATCHED, OwnSignals, Watch
from taskloom.cli.program.watch_pipes import Order, Pipes, Told
from taskloom.cli.program.watcher import Watcher
from taskloom.core.model import RunnerSpec
from taskloom.core.policies import Otherwise
from taskloom.testing import make_job

TERM, HUP, KILL = signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
SOON = 20.0


class PretendedProgram:
    """Ends when it is killed. `pending`: the signals that it has not handled yet."""

    def __init__(self) -> None:
        self.fileno, self._ending = os.pipe()
        self.sent: list[int] = []
        self.pending: set[int] = set()

    def send(self, number: int) -> None:
        self.sent.append(number)
        if number == KILL:
            self.end()

    def end(self) -> None:
        os.write(self._ending, b".")

    def has_ended(self) -> bool:
        return KILL in self.sent

    def has_pending(self, number: int) -> bool:
        return number in self.pending

    def close(self) -> None:
        os.close(self.fileno)
        os.close(self._ending)


class PretendedSignals:
    """The signals that the watcher itself gets."""

    def __init__(self) -> None:
        self.fileno, self._writing = os.pipe()
        os.set_blocking(self.fileno, False)

    def arrive(self, number: int) -> None:
        os.write(self._writing, bytes([number]))

    def read(self) -> bytes:
        try:
            return os.read(self.fileno, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.fileno)
        os.close(self._writing)


class Scene:
    """A watch that a test drives: signals arrive, time passes, the watch reacts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has_terminal: bool = False) -> None:
        self.now = 100.0
        monkeypatch.setattr(module, "mono", lambda: self.now)
        self.program, self.own, self.pipes = PretendedProgram(), PretendedSignals(), Pipes()
        os.set_blocking(self.pipes.reading, False)
        program, own = cast(Process, self.program), cast(OwnSignals, self.own)
        self.watch = Watch(program, self.pipes, own, has_terminal=has_terminal)

    def begin(self, stop_within: float = 10.0) -> None:
        self.pipes.send(Order.BEGIN, stop_within)

    def program_gets(self, *numbers: int) -> None:
        os.write(self.pipes.writing, bytes(numbers))

    def told(self) -> list[Told]:
        """Have the watch react, and return what it tells."""
        self.watch.react()
        return Told.read(self.pipes.echo) or []

    def counted(self) -> list[tuple[int, float]]:
        """Have the watch react, and return the signals that count, with their times."""
        return [(told.number, told.at) for told in self.told() if told.counts]

    def pass_time(self, seconds: float) -> list[int]:
        """Let time pass; return what the watch has sent to the program since the last call."""
        self.now += seconds
        self.watch.react()
        sent, self.program.sent = self.program.sent, []
        return sent

    def close(self) -> None:
        for closable in (self.program, self.own):
            closable.close()
        self.pipes.close_program_side()
        for descriptor in self.pipes.watcher_side():
            try:
                os.close(descriptor)
            except OSError:
                pass  # the watch closed it


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(monkeypatch)
    yield scene
    scene.close()


def test_a_signal_of_either_process_is_told_with_its_time(scene: Scene) -> None:
    scene.program_gets(TERM)
    first = scene.told()
    scene.pass_time(1.0)
    scene.own.arrive(HUP)
    second = scene.told()

    assert first == [Told(TERM, 100.0, is_direct=True, counts=True)]
    assert second == [Told(HUP, 101.0, is_direct=False, counts=True)]


@pytest.mark.parametrize("number", WATCHED)
def test_a_signal_to_both_processes_counts_once_and_the_programs_copy_is_answered(scene: Scene, number: int) -> None:
    scene.program_gets(number)
    scene.own.arrive(number)

    assert scene.told() == [Told(number, 100.0, is_direct=True, counts=True)]


def test_a_copy_that_the_program_handles_late_is_answered_but_does_not_count(scene: Scene) -> None:
    """The program is stopped, or gets no processor, when both processes get the signal."""
    scene.begin(stop_within=10.0)
    scene.program.pending = {TERM}
    scene.own.arrive(TERM)
    assert scene.counted() == [(TERM, 100.0)]

    scene.pass_time(5.0)
    scene.program_gets(TERM)

    assert scene.told() == [Told(TERM, 105.0, is_direct=True, counts=False)]
    assert scene.pass_time(3.0) == []  # as a second signal it would have allowed 2 seconds


def test_many_signals_are_kept_for_a_program_that_does_not_read(scene: Scene) -> None:
    for _ in range(3):
        for _ in range(4000):
            scene.program_gets(HUP)
        scene.watch.react()
    scene.program_gets(TERM)
    scene.watch.react()

    told: list[Told] = []
    while more := scene.told():
        told += more
    assert told[-1] == Told(TERM, 100.0, is_direct=True, counts=True)
    assert {one.number for one in told} == {HUP, TERM}


# -- the hard deadline


def test_the_deadline_counts_from_the_signal_and_stacks_are_printed_before_it(scene: Scene) -> None:
    scene.begin(stop_within=10.0)
    scene.own.arrive(TERM)

    assert scene.pass_time(0.0) == []
    assert scene.pass_time(10.25) == []
    assert scene.pass_time(0.1) == [DUMP_STACKS]
    assert scene.pass_time(0.1) == []
    assert scene.pass_time(0.1) == [KILL]
    assert scene.pass_time(1000.0) == []


def test_signals_count_before_the_program_has_begun_and_the_deadline_is_set_when_it_begins(scene: Scene) -> None:
    scene.own.arrive(TERM)
    scene.watch.react()
    assert scene.pass_time(60.0) == []

    scene.begin(stop_within=61.0)

    assert scene.pass_time(1.0) == []
    assert scene.pass_time(0.5) == [KILL]


def test_the_job_files_may_have_another_time_than_the_program_began_with(scene: Scene) -> None:
    scene.begin(stop_within=10.0)
    scene.begin(stop_within=60.0)
    scene.own.arrive(TERM)

    assert scene.pass_time(0.0) == []
    assert scene.pass_time(60.0) == []
    assert scene.pass_time(0.35) == [DUMP_STACKS]
    assert scene.pass_time(0.15) == [KILL]


@pytest.mark.parametrize("later", [1.0, 60.0, float("inf")])
def test_a_stop_that_has_begun_keeps_its_deadline_whatever_the_job_files_say(scene: Scene, later: float) -> None:
    scene.begin(stop_within=10.0)
    scene.own.arrive(TERM)
    assert scene.pass_time(0.0) == []
    assert scene.pass_time(5.0) == []

    scene.begin(stop_within=later)

    assert scene.pass_time(5.0) == []
    assert scene.pass_time(0.35) == [DUMP_STACKS]
    assert scene.pass_time(0.15) == [KILL]


def test_a_program_that_has_not_begun_is_ended_by_three_signals_and_asked_for_no_stacks(scene: Scene) -> None:
    for _ in range(3):
        scene.own.arrive(TERM)
        assert scene.pass_time(0.6) == []

    assert scene.pass_time(0.5) == [KILL]


def test_the_second_signal_allows_two_more_seconds_and_the_third_half_a_second(scene: Scene) -> None:
    scene.begin(stop_within=float("inf"))
    scene.own.arrive(TERM)
    assert scene.pass_time(0.0) == []
    assert scene.pass_time(1000.0) == []
    scene.program_gets(TERM)
    assert scene.pass_time(0.0) == []
    assert scene.pass_time(1.0) == []

    scene.own.arrive(signal.SIGINT)

    assert scene.pass_time(0.0) == []
    assert scene.pass_time(0.3) == [DUMP_STACKS]
    assert scene.pass_time(0.2) == [KILL]


def test_after_the_second_signal_alone_the_program_has_two_seconds_and_the_grace(scene: Scene) -> None:
    scene.begin(stop_within=float("inf"))
    for _ in range(2):
        scene.program_gets(TERM)
        scene.watch.react()
        scene.pass_time(1.0)

    assert scene.pass_time(1.3) == [DUMP_STACKS]
    assert scene.pass_time(0.2) == [KILL]


def test_a_stop_without_a_signal_has_a_deadline_and_the_next_signal_is_the_second(scene: Scene) -> None:
    scene.begin(stop_within=10.0)
    scene.pipes.send(Order.STOP_BEGAN)
    scene.pass_time(1.0)
    scene.program_gets(TERM)
    scene.pass_time(0.0)

    assert scene.pass_time(2.4) == [DUMP_STACKS]
    assert scene.pass_time(0.1) == [KILL]


def test_a_limit_ends_the_program_and_never_later_than_an_earlier_one(scene: Scene) -> None:
    scene.begin()
    scene.pipes.send(Order.LIMIT, 2.0)
    scene.pipes.send(Order.LIMIT, 50.0)
    scene.watch.react()

    assert scene.pass_time(2.4) == [DUMP_STACKS]
    assert scene.pass_time(0.1) == [KILL]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_reload_and_status_set_no_deadline(scene: Scene, number: int) -> None:
    scene.begin(stop_within=0.0)
    scene.own.arrive(number)
    scene.program_gets(number)

    scene.watch.react()

    assert scene.pass_time(1000.0) == []


def test_a_hangup_is_a_stop_if_the_program_has_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, has_terminal=True)
    scene.begin(stop_within=1.0)
    scene.own.arrive(HUP)
    scene.watch.react()

    assert scene.pass_time(1.5) == [KILL]
    scene.close()


# -- other signals, and the end


def test_other_signals_are_passed_on_at_once(scene: Scene) -> None:
    scene.own.arrive(signal.SIGUSR1)
    scene.own.arrive(signal.SIGCHLD)
    scene.program_gets(signal.SIGUSR2)

    assert scene.told() == []
    assert scene.program.sent == [signal.SIGUSR1]


@pytest.mark.parametrize("way", ["dismissed", "closed", "ended"])
def test_it_ends_when_the_program_dismisses_it_or_ends(scene: Scene, way: str) -> None:
    thread = threading.Thread(target=scene.watch.serve)
    thread.start()

    if way == "dismissed":
        scene.pipes.send(Order.DISMISS)
    elif way == "closed":
        os.close(scene.pipes.writing)
    else:
        scene.program.send(KILL)

    thread.join(SOON)
    assert not thread.is_alive()
    assert Told.read(scene.pipes.echo) is None
    if way == "closed":
        scene.pipes.writing = os.dup(scene.pipes.echo)  # for the fixture to close


def test_a_dismissed_init_passes_on_every_signal_until_the_program_ends(scene: Scene) -> None:
    thread = threading.Thread(target=scene.watch.pass_on)
    scene.own.arrive(TERM)
    scene.own.arrive(signal.SIGCHLD)
    scene.own.arrive(KILL)  # it stands for what ends the program

    thread.start()

    thread.join(SOON)
    assert not thread.is_alive()
    assert scene.program.sent == [TERM, KILL]


@pytest.mark.parametrize("numbers", [(TERM,), (TERM, TERM)], ids=["stop", "hurry"])
def test_jobs_that_are_killed_at_the_deadline_get_a_second_more(scene: Scene, numbers: tuple[int, ...]) -> None:
    scene.pipes.send(Order.GRACE, 1.5)
    scene.begin(10.0)
    for number in numbers:
        scene.program_gets(number)
        scene.told()
        scene.pass_time(1.0)
    left = 9.0 if len(numbers) == 1 else 1.0

    assert KILL not in scene.pass_time(left + 1.4)
    assert KILL in scene.pass_time(0.2)


def test_a_third_signal_leaves_no_time_to_kill_jobs(scene: Scene) -> None:
    scene.pipes.send(Order.GRACE, 1.5)
    scene.begin(10.0)
    for _ in range(3):
        scene.pass_time(1.0)
        scene.program_gets(TERM)
        scene.told()

    assert KILL not in scene.pass_time(0.4)
    assert KILL in scene.pass_time(0.2)


@pytest.mark.parametrize(
    ("otherwise", "runner", "grace"),
    [(Otherwise.KILL, "process", 3.0), (Otherwise.KILL, "dask", 3.0), (Otherwise.EXIT, "thread", 0.0)],
)
def test_only_jobs_that_are_killed_change_the_hard_deadline(otherwise: Otherwise, runner: str, grace: float) -> None:
    watcher, sent = Watcher.__new__(Watcher), list[tuple[Order, float]]()
    watcher._kill_seconds = 0.0
    watcher._pipes = cast(Pipes, SimpleNamespace(send=lambda order, seconds: sent.append((order, seconds))))

    watcher.watch_jobs([replace(make_job("a", otherwise=otherwise), runner=RunnerSpec(runner))])
    watcher.hurry(2.0)

    assert sent == [*[(Order.GRACE, 0.5 + grace)] * (otherwise is Otherwise.KILL), (Order.LIMIT, 2.0 + grace)]
