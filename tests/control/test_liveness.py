"""Questions to a scheduler whose thread answers when the test says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskloom.control.exchange import Deferred, Reply
from taskloom.control.liveness import LATE_SECONDS, MOST_REQUESTS, Liveness
from taskloom.core.model import Phase
from taskloom.scheduler.snapshots import Jobs, Snapshot

EMPTY = Snapshot(1, Phase.OPEN, None, [])
WELL = Reply(200, {})


class HeldScheduler:
    """Keeps the questions until `answer`."""

    def __init__(self) -> None:
        self.questions: list[Callable[[Snapshot], object]] = []
        self.is_gone = False

    def request_snapshot(self, done: Callable[[Snapshot], object], jobs: Jobs = None) -> None:
        if self.is_gone:
            raise RuntimeError("no thread")
        self.questions.append(done)

    def answer(self) -> None:
        self.questions.pop(0)(EMPTY)


class Asked:
    """A liveness over a held scheduler, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.scheduler = HeldScheduler()
        self.liveness = Liveness(self.scheduler, lambda: self.now)

    def ask(self) -> Deferred:
        return self.liveness.request(lambda _: WELL, lambda late: Reply(503, {"late": late}), within=0.5)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_the_reply_is_made_where_it_is_read_and_once(asked: Asked) -> None:
    made: list[Snapshot] = []

    def make(snapshot: Snapshot) -> Reply:
        made.append(snapshot)
        return WELL

    answer = asked.liveness.request(make, lambda late: Reply(503, {}), within=0.5)
    changes: list[bool] = []
    answer.on_change = lambda: changes.append(True)

    asked.scheduler.answer()

    assert (made, changes) == ([], [True])
    assert (answer.reply, answer.reply, made) == (WELL, WELL, [EMPTY])


def test_a_reply_that_is_late_says_by_how_much(asked: Asked) -> None:
    first = asked.ask()
    asked.now += 7.0
    second = asked.ask()

    first.expire(100.5)
    second.expire(107.5)

    assert first.reply == Reply(503, {"late": 0.5})
    assert second.reply == Reply(503, {"late": 7.5})


def test_a_thread_that_has_answered_is_late_by_its_oldest_question(asked: Asked) -> None:
    asked.ask()
    asked.now += 3.0
    asked.ask()
    asked.now += 1.0

    asked.scheduler.answer()

    assert asked.liveness.late_by(asked.now) == 1.0
    asked.scheduler.answer()
    assert asked.liveness.late_by(asked.now + LATE_SECONDS) == 0.0


def test_an_answer_after_the_deadline_changes_nothing(asked: Asked) -> None:
    answer = asked.ask()
    answer.expire(101.0)

    asked.scheduler.answer()

    assert answer.reply == Reply(503, {"late": 0.5})


def test_a_thread_that_never_answers_gets_a_bounded_number_of_questions(asked: Asked) -> None:
    answers = [asked.ask() for _ in range(MOST_REQUESTS + 50)]

    for answer in answers:
        answer.expire(101.0)

    assert len(asked.scheduler.questions) == MOST_REQUESTS
    assert {answer.reply.status for answer in answers if answer.reply} == {503}


def test_a_question_that_cannot_be_put_is_not_waited_for(asked: Asked) -> None:
    asked.scheduler.is_gone = True

    with pytest.raises(RuntimeError, match="no thread"):
        asked.ask()

    assert asked.liveness.late_by(asked.now + 60.0) == 0.0
