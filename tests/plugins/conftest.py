"""Fixtures that run a task on a thread, and wait for what it does instead of for a time."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskloom import Cancelled, Task
from taskloom.testing import FakeContext
from taskloom_plugins.addresses import Address, parse_address

# Reached only when a test fails: everything that tests wait for takes milliseconds.
PATIENCE_SECONDS = 20.0


class WatchedContext(FakeContext):
    """A fake context that a test can wait for: each count and each log line wakes the test."""

    def __init__(self, *, job: str, poll_interval: float) -> None:
        super().__init__(job=job, poll_interval=poll_interval)
        self.changed = threading.Condition()
        self.times_ready = 0
        self.log.logger.addHandler(_Waker(self.changed))

    def ready(self) -> None:
        """Count the calls: a run may call it only once."""
        super().ready()
        self.times_ready += 1

    def count(self, name: str, n: int = 1) -> None:
        """Add to the counter, and wake the test."""
        with self.changed:
            super().count(name, n)
            self.changed.notify_all()


class _Waker(logging.Handler):
    def __init__(self, changed: threading.Condition) -> None:
        super().__init__()
        self._changed = changed

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self._changed.notify_all()


class Running:
    """A task that runs on a thread of its own."""

    def __init__(self, task: Task, job: str, poll_interval: float) -> None:
        self.ctx = WatchedContext(job=job, poll_interval=poll_interval)
        self.error: BaseException | None = None
        self.has_ended = False
        self._task = task
        self._thread = threading.Thread(target=self._run, name=f"test-{job}")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._task.run(self.ctx)
        except BaseException as error:  # noqa: BLE001 - the test examines every exception
            self.error = error
        with self.ctx.changed:
            self.has_ended = True
            self.ctx.changed.notify_all()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition is true; it is checked whenever the task counts, logs or ends."""
        with self.ctx.changed:
            self.ctx.changed.wait_for(lambda: condition() or self.has_ended, PATIENCE_SECONDS)
        assert condition(), f"no {what}: {self.error!r}, {dict(self.ctx.counts)}, {self.ctx.messages}"

    def until_count(self, name: str, n: int) -> None:
        """Wait until the counter has reached n."""
        self.until(lambda: self.ctx.counts[name] >= n, f"{n} {name}")

    def until_log(self, text: str, times: int = 1) -> None:
        """Wait until `times` log lines contain the text."""
        self.until(lambda: sum(text in line for line in self.ctx.messages) >= times, f"log line with {text!r}")

    @property
    def address(self) -> Address:
        """The address on which a reader listens; waits until it listens."""
        self.until_log("listening on ")
        line = next(line for line in self.ctx.messages if line.startswith("listening on "))
        return parse_address(line.removeprefix("listening on "))

    def client(self) -> socket.socket:
        """Return a socket that is connected to the listening reader."""
        address = self.address
        if address.is_unix:
            sock = socket.socket(socket.AF_UNIX, address.kind)
            sock.connect(address.unix_address)
            return sock
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, address.kind)
        sock.settimeout(PATIENCE_SECONDS)
        zone = (0, socket.if_nametoindex(address.zone)) if address.zone else ()
        sock.connect((address.host, address.port, *zone))
        return sock

    def join(self) -> None:
        """Wait until the task ends by itself; raise what it raised."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), f"still running: {self.ctx.messages}"
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Cancel the task and wait for its end; raise what it raised, except Cancelled."""
        self.ctx.cancel("end of test")
        try:
            self.join()
        except Cancelled:
            self.error = None


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts a task; tasks that still run at the end of the test are cancelled and joined."""
    running: list[Running] = []

    def begin(task: Task, *, job: str = "job", poll_interval: float = 1.0) -> Running:
        running.append(Running(task, job, poll_interval))
        return running[-1]

    yield begin

    for each in running:
        each.ctx.cancel("end of test")
        each._thread.join(PATIENCE_SECONDS)
        assert not each._thread.is_alive(), f"cannot stop {each.ctx.job}: {each.ctx.messages}"
        each.ctx.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The file that a reader writes to."""
    return tmp_path / "out.log"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A TCP server on loopback, with a timeout for accept."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        yield listener


@pytest.fixture
def to_server(server: socket.socket) -> str:
    """The server's address, as written in job files."""
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"
