"""The thread that sends, on a socket of the test: what is sent, in which order, and when it drops something."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from tests.support.driven_worker import REASON

from taskloom.core.endings import How
from taskloom.runners.gauges import Progress
from taskloom.runners.wire import Ended, Gauged, LineReader, Logged, Polled, Ready, Started, Up, decode_up
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.worker.heartbeat import Heartbeat, WatchedGauges
from taskloom.worker.sender import MOST_QUEUED, Sender

END = Ended(How.RETURNED, None, False, False)


class Sent:
    """A sender, the run whose heartbeat it sends, and the other end of its socket."""

    def __init__(self) -> None:
        self.theirs, self.ours = socket.socketpair()
        self.theirs.settimeout(30.0)
        self.closed = Latch()
        self.control = OwnDescriptor(self.ours.detach())
        self.sender = Sender(self.control, self.closed.open)
        self.token = CancelToken(self.sender)
        self.gauges = WatchedGauges(self.sender)
        self.lines = LineReader()
        self.messages: list[Up] = []

    def start(self) -> None:
        """Start the thread and the sampling."""
        self.sender.start(Heartbeat(self.token, self.gauges))
        self.sender.begin_sampling()

    def read(self, count: int) -> list[Up]:
        """Return the next messages."""
        while len(self.messages) < count:
            self.messages += [decode_up(line) for line in self.lines.feed(self.theirs.recv(65536))]
        found, self.messages = self.messages[:count], self.messages[count:]
        return found


@pytest.fixture
def sent() -> Iterator[Sent]:
    """Closed at the end; the thread of the sender, which ends only with its process, is a daemon."""
    made = Sent()
    yield made
    made.sender.end(END)
    made.theirs.close()
    made.sender.flush()
    made.control.close()


def test_what_was_reported_before_the_end_is_sent_before_it(sent: Sent) -> None:
    sent.start()

    sent.sender.send(Started(True))
    sent.gauges.progress = Progress(3, None, "")
    sent.gauges.count("seen", 2)
    sent.sender.send(Ready())
    sent.sender.end(END)

    messages = sent.read(4)
    assert messages[-1] == END
    assert [message for message in messages if not isinstance(message, Polled | Gauged)] == [
        Started(True),
        Ready(),
        END,
    ]
    assert Gauged(Progress(3, None, ""), {"seen": 2}) in messages


def test_a_run_that_waits_is_not_sampled_until_it_reports_something(sent: Sent) -> None:
    sent.start()
    waiter = sent.token.add_waiter()
    assert sent.read(1) == [Polled(0, True, False)]
    while not sent.sender.is_idle:
        pass

    sent.gauges.count("seen", 1)

    assert sent.read(1) == [Gauged(None, {"seen": 1})]
    sent.token.remove_waiter(waiter)
    assert sent.read(1) == [Polled(1, False, False)]


def test_log_records_are_dropped_and_counted_while_the_program_does_not_read(sent: Sent) -> None:
    text = "x" * (MOST_QUEUED // 16)
    for _ in range(20):
        sent.sender.log(Logged(20, "a", text, 1.0))  # nothing is sent yet

    sent.start()

    *_, last = sent.read(17)
    assert isinstance(last, Logged)
    assert last.message == "4 log records of this run were dropped: the program did not take them in time"


def test_after_the_end_of_the_program_everything_is_dropped(sent: Sent) -> None:
    sent.theirs.close()
    sent.start()

    sent.sender.send(Ready())
    sent.sender.flush()
    sent.sender.send(Ready())
    sent.sender.flush()

    assert not sent.closed.is_open


def test_a_socket_that_the_task_has_closed_is_noticed_and_its_number_is_not_used(sent: Sent) -> None:
    number = sent.control.number
    other, file = os.pipe()
    os.dup2(file, number)  # the task closes the socket, and its number becomes that of a file of the task
    sent.start()

    sent.sender.send(Ready())
    sent.sender.flush()

    assert sent.closed.is_open
    assert sent.sender.is_closed_by_task
    os.close(file)
    os.close(number)
    assert os.read(other, 100) == b""  # nothing was written
    os.close(other)


def test_a_forked_child_sends_nothing(sent: Sent) -> None:
    sent.start()

    sent.sender.disconnect()  # as the hook in the child does
    sent.sender.send(Ready())
    sent.sender.flush()

    assert sent.theirs.recv(100) == b""


def test_the_polls_of_a_run_that_goes_on_waiting_are_not_a_change(sent: Sent) -> None:
    sent.start()
    token = CancelToken()
    heartbeat = Heartbeat(token, sent.gauges)
    token.add_waiter()
    assert heartbeat.poll_changes() == [Polled(0, True, False)]

    token.polls += 5
    assert heartbeat.poll_changes() == []
    token.on_cancel(lambda: None)
    assert heartbeat.poll_changes() == [Polled(5, True, True)]
    token.request(REASON)
    token.release_waits()
    assert heartbeat.poll_changes() == [Polled(5, False, True)]
    assert heartbeat.poll_changes() == []


def test_without_its_thread_all_is_sent_by_the_thread_that_flushes(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(RuntimeError):
        sent.start()
    sent.sender.send(Ready())
    sent.sender.end(END)

    sent.sender.flush()

    assert sent.read(2) == [Ready(), END]
