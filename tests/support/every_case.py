"""A table of small cases as one test: it checks every case, then shows those that failed, each with its name."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

Test = Callable[..., None]

# The outcomes of pytest are no `Exception`. A case cannot be skipped: that would hide the cases after it.
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


@dataclass(frozen=True)
class _Case:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class _Table:
    """The test without its decorators, and the cases of all of them."""

    test: Test
    cases: Sequence[_Case]


def every_case(
    names: str | Sequence[str],
    values: Iterable[Any],
    *,
    ids: Iterable[object] | Callable[[Any], object] | None = None,
) -> Callable[[Test], Test]:
    """Call the test with each of the values, as `pytest.mark.parametrize` does, but as one test.

    pytest takes some milliseconds a test, more than most cases. All cases share the fixtures of the test, so it must
    not have fixtures that a case changes. Several decorators of one test make the product of their cases.

    Raises TypeError for a case with marks, and for a table without cases.
    """
    split = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = _cases(split, list(values), ids)
    if not cases:
        raise TypeError(f"cannot check every case of {', '.join(split)}: there is no case")

    def decorate(test: Test) -> Test:
        inner = getattr(test, "table_of_cases", None) or _Table(test, [_Case("", {})])
        table = _Table(inner.test, [_joined(*pair) for pair in itertools.product(inner.cases, cases)])
        given = set(table.cases[0].arguments)
        signature = inspect.signature(table.test)
        unknown = sorted(given - set(signature.parameters))
        if unknown:
            raise TypeError(f"cannot give {', '.join(unknown)} to {table.test.__name__}: it has no such parameter")

        @functools.wraps(table.test)
        def check_every_case(**fixtures: Any) -> None:
            _check(table, fixtures)

        check_every_case.__dict__.update(test.__dict__)  # the marks of pytest
        check_every_case.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[each for name, each in signature.parameters.items() if name not in given]
        )
        check_every_case.table_of_cases = table  # type: ignore[attr-defined]
        return check_every_case

    return decorate


def _check(table: _Table, fixtures: dict[str, Any]) -> None:
    failed: dict[str, BaseException] = {}
    for case in table.cases:
        try:
            table.test(**fixtures, **case.arguments)
        except FAILURES as error:
            error.add_note(f"the case: {case.name}")
            failed[case.name] = error
    if failed:
        message = f"{len(failed)} of {len(table.cases)} cases failed: {'; '.join(failed)}"
        raise BaseExceptionGroup(message, list(failed.values()))


def _joined(first: _Case, second: _Case) -> _Case:
    return _Case("-".join(filter(None, (first.name, second.name))), first.arguments | second.arguments)


def _cases(
    names: list[str], values: list[Any], ids: Iterable[object] | Callable[[Any], object] | None
) -> Sequence[_Case]:
    given = [None] * len(values) if ids is None or callable(ids) else list(ids)
    cases = []
    for value, own in zip(values, given, strict=True):
        is_param = isinstance(value, type(pytest.param()))
        if is_param and value.marks:
            raise TypeError(f"cannot mark a case, such as {value!r}; use pytest.mark.parametrize")
        row = tuple(value.values) if is_param else (value,) if len(names) == 1 else tuple(value)
        named = value.id if is_param and value.id is not None else own
        name = "-".join(_name(each, ids) for each in row) if named is None else str(named)
        cases.append(_Case(name, dict(zip(names, row, strict=True))))
    return _unique(cases)


def _name(value: object, ids: object) -> str:
    own = ids(value) if callable(ids) else None
    return str(own) if own is not None else getattr(value, "__name__", None) or repr(value)


def _unique(cases: Sequence[_Case]) -> Sequence[_Case]:
    """Return the cases, each with a name of its own: those that share a name also get a number."""
    counts = Counter(case.name for case in cases)
    return [
        case if counts[case.name] == 1 else _Case(f"{case.name} (case {number})", case.arguments)
        for number, case in enumerate(cases, start=1)
    ]
