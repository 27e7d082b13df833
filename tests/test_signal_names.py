"""Signals as users write them, and as messages show them."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.errors import UnknownSignal
from taskloom.signal_names import SIGNAL_NAMES, near_signal, read_signal, require_signal, signal_name


@every_case(
    ("written", "number"),
    [
        ("HUP", 1), ("SIGHUP", 1), ("sighup", 1), (" Hup ", 1), ("1", 1), (1, 1), (signal.SIGTERM, 15), ("64", 64),
        ("RTMIN", 34), ("RTMIN+1", 35), ("SIGRTMAX-2", 62), ("rtmax", 64),
    ],
    ids=str,
)  # fmt: skip
def test_a_signal_is_a_name_or_a_number(written: str | int, number: int) -> None:
    assert read_signal(written) == number
    assert require_signal(written) == number


@every_case(
    "written",
    [0, -1, 65, 32, 33, 10**30, True, False, None, 1.0, b"HUP", ["HUP"],
     "", " ", "SIG", "SIGSIGHUP", "0", "-1", "+1", "1.0", "1e1", "\u0661",
     "\u00b2", "9" * 5000, "x" * 5000, "RTMIN+99", "RTMIN-1", "SIG_DFL", "SIG_BLOCK", "HUP\x00"],
    ids=lambda written: repr(written)[:20],
)  # fmt: skip
def test_all_else_is_not_a_signal(written: object) -> None:
    assert read_signal(written) is None
    with pytest.raises(UnknownSignal) as caught:
        require_signal(written)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("written", "near"),
    [("HPU", "HUP"), ("SIGHPU", "SIGHUP"), ("sigtrem", "SIGTERM"), ("terminate", "TERM"), ("zzz", None), (99, None)],
    ids=str,
)
def test_a_near_name_is_named(written: str | int, near: str | None) -> None:
    assert near_signal(written) == near


def test_each_signal_has_a_name_that_can_be_read_again() -> None:
    for number in signal.valid_signals():
        assert read_signal(signal_name(number)) == number
    assert [read_signal(name) for name in SIGNAL_NAMES] == sorted(int(each) for each in signal.Signals)


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (34, "SIGRTMIN"), (37, "SIGRTMIN+3"), (99, "signal 99")])
def test_a_number_has_a_name(number: int, name: Any) -> None:
    assert signal_name(number) == name
