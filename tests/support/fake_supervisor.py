"""A supervisor that a test plays: the far ends of all descriptors of one run in a process.

Only what the runner does itself is executed, and the test decides what comes when.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

from taskloom import __version__
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.runners import Report, RunOrder
from taskloom.runners.binding import Binding, Body, TaskReference
from taskloom.runners.process import ProcessRunner
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.process.launch import Launched, LaunchSpec
from taskloom.runners.wire import Down, Ended, Hello, LineReader, Started, Up, decode_down, encode
from taskloom.sync.cancel_token import CancelToken

__all__ = ["NO_PROCESS", "WHY", "FakeSupervisor", "ProcessBench"]

SOON = 20.0
WHY = Reason(ReasonKind.USER, "enough")
# Larger than any pid of Linux: nothing is there.
NO_PROCESS = 2**22 + 1
SIGKILLED = 9


class FakeSupervisor(Launched):
    """The near ends, as `launch` returns them, with methods for the far ends."""

    def __init__(self, spec: LaunchSpec) -> None:
        near_channel, self.far_channel = socket.socketpair()
        near_control, self.far_control = socket.socketpair()
        near_stdout, self.far_stdout = os.pipe()
        near_stderr, self.far_stderr = os.pipe()
        for end in (near_channel, near_control):
            end.setblocking(False)
        for descriptor in (near_stdout, near_stderr):
            os.set_blocking(descriptor, False)
        self.spec = spec
        self.channel = near_channel
        self.control = near_control
        self.stdout = near_stdout
        self.stderr = near_stderr
        self.has_ended = threading.Event()
        self.was_killed = threading.Event()
        self._orders = self.far_channel.makefile("r", encoding="ascii")
        self._lines = LineReader()
        self._messages: list[Down] = []
        for end in (self.far_channel, self.far_control):
            end.settimeout(SOON)

    # -- in place of those of `Launched`

    @property
    def pid(self) -> int:
        return NO_PROCESS

    @property
    def exit_status(self) -> int | None:
        return -SIGKILLED if self.was_killed.is_set() else 0

    def kill_supervisor(self) -> None:
        self.was_killed.set()
        self.has_ended.set()
        self.far_channel.shutdown(socket.SHUT_RDWR)

    def reap(self, seconds: float = 0.0) -> bool:
        return self.has_ended.wait(seconds)

    # -- for the test

    def say(self, *lines: str) -> None:
        """Send lines of the supervisor."""
        self.far_channel.sendall("".join(f"{line}\n" for line in lines).encode())

    def send(self, *messages: Up) -> None:
        """Send messages of the worker."""
        self.far_control.sendall(b"".join(map(encode, messages)))

    def begin(self) -> None:
        """Say what comes first: the worker is there and has begun the run."""
        self.say(f"started {NO_PROCESS}")
        self.send(Hello(__version__, NO_PROCESS), Started(is_ready=True))

    def next_order(self) -> str:
        """Wait for the next line to the supervisor."""
        return self._orders.readline().rstrip("\n")

    def message(self) -> Down:
        """Wait for the next message to the worker."""
        while not self._messages:
            self._messages += map(decode_down, self._lines.feed(self.far_control.recv(65536)))
        return self._messages.pop(0)

    def print(self, data: bytes) -> None:
        """Write to standard output."""
        os.write(self.far_stdout, data)

    def exit(self, status: int = 0) -> None:
        """The main process ends with this wait status, and then the supervisor: nothing is left."""
        self.close_outputs()
        self.say(f"exited {status} 1000 0.1 0.1", "done")
        self.leave()

    def leave(self) -> None:
        """The supervisor ends."""
        self.has_ended.set()
        self.far_channel.shutdown(socket.SHUT_RDWR)

    def close_outputs(self) -> None:
        """Close standard output and error, once."""
        for descriptor in (self.far_stdout, self.far_stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.far_stdout = self.far_stderr = -1

    def close_far(self) -> None:
        """Close all far ends; after the test."""
        self.close_outputs()
        self._orders.close()
        self.far_channel.close()
        self.far_control.close()


class ProcessBench:
    """A ProcessRunner whose launches return supervisors that the test plays, and its reports."""

    def __init__(self) -> None:
        self.bugs: list[BaseException] = []
        self.runner = ProcessRunner()
        self.runner.record_bug = self.bugs.append
        self.launched: SimpleQueue[FakeSupervisor] = SimpleQueue()
        self.all: list[FakeSupervisor] = []
        self.before_launch: Callable[[LaunchSpec], object] = lambda spec: None
        self.handles: list[ProcessHandle] = []
        self.reports: list[Report] = []
        self._changed = threading.Condition()

    def launch(self, spec: LaunchSpec) -> FakeSupervisor:
        """Take the place of `launch`; on a helper thread."""
        self.before_launch(spec)
        supervisor = FakeSupervisor(spec)
        self.all.append(supervisor)
        self.launched.put(supervisor)
        return supervisor

    def emit(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def start(
        self,
        token: CancelToken | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
        lease: float | None = None,
    ) -> ProcessHandle:
        """Start a run whose task is never imported."""
        reference = TaskReference("somewhere", "task", {}, "somewhere.task")
        binding = Binding(lambda: Body(lambda ctx: None, None), refer=lambda: reference, label=reference.label)
        order = RunOrder(f"job#{len(self.handles) + 1}", "job", "task", 1, 1, False, 0.5, binding, options)
        token = token or CancelToken()
        if lease is None:
            handle = self.runner.start(order, token, self.emit)
        else:
            handle = self.runner.start_leased(order, token, self.emit, lease)
        self.handles.append(handle)
        return handle

    def supervisor(self) -> FakeSupervisor:
        """Wait for the next launch."""
        return self.launched.get(timeout=SOON)

    def begun(self, token: CancelToken | None = None) -> tuple[ProcessHandle, FakeSupervisor]:
        """Start a run and let it begin; its spec is read."""
        handle = self.start(token)
        supervisor = self.supervisor()
        supervisor.message()
        supervisor.begin()
        self.wait_for(lambda: len(self.reports) > 0)
        return handle, supervisor

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        """Wait until this is true after a report."""
        with self._changed:
            assert self._changed.wait_for(is_true, SOON), self.reports

    def ends(self) -> list[RunEnded | RunStartFailed]:
        return [report for report in self.reports if isinstance(report, RunEnded | RunStartFailed)]

    def end(self, count: int = 1) -> RunEnded | RunStartFailed:
        """Wait until `count` runs have ended; return the last end."""
        self.wait_for(lambda: len(self.ends()) >= count)
        for end in self.ends():
            assert self.handles[int(end.run.partition("#")[2]) - 1].join(SOON)
        return self.ends()[-1]

    def close(self) -> None:
        """End everything, and check that no thread is left and no error of ours was hidden."""
        self.runner.close()
        for handle in self.handles:
            handle.kill()
        for supervisor in self.all:
            if not supervisor.has_ended.is_set():
                supervisor.exit(SIGKILLED)
        for handle in self.handles:
            assert handle.join(SOON)
        assert self.runner.join(SOON)
        for supervisor in self.all:
            supervisor.close_far()


def returned(*, was_requested: bool = False) -> Ended:
    """Return the message of a body that has returned."""
    return Ended(How.RETURNED, None, was_requested, False)
