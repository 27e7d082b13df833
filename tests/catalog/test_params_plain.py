"""Every value that is accepted without pydantic is accepted by pydantic, with the same result."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.catalog.params import ParamErrors, ParamShape
from taskloom.catalog.plain_params import accept_plain
from taskloom.catalog.pydantic_params import ParamModel
from taskloom.task import Duration, ParamInfo

ANNOTATIONS: list[Any] = [
    Any,
    int,
    float,
    str,
    bool,
    Duration,
    int | None,
    Duration | None,
    Literal["a", 1, True],
    list[int],
    list[str | None],
    list[list[float]],
]
CONSTRAINTS: list[tuple[tuple[str, Any], ...]] = [
    (),
    (("ge", 0),),
    (("gt", 0), ("lt", 10)),
    (("le", 3),),
    (("min_length", 1),),
    (("max_length", 2),),
]

plain_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 12)
    | st.floats()
    | st.text()
    | st.sampled_from(["a", "", "5s", "200ms", "1h30m", "5x", "no", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


def same(one: object, other: object) -> bool:
    """Return whether two values are equal in value and type; NaN equals itself."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def model_of(annotation: Any, constraints: tuple[tuple[str, Any], ...]) -> ParamModel | None:
    """Return the model of one such parameter, or None if pydantic has no such constraint for the type."""
    try:
        return ParamModel([ParamShape("p", annotation, info=ParamInfo(constraints=constraints))])
    except TypeError:
        return None


CASES = [
    (annotation, constraints, model)
    for annotation in ANNOTATIONS
    for constraints in CONSTRAINTS
    if (model := model_of(annotation, constraints)) is not None
]


@settings(deadline=None)  # the first example pays for building a model
@given(case=st.sampled_from(CASES), value=plain_data)
def test_pydantic_accepts_every_plainly_accepted_value_unchanged(
    case: tuple[Any, tuple[tuple[str, Any], ...], ParamModel], value: object
) -> None:
    annotation, constraints, model = case
    shape = ParamShape("p", annotation, info=ParamInfo(constraints=constraints))

    values = accept_plain({"p": shape}, {"p": value})

    if values is not None:
        try:
            expected = model.check({"p": value})
        except (ParamErrors, TypeError) as error:
            pytest.fail(f"pydantic refuses {value!r} for {annotation} {constraints}: {error}")
        assert same(values["p"], expected["p"])


@every_case(
    ("annotation", "value", "expected"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (bool, True, True),
        (str, "x", "x"),
        (Duration, "1m", 60.0),
        (Duration | None, None, None),
        (Duration | None, 2, 2.0),
        (Literal["a", "b"], "b", "b"),
        (list[int], [1, 2], [1, 2]),
    ],
)
def test_the_everyday_types_are_taken_without_pydantic(annotation: Any, value: object, expected: object) -> None:
    assert accept_plain({"p": ParamShape("p", annotation)}, {"p": value}) == {"p": expected}


@pytest.mark.parametrize(
    "given_params",
    [{"p": "5"}, {"p": True}, {"p": 1, "q": 2}, {"p": None}, {"p": [1]}],
)
def test_every_mistake_is_left_to_pydantic(given_params: dict[str, Any]) -> None:
    assert accept_plain({"p": ParamShape("p", int)}, given_params) is None
