"""When a message is sent: gathered, rate-limited, retried with backoff, and bounded."""

from __future__ import annotations

import pytest

from taskloom.jobfile.fields.notify import Kind
from taskloom.notify.outbox import GATHER_SECONDS, MOST_ENTRIES, MOST_RETRY_AFTER, RETRY_SECONDS, Batch, Outbox
from taskloom.notify.troubles import Notice


def notice(job: str = "a", text: str = "boom", kind: Kind = Kind.FAILED) -> Notice:
    return Notice(kind, 0.0, text, job)


def taken(outbox: Outbox, now: float) -> Batch:
    batch = outbox.take(now)
    assert batch is not None
    return batch


def test_notices_that_come_together_are_one_message() -> None:
    outbox = Outbox(every=60.0)
    outbox.add(notice("a"), 10.0)
    outbox.add(notice("b"), 10.2)

    assert outbox.take(10.2) is None
    assert outbox.due_at() == 10.0 + GATHER_SECONDS
    assert [each.job for each, _ in taken(outbox, 10.0 + GATHER_SECONDS).entries] == ["a", "b"]


def test_further_ones_are_counted_and_come_with_the_next_message() -> None:
    outbox = Outbox(every=60.0)
    outbox.add(notice(), 0.0)
    taken(outbox, 1.0)
    outbox.succeed()
    for number in range(5):
        outbox.add(notice(text=f"boom {number}"), 2.0 + number)
    outbox.add(notice(kind=Kind.RECOVERED), 9.0)

    assert outbox.take(60.9) is None
    batch = taken(outbox, 61.0)
    assert [(each.text, count) for each, count in batch.entries] == [("boom 4", 5), ("boom", 1)]
    assert (batch.count, batch.kinds, batch.number) == (6, {Kind.FAILED: 5, Kind.RECOVERED: 1}, 2)


def test_without_a_rate_each_message_is_gathered_only() -> None:
    outbox = Outbox(every=0.0)
    outbox.add(notice(), 0.0)
    taken(outbox, GATHER_SECONDS)
    outbox.succeed()
    outbox.add(notice(), 1.0)

    assert outbox.due_at() == 1.0 + GATHER_SECONDS


def test_a_message_is_retried_with_growing_delays_and_lost_at_last() -> None:
    outbox = Outbox(every=1.0)
    outbox.add(notice(), 0.0)
    outbox.add(notice(), 0.0)
    now, delays = GATHER_SECONDS, []
    for _ in RETRY_SECONDS:
        taken(outbox, now)
        assert not outbox.fail(now, is_final=False)
        due = outbox.due_at()
        assert due is not None
        delays.append(due - now)
        assert outbox.take(due - 0.001) is None
        now = due
    assert taken(outbox, now).tries == len(RETRY_SECONDS) + 1
    assert outbox.fail(now, is_final=False)

    assert delays == list(RETRY_SECONDS)
    assert (outbox.lost, outbox.queued, outbox.sent, outbox.due_at()) == (2, 0, 0, None)


@pytest.mark.parametrize(
    ("retry_after", "delay"), [(0.0, RETRY_SECONDS[0]), (1.0, RETRY_SECONDS[0]), (45.0, 45.0), (1e9, MOST_RETRY_AFTER)]
)
def test_a_receiver_can_put_the_next_try_off(retry_after: float, delay: float) -> None:
    outbox = Outbox(every=1.0)
    outbox.add(notice(), 0.0)
    taken(outbox, 1.0)
    outbox.fail(1.0, is_final=False, retry_after=retry_after)

    assert outbox.due_at() == 1.0 + delay


def test_a_receiver_is_left_alone_also_after_a_message_that_is_lost() -> None:
    outbox, now = Outbox(every=1.0), 0.0
    outbox.add(notice(), now)
    is_lost = False
    while not is_lost:
        now = outbox.due_at() or now
        taken(outbox, now)
        is_lost = outbox.fail(now, is_final=False, retry_after=120.0)

    outbox.add(notice(), now)

    assert outbox.due_at() == now + 120.0


def test_a_failure_that_would_repeat_itself_is_not_retried() -> None:
    outbox = Outbox(every=1.0)
    outbox.add(notice(), 0.0)
    taken(outbox, 1.0)

    assert outbox.fail(1.0, is_final=True)
    assert (outbox.lost, outbox.queued) == (1, 0)


def test_what_comes_while_a_message_is_retried_waits_for_it() -> None:
    outbox = Outbox(every=0.0)
    outbox.add(notice("a"), 0.0)
    taken(outbox, 1.0)
    outbox.fail(1.0, is_final=False)
    outbox.add(notice("b"), 2.0)

    again = taken(outbox, 3.0)
    assert [each.job for each, _ in again.entries] == ["a"]
    outbox.succeed()
    assert [each.job for each, _ in taken(outbox, 3.0).entries] == ["b"]


def test_a_closed_outbox_sends_all_at_once_and_tries_once() -> None:
    outbox = Outbox(every=60.0)
    outbox.add(notice("a"), 0.0)
    taken(outbox, 1.0)
    outbox.fail(1.0, is_final=False)
    outbox.add(notice("b"), 1.0)
    outbox.close()

    taken(outbox, 1.0)
    assert outbox.fail(1.0, is_final=False)
    taken(outbox, 1.0)
    outbox.succeed()
    assert (outbox.lost, outbox.sent, outbox.due_at()) == (1, 1, None)


def test_ten_thousand_jobs_that_fail_are_one_message_of_bounded_size() -> None:
    outbox = Outbox(every=60.0)
    for number in range(10_000):
        outbox.add(notice(f"job-{number}"), 0.0)

    batch = taken(outbox, 1.0)
    assert (batch.count, len(batch.entries), batch.left_out) == (10_000, MOST_ENTRIES, 10_000 - MOST_ENTRIES)
    assert batch.entries[-1][0].job == "job-9999"
