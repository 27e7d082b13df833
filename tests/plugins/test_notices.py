"""Warnings at a limited rate."""

from __future__ import annotations

from taskloom.testing import FakeContext
from taskloom_plugins.notices import INTERVAL_SECONDS, Notices


def test_a_flood_of_warnings_becomes_one_warning_and_a_number() -> None:
    ctx, now = FakeContext(), [0.0]
    notices = Notices(ctx.log, clock=lambda: now[0])

    for i in range(1000):
        notices.warn("peers", "refused %d", i)
    now[0] = INTERVAL_SECONDS
    notices.warn("peers", "refused %d", 1000)
    now[0] = 2 * INTERVAL_SECONDS
    notices.warn("peers", "refused %d", 1001)

    assert ctx.messages == ["refused 0", "refused 1000 (and 999 more that were not logged)", "refused 1001"]
    assert {record.levelname for record in ctx.records} == {"WARNING"}


def test_a_warning_of_one_kind_does_not_suppress_another_kind() -> None:
    ctx = FakeContext()
    notices = Notices(ctx.log, clock=lambda: 0.0)

    notices.warn("peers", "a")
    notices.warn("frames", "b")

    assert ctx.messages == ["a", "b"]


def test_the_number_of_suppressed_warnings_is_logged_at_the_end() -> None:
    ctx = FakeContext()
    notices = Notices(ctx.log, clock=lambda: 0.0)
    for _ in range(3):
        notices.warn("refused peers", "refused")

    notices.close()
    notices.close()

    assert ctx.messages == ["refused", "2 more warnings about refused peers were not logged"]
