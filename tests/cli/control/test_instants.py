"""The beginning that `--since` names, and the time until something."""

from __future__ import annotations

import time

import pytest

from taskloom.cli.control.instants import format_instant, read_instant, read_since, until

NOW = 1_795_000_000.0  # 2026-11-18T11:06:40Z


@pytest.fixture(autouse=True)
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("10m", "2026-11-18T10:56:40.000000Z"),
        ("1h30m", "2026-11-18T09:36:40.000000Z"),
        ("90", "2026-11-18T11:05:10.000000Z"),
        ("1.5", "2026-11-18T11:06:38.500000Z"),
        ("2026-11-18T11:00:00Z", "2026-11-18T11:00:00.000000Z"),
        ("2026-11-18T12:00:00+01:00", "2026-11-18T11:00:00.000000Z"),
        ("2026-11-18T16:30", "2026-11-18T11:00:00.000000Z"),
        ("2026-11-18 16:30", "2026-11-18T11:00:00.000000Z"),
        ("2026-11-18", "2026-11-17T18:30:00.000000Z"),
        ("0a1b2c3d.42", "0a1b2c3d.42"),
        ("12345678.42", "12345678.42"),
    ],
)
def test_a_beginning_is_a_duration_an_instant_or_an_id(text: str, since: str) -> None:
    assert read_since(text, NOW) == since


@pytest.mark.parametrize("text", ["", "soon", "-5m", "1e400", "9999999d", "2026-13-01", "a.b", "inf", "nan", "x" * 99])
def test_anything_else_is_refused_with_the_legal_forms(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 10m, an instant such as 2026-01-31T12:00"):
        read_since(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-99-01T00:00:00Z", "0000-01-01", "9999-12-31T23:59:59Z", "0001-01-01T00:00Z"]
)
def test_a_text_that_is_not_an_instant_is_none(text: str) -> None:
    assert read_instant(text) is None


def test_an_instant_is_read_as_it_was_written() -> None:
    assert read_instant(format_instant(NOW + 0.125)) == NOW + 0.125


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3.0, "0s"), (0.04, "0s"), (9.94, "9.9s"), (59.7, "1m"), (252.4, "4m12s"), (90_061.0, "1d1h1m")],
)
def test_the_time_until_something_is_short(seconds: float, text: str) -> None:
    assert until(seconds) == text
