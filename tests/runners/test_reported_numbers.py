"""What a task reports is checked at the call, in a real run as in the fake context of tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom import Job, Outcome, Scheduler
from taskloom.testing import FakeContext

INF, NAN = float("inf"), float("nan")
Use = Callable[[Any], object]

REFUSED: dict[str, tuple[Use, str]] = {
    "a count of a float": (lambda ctx: ctx.count("x", 1.5), "cannot increase counter 'x' by 1.5: expected a whole"),
    "a count of inf": (lambda ctx: ctx.count("x", INF), "by inf: expected a whole number"),
    "a count of a bool": (lambda ctx: ctx.count("x", True), "by true: expected a whole number"),
    "a count of text": (lambda ctx: ctx.count("x", "3"), "by '3': expected a whole number"),
    "a count of nothing": (lambda ctx: ctx.count("x", None), "by null: expected a whole number"),
    "a counter without a name": (lambda ctx: ctx.count(None), "cannot use null as the name of a counter"),
    "a counter named by a number": (lambda ctx: ctx.count(3, 1), "cannot use 3 as the name of a counter: expected"),
    "a counter named by bytes": (lambda ctx: ctx.count(b"x"), "cannot use b'x' as the name of a counter"),
    "a progress of nan": (lambda ctx: ctx.progress(NAN), "cannot use nan as the progress: expected a finite number"),
    "a progress of text": (lambda ctx: ctx.progress("3"), "cannot use '3' as the progress"),
    "a progress of a bool": (lambda ctx: ctx.progress(True), "cannot use true as the progress"),
    "a progress of a complex": (lambda ctx: ctx.progress(1j), "cannot use 1j as the progress"),
    "a progress of a Decimal that is not a number": (lambda ctx: ctx.progress(Decimal("nan")), "as the progress"),
    "a progress that is too large": (lambda ctx: ctx.progress(Fraction(10**400)), "as the progress"),
    "a total of inf": (lambda ctx: ctx.progress(1, INF), "cannot use inf as the total: expected a finite number"),
    "a total of text": (lambda ctx: ctx.progress(1, "10"), "cannot use '10' as the total"),
    "a unit that is not text": (lambda ctx: ctx.progress(1, 2, 3), "cannot use 3 as the unit of a progress"),
    "a tracked total of inf": (lambda ctx: ctx.track([1], INF), "cannot use inf as the total"),
    "a tracked total of -inf": (lambda ctx: ctx.track(iter([1]), total=-INF), "cannot use -inf as the total"),
    "a tracked unit": (lambda ctx: ctx.track([1], unit=None), "cannot use null as the unit of a progress"),
}  # fmt: skip


def in_a_fake_context(use: Use) -> str:
    with FakeContext() as ctx, pytest.raises(TypeError) as caught:
        use(ctx)
    assert (dict(ctx.counts), ctx.progress_calls) == ({}, [])
    return str(caught.value)


def in_a_run(use: Use) -> str:
    def run(ctx: Any) -> None:
        use(ctx)

    with Scheduler() as scheduler:
        job = scheduler.add(Job(name="a", task=run))
        ended = job.start()
        assert ended.join(30)
        status = job.status()
    assert (status.counts, status.progress) == ({}, None)
    assert ended.error is not None
    assert ended.error.type == "TypeError"
    return ended.error.message


@every_case("place", [in_a_fake_context, in_a_run])
@every_case("case", REFUSED)
def test_what_is_not_a_number_is_refused_at_the_call(case: str, place: Callable[[Use], str]) -> None:
    use, text = REFUSED[case]

    assert text in place(use)


class Whole:
    """A whole number of another library, as numpy has them."""

    def __index__(self) -> int:
        return 3


def report_numbers(ctx: Any) -> None:
    ctx.count("x")
    ctx.count("x", -2)
    ctx.count("big", 10**30)
    ctx.count("other", Whole())
    ctx.progress(Whole(), Decimal("2.5"), "files")


def test_numbers_of_other_types_are_converted_so_that_json_has_them() -> None:
    with Scheduler() as scheduler:
        job = scheduler.add(Job(name="a", task=report_numbers))
        run = job.start()
        assert run.join(30)
        found = job.status().as_dict()

    assert run.outcome is Outcome.SUCCEEDED
    assert found["counts"] == {"x": -1, "big": 10**30, "other": 3}
    assert found["progress"] == {"done": 3, "total": 2.5, "unit": "files"}
    json.dumps(found, allow_nan=False)


def test_the_fake_context_takes_the_same_numbers() -> None:
    with FakeContext() as ctx:
        report_numbers(ctx)

    assert ctx.counts == {"x": -1, "big": 10**30, "other": 3}


def test_track_is_still_lazy() -> None:
    def items() -> Iterator[int]:
        taken.append(1)
        yield 1

    taken: list[int] = []
    with FakeContext() as ctx:
        tracked = ctx.track(items(), total=5)
        before = list(taken)

        assert list(tracked) == [1]
    assert before == []
