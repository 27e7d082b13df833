"""Many clients steer many jobs at once: the events keep the rules, no command is lost, and the stop is on time."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any, NamedTuple

import pytest
from tests.support.asked_api import START, AskedApi, until_stopped
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.clock import mono
from taskloom.control.client import Connection, Refused, find
from taskloom.control.exchange import Caller, Reply, Request, ServerSentEvent
from taskloom.control.serving import serve
from taskloom.core.events import EventName
from taskloom.core.policies import Schedule

SOON = 120.0  # bounds a hang alone
VERBS = ("start", "stop", "restart", "pause", "resume", "reset")
STOP_SECONDS = 30.0
SMALL, LARGE = (20, 3, 15), pytest.param(1000, 8, 500, marks=pytest.mark.long)


class Told(NamedTuple):
    """How a command was answered. `pid`: the process that the scheduler has recorded as its caller."""

    status: int
    pid: int


class Client:
    """Sends random commands, and notes how each was answered."""

    def __init__(self, number: int, send: Callable[[str], Told], jobs: list[str], commands: int) -> None:
        self.told: list[tuple[str, Told]] = []
        self._random = Random(number)
        self._send, self._jobs, self._commands = send, jobs, commands
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        for _ in range(self._commands):
            verb, job = self._random.choice(VERBS), self._random.choice(self._jobs)
            self.told.append((verb, self._send(f"/v1/jobs/{job}/{verb}")))


def at_once(ctx: Any) -> None:
    """End at once."""


def begin(scheduler: WatchedScheduler, jobs: int) -> list[str]:
    """Declare and start jobs of several kinds; return their names."""
    names = [f"job{number}" for number in range(jobs)]
    for number, name in enumerate(names):
        policies: dict[str, Any] = {} if number % 3 else {"schedule": Schedule(every=0.5, text="every 500ms")}
        scheduler.add_function(name, until_stopped if number % 2 else at_once, manual=bool(number % 3), **policies)
    scheduler.start()
    return names


def end(scheduler: WatchedScheduler, clients: list[Client], commands: int) -> None:
    """Wait for the clients, stop on time, and check that each command was answered and did what its answer says."""
    for client in clients:
        client.thread.join(SOON)
        assert not client.thread.is_alive()
    told = [each for client in clients for each in client.told]
    assert len(told) == commands
    assert {answer.status for _, answer in told} == {200, 409}
    begun = mono()
    report = scheduler.finish(STOP_SECONDS)  # the checker of the events finds nothing
    assert report.is_clean
    assert mono() - begun < STOP_SECONDS + 5
    starts = Counter(answer.pid for verb, answer in told if verb == "start" and answer.status == 200)
    reasons = [event.reason.text for event in scheduler.events if event.event is EventName.QUEUED and event.reason]
    begun_by = {pid: sum(text.startswith("start") and f"pid {pid})" in text for text in reasons) for pid in starts}
    assert begun_by == dict(starts)


def check_stream(events: list[ServerSentEvent]) -> int:
    """Check that each event came once and in order, or is in a gap that was told; return the number of the last one."""
    last = None
    for event in events:
        if event.event == "gap":
            assert event.data["why"] == "lost"
            last = int(event.data["to"].partition(".")[2]) - 1
        elif event.event != "end":
            assert last is None or event.data["seq"] == last + 1
            last = event.data["seq"]
    assert events[-1].event == "end"
    assert last is not None
    return last


@pytest.mark.parametrize(("jobs", "clients", "commands"), [SMALL, LARGE])
@pytest.mark.timeout(600)
def test_no_command_is_lost(jobs: int, clients: int, commands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client is answered at a time, as by the server."""
    scheduler, noted, turn = WatchedScheduler(log=False), list[str](), threading.Lock()
    asked = AskedApi(scheduler)
    monkeypatch.setattr(asked.api._state, "log", lambda line, _: noted.append(line))
    names = begin(scheduler, jobs)
    asked.flush_events()
    stream = asked.open_stream("/v1/events", {"since": f"{START}.{scheduler.last_seq}"})

    def send_as(pid: int) -> Callable[[str], Told]:
        def send(path: str) -> Told:
            with turn:
                reply = asked.api.answer(Request("POST", path, {}, {}, b"", Caller(0, pid)))
            assert isinstance(reply, Reply)
            return Told(reply.status, pid)

        return send

    callers = [Client(number, send_as(10_000 + number), names, commands) for number in range(clients)]
    end(scheduler, callers, clients * commands)

    asked.flush_events()
    events: list[ServerSentEvent] = []
    while (taken := stream.take(1000)) is not None:
        events.extend(taken)
    assert check_stream(events) == asked.api.events.last_seq
    assert len(noted) == sum(told.status == 200 for client in callers for _, told in client.told)


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder with a short path: that of a socket has at most 107 bytes."""
    path = tempfile.mkdtemp(prefix="tl-", dir="/tmp")
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(("jobs", "clients", "commands"), [SMALL, LARGE])
@pytest.mark.timeout(600)
def test_no_command_is_lost_on_the_way_through_a_socket(jobs: int, clients: int, commands: int, folder: str) -> None:
    scheduler = WatchedScheduler(log=False)
    names = begin(scheduler, jobs)
    with serve(scheduler, name="storm", socket=f"{folder}/storm.sock"):
        program = find(socket=f"{folder}/storm.sock")

        def send(path: str) -> Told:
            try:
                Connection(program, SOON).post(path)
            except Refused as refused:
                return Told(refused.status, os.getpid())
            return Told(200, os.getpid())

        events: list[ServerSentEvent] = []

        def follow() -> None:
            with closing(Connection(program, SOON).follow("/v1/events")) as follower:
                follower.open()
                is_open.set()
                while not events or events[-1].event != "end":
                    event = follower.take(SOON)
                    assert event is not None
                    events.append(event)

        is_open = threading.Event()
        follower = threading.Thread(target=follow)
        follower.start()
        assert is_open.wait(SOON)
        callers = [Client(number, send, names, commands) for number in range(clients)]
        end(scheduler, callers, clients * commands)
        follower.join(SOON)

    assert not follower.is_alive()
    assert check_stream(events) == scheduler.last_seq
