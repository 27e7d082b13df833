"""The values of an answer, checked for their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.control.client_errors import BadReply
from taskloom.control.reply_fields import Fields

READERS: dict[str, tuple[Callable[[Fields], Any], Any, str]] = {
    "text": (lambda fields: fields.text("a"), "", "a text"),
    "number": (lambda fields: fields.number("a"), None, "a number"),
    "count": (lambda fields: fields.count("a"), 0, "a number"),
    "flag": (lambda fields: fields.flag("a"), False, "true or false"),
    "texts": (lambda fields: fields.texts("a"), [], "a list"),
    "objects": (lambda fields: fields.objects("a"), [], "a list"),
    "object": (lambda fields: fields.object("a").data, {}, "an object"),
    "counts": (lambda fields: list(fields.counts("a")), [], "an object"),
}
VALUES: dict[str, Any] = {"text": "x", "number": 5, "flag": True, "list": ["x"], "object": {"x": 5}}
LEGAL = {
    "text": ["text"], "number": ["number"], "count": ["number"], "flag": ["flag"], "texts": ["list"],
    "objects": [], "object": ["object"], "counts": ["object"],
}  # fmt: skip


@every_case("reader", READERS)
@every_case("data", [{}, {"a": None}], ids=["missing", "null"])
def test_a_value_that_is_missing_is_an_empty_one(reader: str, data: dict[str, Any]) -> None:
    read, empty, _ = READERS[reader]

    assert read(Fields(data)) == empty


@every_case("value", VALUES)
@every_case("reader", READERS)
def test_a_value_of_another_type_is_an_error_in_words(reader: str, value: str) -> None:
    read, _, expected = READERS[reader]
    fields = Fields({"a": VALUES[value]}, "pid 7")

    if value in LEGAL[reader]:
        assert read(fields)
        return
    with pytest.raises(BadReply) as caught:
        read(fields)
    assert str(caught.value).startswith("cannot read the answer of pid 7: a is ")
    assert f", expected {expected}" in str(caught.value)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")], ids=["huge", "inf", "nan"])
def test_a_number_that_no_duration_can_be_is_an_error(value: float) -> None:
    with pytest.raises(BadReply, match="expected a number"):
        Fields({"a": value}).number("a")


def test_a_list_with_an_item_of_another_type_is_an_error() -> None:
    fields = Fields({"a": ["x", 5]})

    with pytest.raises(BadReply, match="expected a list of texts"):
        fields.texts("a")
    with pytest.raises(BadReply, match="expected a list of objects"):
        fields.objects("a")
