"""A table of cases as one test: every case is checked, and each that fails is named."""

from __future__ import annotations

import inspect

import pytest
from tests.support.every_case import every_case


def test_every_case_is_checked_and_those_that_fail_are_named() -> None:
    checked = []

    @every_case("number, text", [(1, "a"), (2, "b"), (3, "c")], ids=["one", "two", "three"])
    def test(number: int, text: str) -> None:
        checked.append((number, text))
        assert number == 2, f"{number} is wrong"

    with pytest.raises(ExceptionGroup) as caught:
        test()

    assert checked == [(1, "a"), (2, "b"), (3, "c")]
    assert caught.value.message == "2 of 3 cases failed: 1. one; 3. three"
    assert [str(error).splitlines()[0] for error in caught.value.exceptions] == ["1 is wrong", "3 is wrong"]
    assert [error.__notes__ for error in caught.value.exceptions] == [["the case: 1. one"], ["the case: 3. three"]]


@pytest.mark.parametrize("outcome", [pytest.fail, pytest.skip])
def test_a_case_that_fails_or_skips_the_test_does_not_hide_the_next(outcome: type) -> None:
    checked = []

    @every_case("number", [1, 2])
    def test(number: int) -> None:
        checked.append(number)
        outcome("enough")

    with pytest.raises(BaseExceptionGroup, match=r"2 of 2 cases failed: 1\. 1; 2\. 2"):
        test()

    assert checked == [1, 2]


def test_a_keyboard_interrupt_ends_the_test_at_once() -> None:
    checked = []

    @every_case("number", [1, 2])
    def test(number: int) -> None:
        checked.append(number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test()

    assert checked == [1]


def test_two_tables_make_the_product_and_fixtures_and_marks_stay() -> None:
    checked = []

    @pytest.mark.long
    @every_case("left", ["a", "b"])
    @every_case("right", [1, 2])
    def test(left: str, right: int, fixture: str) -> None:
        checked.append((left, right, fixture))

    test(fixture="f")

    assert checked == [("a", 1, "f"), ("b", 1, "f"), ("a", 2, "f"), ("b", 2, "f")]
    assert list(inspect.signature(test).parameters) == ["fixture"]
    assert [mark.name for mark in test.pytestmark] == ["long"]  # type: ignore[attr-defined]


class Unspeakable:
    def __repr__(self) -> str:
        raise SystemExit(4)


def test_a_case_is_named_by_its_number_and_its_id_its_function_or_its_value() -> None:
    @every_case("value", [pytest.param(1, id="own"), len, "x", 2.5, 2.5, Unspeakable(), "y" * 1000])
    def test(value: object) -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        test()

    assert caught.value.message == (
        "7 of 7 cases failed: 1. own; 2. len; 3. 'x'; 4. 2.5; 5. 2.5; "
        f"6. a value of type Unspeakable, whose repr raises SystemExit; 7. '{'y' * 199}..."
    )


def test_the_names_may_come_from_a_function() -> None:
    @every_case("value, other", [(1, 2)], ids=lambda value: f"<{value}>" if value == 1 else None)
    def test(value: int, other: int) -> None:
        raise ValueError(value, other)

    with pytest.raises(ExceptionGroup, match=r"cases failed: 1\. <1>-2"):
        test()


def test_wrong_tables_are_refused() -> None:
    def test(number: int) -> None:
        """Is never called."""

    with pytest.raises(TypeError, match="cannot check every case of number: there is no case"):
        every_case("number", [])
    with pytest.raises(TypeError, match=r"cannot mark a case, such as .*; use pytest\.mark\.parametrize"):
        every_case("number", [pytest.param(1, marks=pytest.mark.long)])
    with pytest.raises(TypeError, match="cannot give nmuber to test: it has no such parameter"):
        every_case("nmuber", [1])(test)
    with pytest.raises(ValueError, match="zip"):
        every_case("number", [1, 2], ids=["one"])
