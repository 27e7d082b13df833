"""Plays the supervisor and the worker of each run on a thread, by one script, for tests that strike the IO thread."""

from __future__ import annotations

import select
import signal
import threading

from tests.support.fake_supervisor import NO_PROCESS, FakeSupervisor

from taskloom import __version__
from taskloom.core.model import How
from taskloom.runners.gauges import Progress
from taskloom.runners.process.launch import LaunchSpec
from taskloom.runners.wire import Cancel, Ended, Gauged, Hello, LineReader, Logged, Polled, Spec, Started, decode_down

__all__ = ["ScriptedSupervisors"]


class ScriptedSupervisors:
    """Supervisors whose workers print and report, and end when they are cancelled."""

    def __init__(self) -> None:
        self.all: list[FakeSupervisor] = []
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        # Held during a launch: it may go on after the end of its run, if the run was given up.
        self._launching = threading.Lock()

    def launch(self, spec: LaunchSpec) -> FakeSupervisor:
        """Take the place of `launch`."""
        with self._launching:
            if self._is_closed:
                raise OSError("the test is over")
            supervisor = FakeSupervisor(spec)
            self.all.append(supervisor)
            thread = threading.Thread(target=_play, args=(supervisor,), name="player")
            self._threads.append(thread)
            thread.start()
            return supervisor

    def close(self) -> None:
        """Wait until all players have ended, which they do when their run has; close what is theirs."""
        with self._launching:
            self._is_closed = True
        for thread in self._threads:
            thread.join(20.0)
            assert not thread.is_alive()
        for supervisor in self.all:
            supervisor.close_far()


def _play(supervisor: FakeSupervisor) -> None:
    lines = LineReader()
    ends = [supervisor.far_channel, supervisor.far_control]
    while True:
        readable, _, _ = select.select(ends, [], [], 20.0)
        assert readable
        if supervisor.far_channel in readable:
            order = supervisor.far_channel.recv(4096)
            if not order or b"kill\n" in order:
                _leave(supervisor, signal.SIGKILL)
                return
        if supervisor.far_control in readable:
            data = supervisor.far_control.recv(65536)
            if not data:
                ends.remove(supervisor.far_control)
            for message in map(decode_down, lines.feed(data)):
                if isinstance(message, Spec):
                    _begin(supervisor)
                elif isinstance(message, Cancel):
                    _say(supervisor, Ended(How.CANCELLED, None, True, False))
                    _leave(supervisor, 0)
                    return


def _begin(supervisor: FakeSupervisor) -> None:
    try:
        supervisor.say(f"started {NO_PROCESS}")
        supervisor.print(b"one\ntwo\n")
        supervisor.send(
            Hello(__version__, NO_PROCESS),
            Started(is_ready=True),
            Polled(1, waiting=True, wakeable=False),
            Gauged(Progress(1, 2, "files"), {"frames": 1}),
            Logged(20, "taskloom.task", "a record", 0.0),
        )
    except OSError:
        pass  # the runner has given the run up


def _say(supervisor: FakeSupervisor, message: Ended) -> None:
    try:
        supervisor.send(message)
    except OSError:
        pass


def _leave(supervisor: FakeSupervisor, status: int) -> None:
    try:
        supervisor.exit(status)
    except OSError:
        supervisor.has_ended.set()
