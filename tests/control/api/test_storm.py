"""Many clients steer many jobs at once: the events keep the rules, no command is lost, and the stop is on time."""

from __future__ import annotations

import threading
from collections import Counter
from random import Random
from typing import Any

import pytest
from tests.support.asked_api import START, AskedApi, events_of, until_stopped
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.clock import mono
from taskloom.control.exchange import Caller, Reply, Request
from taskloom.core.events import EventName
from taskloom.core.policies import Schedule

SOON = 300.0  # bounds a hang alone
VERBS = ("start", "stop", "restart", "pause", "resume", "reset")
STOP_SECONDS = 30.0


class Client:
    """Sends random commands, and notes how each was answered. One client is answered at a time, as by the server."""

    def __init__(self, number: int, asked: AskedApi, turn: threading.Lock, jobs: list[str], commands: int) -> None:
        self.answers: Counter[int] = Counter()
        self.acted: list[tuple[str, int]] = []
        self._random = Random(number)
        self._caller = Caller(0, 10_000 + number)
        self._asked, self._turn, self._jobs, self._commands = asked, turn, jobs, commands

    def work(self) -> None:
        """Send all commands."""
        for _ in range(self._commands):
            verb, job = self._random.choice(VERBS), self._random.choice(self._jobs)
            request = Request("POST", f"/v1/jobs/{job}/{verb}", {}, {}, b"", self._caller)
            with self._turn:
                reply = self._asked.api.answer(request)
            assert isinstance(reply, Reply)
            self.answers[reply.status] += 1
            if reply.status == 200:
                self.acted.append((f"{verb} {job}", reply.body["seq"]))


@pytest.mark.parametrize(
    ("jobs", "clients", "commands"), [(20, 3, 15), pytest.param(1000, 8, 500, marks=pytest.mark.long)]
)
@pytest.mark.timeout(600)
def test_no_command_is_lost(jobs: int, clients: int, commands: int) -> None:
    scheduler = WatchedScheduler(log=False)
    asked, turn = AskedApi(scheduler), threading.Lock()
    noted: list[str] = []
    asked.api._log.put_info = noted.append  # type: ignore[assignment,method-assign]
    names = [f"job{number}" for number in range(jobs)]
    for number, name in enumerate(names):
        policies: dict[str, Any] = {} if number % 3 else {"schedule": Schedule(every=0.5, text="every 500ms")}
        scheduler.add_function(name, until_stopped if number % 2 else at_once, manual=bool(number % 3), **policies)
    scheduler.start()
    asked.flush_events()
    stream = asked.open_stream("/v1/events", {"since": f"{START}.{scheduler.last_seq}"})
    callers = [Client(number, asked, turn, names, commands) for number in range(clients)]
    threads = [threading.Thread(target=caller.work) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()

    answers = sum((caller.answers for caller in callers), Counter())
    assert answers.total() == clients * commands
    assert set(answers) <= {200, 409}
    assert len(noted) == answers[200] > 0
    begun = mono()
    report = scheduler.finish(STOP_SECONDS)  # the checker of the events finds nothing
    assert report.is_clean
    assert mono() - begun < STOP_SECONDS + 5
    asked.flush_events()
    _check_effects(scheduler, callers)
    _check_stream(stream, asked)


def _check_effects(scheduler: WatchedScheduler, callers: list[Client]) -> None:
    """Each command to start that was accepted has its own run, which says who requested it."""
    queued = Counter(
        event.reason.text for event in scheduler.events if event.event is EventName.QUEUED and event.reason is not None
    )
    for caller in callers:
        who = f"(uid 0, pid {caller._caller.pid})"
        starts = sum(action.startswith("start ") for action, _ in caller.acted)
        assert sum(count for text, count in queued.items() if text.startswith("start, by") and who in text) == starts


def _check_stream(stream: Any, asked: AskedApi) -> None:
    """A client that follows gets each event once and in order, and is told of those that it was too late for."""
    seqs: list[int] = []
    while (taken := stream.take(1000)) is not None:
        for event in taken:
            if event.event == "end":
                continue
            if event.event == "gap":
                assert event.data["why"] == "lost"
                seqs.append(int(event.data["to"].partition(".")[2]) - 1)
            else:
                assert not seqs or event.data["seq"] == seqs[-1] + 1
                seqs.append(event.data["seq"])
    assert seqs[-1] == asked.api.events.last_seq
    assert events_of(asked.open_stream("/v1/events"))[-1].event == "end"


def at_once(ctx: Any) -> None:
    """End at once."""
