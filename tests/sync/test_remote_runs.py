"""A token whose run executes in another process: who observes it, and what the run reports about its waits."""

from __future__ import annotations

import pytest

from taskloom.core.model import Reason, ReasonKind
from taskloom.sync.cancel_token import CancelToken

WHY = Reason(ReasonKind.USER, "enough")


class Sampler:
    """Counts how often it is resumed."""

    def __init__(self) -> None:
        self.is_idle = True
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


def test_an_observer_is_called_when_the_run_is_woken_and_not_by_the_request() -> None:
    token = CancelToken()
    calls: list[str] = []
    token.add_observer(lambda: calls.append("first"))
    token.add_observer(lambda: calls.append("second"))

    token.request(WHY)
    before = list(calls)
    token.wake()

    assert (before, calls) == ([], ["first", "second"])


def test_an_observer_that_comes_late_is_called_at_once() -> None:
    token = CancelToken()
    calls: list[str] = []
    token.request(WHY)
    token.wake()

    token.add_observer(lambda: calls.append("late"))

    assert calls == ["late"]


def test_an_observer_is_neither_a_wait_nor_a_callback() -> None:
    token = CancelToken()
    token.add_observer(lambda: None)

    assert (token.is_waiting, token.is_wakeable) == (False, False)
    assert token.take_callbacks() == []


@pytest.mark.parametrize("end", ["close", "detach", "leave_behind"])
def test_an_observer_is_forgotten_at_the_end_and_in_a_forked_child(end: str) -> None:
    token = CancelToken()
    calls: list[str] = []
    token.add_observer(lambda: calls.append("called"))

    if end == "close":
        token.close()
        token.add_observer(lambda: calls.append("after the end"))
    elif end == "detach":
        token.detach(WHY)
    else:
        token.leave_behind(1)
    token.wake()

    assert calls == []


def test_what_a_run_elsewhere_reports_counts_as_polls_and_waits() -> None:
    sampler = Sampler()
    token = CancelToken(sampler)

    token.update_remote(has_polled=True, is_waiting=True, is_wakeable=True)
    waiting = token.polls, token.is_waiting, token.is_wakeable, sampler.resumed
    token.update_remote(has_polled=False, is_waiting=False, is_wakeable=False)
    working = token.polls, token.is_waiting, token.is_wakeable, sampler.resumed

    assert waiting == (1, True, True, 0)
    assert working == (1, False, False, 1)


def test_a_stop_needs_no_samples_of_a_run_elsewhere() -> None:
    sampler = Sampler()
    token = CancelToken(sampler)
    token.request(WHY)

    token.update_remote(has_polled=True, is_waiting=False, is_wakeable=False)

    assert sampler.resumed == 0


def test_after_the_end_a_run_elsewhere_does_not_wait() -> None:
    token = CancelToken()
    token.update_remote(has_polled=True, is_waiting=True, is_wakeable=True)

    token.close()

    assert (token.is_waiting, token.is_wakeable) == (False, False)
