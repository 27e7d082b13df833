"""What the service manager is told, with a scheduler of real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.notify_socket import FakeServiceManager

from taskloom import Context, Job, Scheduler, Task
from taskloom.cli.program import service_manager as module
from taskloom.cli.program.notify_socket import NotifySocket
from taskloom.cli.program.service_manager import ServiceManager, service_manager
from taskloom.clock import mono
from taskloom.core.model import Reason, ReasonKind


class Opening(Task):
    """Be ready once the test says so."""

    announces_ready = True

    def run(self, ctx: Context) -> None:
        while not ctx.wait(0.01):
            if OPEN.is_set():
                ctx.ready()
                ctx.wait()


OPEN = threading.Event()


def stay(ctx: Context) -> None:
    """Wait until asked to stop."""
    ctx.wait()


def fail(ctx: Context) -> None:
    """Fail at once."""
    raise RuntimeError("no such device")


def leave(ctx: Context) -> None:
    """End at once."""


class Scene:
    """A scheduler, and the service manager that is told of it."""

    def __init__(self, manager: FakeServiceManager, watchdog: float | None = None) -> None:
        self.manager = manager
        self.scheduler = Scheduler(on_stopping=self._stopping)
        self.service = ServiceManager(NotifySocket(manager.address, watchdog))
        self.scheduler.listen(lambda _: self.service.put())

    def _stopping(self) -> None:
        self.service.stop_began()

    def start(self, *jobs: Job) -> None:
        self.scheduler.add_all(jobs)
        self.service.start(self.scheduler)
        self.scheduler.start()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    monkeypatch.setattr(module, "REST_SECONDS", 0.01)
    OPEN.clear()
    made: list[Scene] = []
    with FakeServiceManager(str(tmp_path / "notify")) as manager:

        def make(**options: Any) -> Scene:
            made.append(Scene(manager, **options))
            return made[-1]

        yield make
        for each in made:
            each.scheduler.stop(5)
            each.service.close()


def test_the_program_is_ready_once_its_jobs_are(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.start(Job(name="slow", task=Opening), Job(name="a", task=stay))
    it.manager.wait_for("STATUS=2 jobs: 2 running; not ready: waiting for slow")
    assert "READY" not in it.manager.names()

    OPEN.set()
    message = it.manager.wait_for("READY=1")

    assert message == "READY=1\nSTATUS=2 jobs: 2 running"


@pytest.mark.parametrize(
    "jobs",
    [
        [Job(name="scheduled", task=stay, schedule={"cron": "0 0 1 1 *"})],
        [Job(name="delayed", task=stay, start={"delay": 1000})],
        [Job(name="manual", task=stay, start="manual")],
        [Job(name="breaks", task=fail, restart={"when": "on-failure", "delay": 1000})],
        [
            Job(name="breaks", task=fail, restart={"when": "on-failure", "delay": 1000}),
            Job(name="needs", task=stay, after={"breaks": "succeeded"}),
        ],
        [Job(name="needs", task=stay, after="late"), Job(name="late", task=stay, schedule={"cron": "0 0 1 1 *"})],
    ],
    ids=lambda jobs: "-".join(job.name for job in jobs),
)
def test_a_job_that_does_not_start_at_once_or_cannot_is_not_awaited(
    scene: Callable[..., Scene], jobs: list[Job]
) -> None:
    it = scene()
    it.start(Job(name="stays", task=stay), *jobs)

    it.manager.wait_for("READY=1")

    assert "not ready" not in it.manager.lines[-1]


def test_after_its_time_the_program_counts_as_ready_and_says_who_is_missing(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.2)
    it = scene()
    it.start(Job(name="slow", task=Opening))

    it.manager.wait_for("READY=1")

    assert "STATUS=1 job: 1 running; not ready: waiting for slow" in it.manager.lines


def test_a_stop_is_told_with_more_time_and_who_is_awaited(scene: Callable[..., Scene]) -> None:
    it = scene()
    release = threading.Event()

    def deaf(ctx: Context) -> None:
        ctx.wait()
        release.wait()

    it.start(Job(name="deaf", task=deaf))
    it.manager.wait_for("READY=1")
    it.scheduler.request_stop(20, reason=Reason(ReasonKind.SIGNAL, "SIGTERM"))
    it.manager.wait_for("STATUS=stopping: waiting for deaf")
    release.set()
    it.scheduler.stop()
    it.service.close()
    it.manager.wait_for("STOPPING=1")

    assert it.manager.names() == ["READY", "STOPPING"]
    assert "EXTEND_TIMEOUT_USEC=15000000" in it.manager.lines


def test_a_program_whose_work_is_done_at_once_was_ready(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.scheduler.add_all([Job(name="a", task=leave)])
    it.scheduler.start()
    it.scheduler.wait()
    it.service.start(it.scheduler)
    it.scheduler.request_stop(5, reason=Reason(ReasonKind.FINISHED, "all non-daemon jobs have ended"))
    it.scheduler.stop()
    it.service.close()
    it.manager.wait_for("STOPPING=1")

    assert it.manager.names() == ["READY", "STOPPING"]


def test_a_program_that_is_stopped_before_it_is_ready_never_says_so(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.start(Job(name="slow", task=Opening))
    it.scheduler.request_stop(5, reason=Reason(ReasonKind.SIGNAL, "SIGTERM"))
    it.scheduler.stop()
    it.service.close()
    it.manager.wait_for("STOPPING=1")

    assert it.manager.names() == ["STOPPING"]


def test_a_reload_is_told_with_the_time_of_its_request(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.start(Job(name="a", task=stay))
    it.manager.wait_for("READY=1")
    before = mono()
    it.service.reloading()
    after = mono()
    it.service.reloaded()
    it.manager.wait_for("READY=1", count=2)

    name, _, written = it.manager.wait_for("RELOADING=1").partition("\n")[2].partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(written) / 1e6 + 1e-6 <= after + 1e-6
    assert it.manager.names() == ["READY", "RELOADING", "MONOTONIC_USEC", "READY"]


def test_a_reload_of_a_program_that_stops_is_not_told(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.start(Job(name="a", task=stay))
    it.manager.wait_for("READY=1")
    it.scheduler.stop(5)
    it.manager.wait_for("STOPPING=1")

    it.service.reloading()
    it.service.reloaded()
    it.service.close()

    assert it.manager.names() == ["READY", "STOPPING"]


def test_a_reload_of_a_program_that_is_not_ready_is_not_told(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.start(Job(name="slow", task=Opening))
    it.service.reloading()
    it.service.reloaded()
    OPEN.set()
    it.manager.wait_for("READY=1")

    assert it.manager.names() == ["READY"]


def test_the_watchdog_is_fed_twice_in_its_time_while_nothing_happens(scene: Callable[..., Scene]) -> None:
    it = scene(watchdog=0.1)
    it.start(Job(name="a", task=stay))

    it.manager.wait_for("WATCHDOG=1", count=5)


def test_the_watchdog_is_not_fed_while_the_thread_of_the_scheduler_hangs(scene: Callable[..., Scene]) -> None:
    it = scene(watchdog=0.2)
    it.start(Job(name="a", task=stay))
    it.manager.wait_for("WATCHDOG=1")
    hangs, release = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hangs.set()
        release.wait()

    caller = threading.Thread(target=lambda: it.scheduler._engine.query(None, hang))
    caller.start()
    assert hangs.wait(10)
    before = it.manager.lines.count("WATCHDOG=1")
    release.wait(1.0)  # five times as long as the watchdog
    after = it.manager.lines.count("WATCHDOG=1")
    release.set()
    caller.join()
    it.manager.wait_for("WATCHDOG=1", count=after + 1)

    assert after <= before + 1  # one may have been on its way


def test_a_job_in_trouble_is_named(scene: Callable[..., Scene]) -> None:
    def fail(_: Context) -> None:
        raise ValueError

    it = scene()
    it.start(Job(name="bad", task=fail), Job(name="a", task=stay))

    it.manager.wait_for("in trouble: bad")


def test_messages_wait_for_a_service_manager_that_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.01)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    address = str(tmp_path / "later")
    service = ServiceManager(NotifySocket(address))
    with Scheduler() as scheduler:
        scheduler.add(Job(name="a", task=stay))
        service.start(scheduler)
        scheduler.start()
        with FakeServiceManager(address) as manager:
            service.put()
            manager.wait_for("READY=1")
        service.close()


def test_without_a_service_manager_nothing_happens() -> None:
    threads = threading.active_count()
    warnings: list[str] = []
    service = service_manager({"LISTEN_FDS": "", "HOME": "/"}, warnings.append)
    with Scheduler() as scheduler:
        service.start(scheduler)
        assert not any(each.name == "taskloom-service" for each in threading.enumerate())
        for call in (service.put, service.stop_began, service.reloading, service.reloaded, service.close):
            call()

    assert warnings == []
    assert threading.active_count() <= threads
