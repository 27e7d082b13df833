"""The receivers of a program with their threads: what reaches them, and that they never delay anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.child_programs import run_program
from tests.support.webhook_server import HANG, WebhookServer, reply

from taskloom.clock import mono
from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Moment, Outcome
from taskloom.jobfile.fields.notify import Kind, Receivers, ReceiverSetting
from taskloom.notify.message import Sender
from taskloom.notify.notifier import Notifier
from taskloom.notify.outbox import RETRY_SECONDS
from taskloom.notify.receiver import Receiver, Surroundings
from taskloom.notify.transport import NotSent
from taskloom.observe.masking import Masker
from taskloom.sync.latch import Latch

OK, BUSY = reply("200 OK"), reply("500 Busy")
# Reached only in failures.
PATIENCE_SECONDS = 20.0


class HandClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> Moment:
        return Moment(self.seconds, self.seconds)


class Scene:
    """What the receivers are given, and what they have logged."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.labels: dict[str, tuple[str, ...]] = {}
        self.history: str | None = None
        self.masker = Masker()
        self.clock = HandClock()

    def around(self) -> Surroundings:
        return Surroundings(
            Sender("line-3", "abc", "here", 1),
            self.masker.mask_data,
            lambda line, level: self.logged.append(f"{level} {line}"),
            lambda: self.labels,
            lambda: self.history,
            self.clock,
        )


class FakeTransport:
    """Takes messages, or fails as scripted. `before`: called with each message."""

    def __init__(self, *failures: BaseException | None, before: Callable[[], object] = lambda: None) -> None:
        self.sent: list[Any] = []
        self.tried = [Latch() for _ in range(20)]
        self.failures = list(failures)
        self.before = before
        self.is_aborted = Latch()
        self._count = 0

    def send(self, number: str, body: bytes, until: float) -> None:
        count, self._count = self._count, self._count + 1
        try:
            self.before()
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None:
                raise failure
            self.sent.append(json.loads(body))
        finally:
            self.tried[count].open()

    def abort(self) -> None:
        self.is_aborted.open()


def failed(job: str = "a", message: str = "boom") -> Event:
    error = ErrorInfo("ValueError", message, f"Traceback\nValueError: {message}\n")
    return Event(7, 1000.0, 1000.0, EventName.ENDED, job, f"{job}#1", 1, None, Outcome.FAILED, 1.5, error)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def started(scene: Scene) -> Iterator[Callable[..., Receiver]]:
    receivers: list[Receiver] = []

    def start(transport: FakeTransport, **fields: Any) -> Receiver:
        setting = ReceiverSetting(command=("x",), **{"every": 0.0, **fields})
        made = Receiver(setting, 1, transport, scene.around())
        receivers.append(made)
        made.start()
        return made

    yield start
    for each in receivers:
        each.close(mono())
        assert each.wait(PATIENCE_SECONDS)


def pass_time(scene: Scene, receiver: Receiver, seconds: float) -> None:
    """Move the clock, and have the thread of the receiver look at it."""
    scene.clock.seconds += seconds
    receiver.history_changed()


