from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.runners.error_info import LONGEST_TEXT, describe


class Plain(Exception):
    """An ordinary error."""


class Nested:
    class Inner(Exception):
        """An error whose class is nested in another class."""


class MuteString(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class MuteRepr(Exception):
    def __repr__(self) -> str:
        raise SystemExit(4)


class NoString(Exception):
    def __str__(self) -> Any:
        return 42  # noqa: PLE0307 - what plugins do


class Text(str):
    __slots__ = ()


class OddText(Exception):
    def __str__(self) -> str:
        return Text("odd")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - SystemExit and all
        return caught


@every_case(
    ("error", "kind", "message"),
    [
        (Plain("oops"), "Plain", "oops"),
        (Plain(), "Plain", ""),
        (Nested.Inner("oops"), "Nested.Inner", "oops"),
        (KeyError("name"), "KeyError", "'name'"),
        (FileNotFoundError(2, "No such file", "a"), "FileNotFoundError", "[Errno 2] No such file: 'a'"),
        (SystemExit(3), "SystemExit", "3"),
        (MuteString("oops"), "MuteString", "(its message cannot be read: ValueError)"),
        (NoString("oops"), "NoString", "(its message cannot be read: TypeError)"),
        (MuteRepr("oops"), "MuteRepr", "oops"),
        (OddText(), "OddText", "odd"),
    ],
)  # fmt: skip
def test_every_error_is_described_even_if_its_own_methods_raise(error: BaseException, kind: str, message: str) -> None:
    info = describe(raised(error))

    assert (info.type, info.message) == (kind, message)
    assert type(info.message) is str
    assert info.traceback.startswith("Traceback (most recent call last):\n")
    assert "raise error" in info.traceback


def test_both_ends_of_a_long_text_are_kept() -> None:
    info = describe(raised(Plain("<" + "x" * 10_000_000 + ">")))

    assert len(info.message) <= LONGEST_TEXT
    assert len(info.traceback) <= LONGEST_TEXT
    assert info.message.startswith("<xxx")
    assert info.message.endswith("xxx>")
    assert "... 9934530 characters left out ..." in info.message
    assert info.traceback.startswith("Traceback")


@pytest.mark.parametrize("length", [LONGEST_TEXT - 1, LONGEST_TEXT, LONGEST_TEXT + 1])
def test_only_a_text_that_is_too_long_is_shortened(length: int) -> None:
    info = describe(Plain("x" * length))

    assert len(info.message) <= LONGEST_TEXT
    assert ("left out" in info.message) is (length > LONGEST_TEXT)


def test_the_causes_are_included() -> None:
    try:
        try:
            raise Plain("first")
        except Plain as first:
            raise Plain("second") from first
    except Plain as error:
        info = describe(error)

    assert info.message == "second"
    assert info.traceback.index("Plain: first") < info.traceback.index("Plain: second")


def test_cyclic_causes_are_included_once() -> None:
    one, two = Plain("one"), Plain("two")
    one.__cause__, two.__cause__ = two, one

    info = describe(raised(one))

    assert info.traceback.count("Plain: one") == 1
    assert info.traceback.count("Plain: two") == 1


def test_all_errors_of_a_group_are_included() -> None:
    group = ExceptionGroup("both", [Plain("left"), MuteString("right")])

    info = describe(raised(group))

    assert (info.type, info.message) == ("ExceptionGroup", "both (2 sub-exceptions)")
    assert "Plain: left" in info.traceback
    assert "MuteString" in info.traceback


def test_a_long_chain_of_causes_is_shortened() -> None:
    error = Plain("0")
    for number in range(1, 2000):
        following = Plain(str(number))
        following.__cause__ = error
        error = following

    info = describe(raised(error))

    assert len(info.traceback) <= LONGEST_TEXT
    assert info.message == "1999"


def test_an_endless_recursion_is_shortened() -> None:
    def left(depth: int) -> None:
        right(depth + 1)

    def right(depth: int) -> None:
        left(depth + 1)

    try:
        left(0)
    except RecursionError as error:
        info = describe(error)

    assert info.message == "maximum recursion depth exceeded"
    assert 0 < len(info.traceback) <= LONGEST_TEXT


def test_an_error_is_described_even_if_no_stack_is_left_for_it() -> None:
    def deepest(error: BaseException) -> Any:
        try:
            return deepest(error)
        except RecursionError:
            return describe(error)

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        info = deepest(Plain("deep down"))
    finally:
        sys.setrecursionlimit(before)

    assert info.type == "Plain"


def test_an_error_is_described_when_no_module_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process without a free descriptor."""

    def fail() -> None:
        raise OSError(24, "Too many open files")

    def call() -> None:
        fail()

    monkeypatch.setitem(sys.modules, "traceback", None)
    try:
        call()
    except OSError as error:
        info = describe(error)

    assert info.message == "[Errno 24] Too many open files"
    first, *places, last = info.traceback.splitlines()
    assert first == "Traceback (most recent call last):"
    assert [place.rpartition(" in ")[2] for place in places] == ["call", "fail"]
    assert last == "OSError: [Errno 24] Too many open files"