def test_an_event_reaches_the_receiver_as_one_json_object(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport()
    scene.labels = {"a": ("night",)}
    receiver = started(transport)

    receiver.put(failed())
    pass_time(scene, receiver, 1.0)

    assert transport.tried[0].wait(PATIENCE_SECONDS)
    [message] = transport.sent
    [entry] = message.pop("notifications")
    event = entry.pop("event")
    assert message == {
        "format": 1,
        "id": "abc.1",
        "text": "[line-3] a: failed after 1.5 s: ValueError: boom",
        "program": {"name": "line-3", "start": "abc", "host": "here", "pid": 1},
        "count": 1,
        "kinds": {"failed": 1},
        "left_out": 0,
    }
    assert entry == {
        "kind": "failed",
        "at": "1970-01-01T00:16:40.000000Z",
        "text": "failed after 1.5 s: ValueError: boom",
        "count": 1,
        "job": "a",
        "labels": ["night"],
    }
    assert (event["event"], event["outcome"], event["error"]["type"]) == ("ended", "failed", "ValueError")


def test_only_jobs_with_one_of_the_labels_are_told_of(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport()
    scene.labels = {"a": ("day", "x"), "b": ("dusk",), "c": ()}
    receiver = started(transport, labels=frozenset({"day", "night"}))

    for job in ("b", "c", "unknown", "a"):
        receiver.put(failed(job))
    pass_time(scene, receiver, 1.0)

    assert transport.tried[0].wait(PATIENCE_SECONDS)
    assert [each["job"] for each in transport.sent[0]["notifications"]] == ["a"]


def test_a_secret_is_masked_wherever_it_is(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport(NotSent("the peer said hunter22"))
    scene.masker.learn(["hunter22"])
    receiver = started(transport)

    receiver.put(failed(message="no login with hunter22"))
    pass_time(scene, receiver, 1.0)
    assert transport.tried[0].wait(PATIENCE_SECONDS)
    pass_time(scene, receiver, RETRY_SECONDS[0])
    assert transport.tried[1].wait(PATIENCE_SECONDS)

    assert "hunter22" not in json.dumps(transport.sent) + "".join(scene.logged)
    assert "no login with **********" in transport.sent[0]["text"]


def test_an_outage_is_logged_once_and_so_is_its_end(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport(NotSent("down"), NotSent("still down"))
    receiver = started(transport)

    receiver.put(failed())
    for number, seconds in enumerate((1.0, *RETRY_SECONDS[:2])):
        pass_time(scene, receiver, seconds)
        assert transport.tried[number].wait(PATIENCE_SECONDS)
    receiver.close(mono())
    assert receiver.wait(PATIENCE_SECONDS)

    assert scene.logged == [
        "WARNING cannot send notifications to command x: down; it is tried again",
        "INFO notifications reach command x again",
    ]
    assert (receiver.status.sent, receiver.status.lost, receiver.status.reason) == (1, 0, "")


def test_a_dead_receiver_costs_a_counter(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport(*(NotSent("down") for _ in range(5)))
    receiver = started(transport)

    receiver.put(failed())
    receiver.put(failed("b"))
    for number, seconds in enumerate((1.0, *RETRY_SECONDS)):
        pass_time(scene, receiver, seconds)
        assert transport.tried[number].wait(PATIENCE_SECONDS)
    receiver.close(mono())
    assert receiver.wait(PATIENCE_SECONDS)

    assert receiver.status == ("command x", "down", 0, 0, 2)


def test_a_bug_or_a_lack_of_memory_loses_one_message(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport(MemoryError())
    receiver = started(transport)

    receiver.put(failed())
    pass_time(scene, receiver, 1.0)
    assert transport.tried[0].wait(PATIENCE_SECONDS)
    receiver.put(failed("b"))
    pass_time(scene, receiver, 1.0)
    assert transport.tried[1].wait(PATIENCE_SECONDS)
    receiver.close(mono())
    assert receiver.wait(PATIENCE_SECONDS)

    assert (receiver.status.sent, receiver.status.lost) == (1, 1)


def test_the_history_is_asked_for_when_it_has_changed(scene: Scene, started: Callable[..., Receiver]) -> None:
    transport = FakeTransport()
    receiver = started(transport)

    scene.history = "disk full"
    receiver.history_changed()
    while not receiver.status.queued:  # its thread asks
        receiver.history_changed()
    pass_time(scene, receiver, 1.0)

    assert transport.tried[0].wait(PATIENCE_SECONDS)
    assert transport.sent[0]["text"] == "[line-3] the history is degraded: disk full"


def test_a_receiver_that_does_not_want_the_history_never_asks(scene: Scene, started: Callable[..., Receiver]) -> None:
    scene.history = "disk full"
    receiver = started(FakeTransport(), on=frozenset({Kind.FAILED}))

    receiver.history_changed()
    receiver.close(mono() + PATIENCE_SECONDS)

    assert receiver.wait(PATIENCE_SECONDS)
    assert receiver.status.queued == receiver.status.sent == 0


# -- all receivers, with a real server


@pytest.fixture
def real(scene: Scene) -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def start(*settings: ReceiverSetting) -> Notifier:
        notifier = Notifier(Receivers(settings), scene.around()._replace(clock=Surroundings._field_defaults["clock"]))
        made.append(notifier)
        notifier.start()
        return notifier

    yield start
    for each in made:
        each.finish(mono())


def test_what_is_queued_is_sent_at_the_end_without_waiting_for_the_rate(real: Callable[..., Notifier]) -> None:
    with WebhookServer([OK]) as server:
        notifier = real(ReceiverSetting(webhook=server.url, every=3600.0))
        notifier.put(failed("a"))
        server.wait(lambda posted: len(posted) == 1)
        notifier.put(failed("b"))
        [status] = notifier.finish(mono() + PATIENCE_SECONDS)

    assert (status.sent, status.lost, status.queued) == (2, 0, 0)
    assert [json.loads(each.body)["kinds"] for each in server.posted] == [{"failed": 1}, {"failed": 1}]


def test_ten_thousand_events_are_two_messages_and_none_is_forgotten(real: Callable[..., Notifier]) -> None:
    with WebhookServer([OK]) as server:
        notifier = real(ReceiverSetting(webhook=server.url, every=3600.0))
        notifier.put(failed())
        server.wait(lambda posted: len(posted) == 1)
        for number in range(10_000):
            notifier.put(failed(f"job-{number % 3000}"))
        notifier.finish(mono() + PATIENCE_SECONDS)

    messages = [json.loads(each.body) for each in server.posted]
    assert [each["count"] for each in messages] == [1, 10_000]
    assert messages[1]["left_out"] + sum(each["count"] for each in messages[1]["notifications"]) == 10_000
    assert len(server.posted[1].body) < 100_000


def test_a_receiver_that_hangs_delays_neither_the_others_nor_the_end(real: Callable[..., Notifier]) -> None:
    with WebhookServer([HANG]) as hanging, WebhookServer([OK]) as server:
        notifier = real(ReceiverSetting(webhook=hanging.url), ReceiverSetting(webhook=server.url))
        notifier.put(failed())
        hanging.wait(lambda posted: len(posted) == 1)
        server.wait(lambda posted: len(posted) == 1)
        began = mono()
        first, second = notifier.finish(mono() + 0.2)
        took = mono() - began

    assert (first.lost, first.reason, second.sent) == (1, "the program is ending", 1)
    assert took < PATIENCE_SECONDS


def test_an_endpoint_that_is_busy_gets_the_message_later(
    real: Callable[..., Notifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.notify.outbox.RETRY_SECONDS", (0.01,))
    with WebhookServer([BUSY, OK]) as server:
        notifier = real(ReceiverSetting(webhook=server.url))
        notifier.put(failed())
        posted = server.wait(lambda posted: len(posted) == 2)

    assert posted[0].body == posted[1].body
    assert posted[0].headers["Taskloom-Notification"] == posted[1].headers["Taskloom-Notification"]


def test_a_notifier_that_was_not_started_ends_at_once(scene: Scene) -> None:
    [status] = Notifier(Receivers([ReceiverSetting(command=("x",))]), scene.around()).finish(mono())

    assert status.sent == 0


def test_nothing_of_tls_is_imported_for_a_command(child_python: Callable[[str], str]) -> None:
    text = """
        import sys
        from taskloom.jobfile.fields.notify import ReceiverSetting
        from taskloom.notify.notifier import transport_of
        transport_of(ReceiverSetting(command=("x",)))
        print("ssl" in sys.modules)
    """

    assert child_python(text) == "False\n"


def test_a_program_without_receivers_imports_nothing_of_it(child_python: Callable[[str], str]) -> None:
    text = """
        import sys
        import taskloom.cli.program.program
        from taskloom.cli.program.notifications import ProgramNotifications
        ProgramNotifications().open(None, None, None, None, None)
        print([name for name in sys.modules if name == "ssl" or name.startswith("taskloom.notify")])
    """

    assert child_python(text) == "[]\n"


@pytest.fixture
def child_python(child_env: dict[str, str]) -> Callable[[str], str]:
    return lambda text: run_program(text, child_env).stdout
