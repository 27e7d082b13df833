"""A table of small cases as one test: it checks every case, then shows those that failed, each with its name."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

Test = Callable[..., None]

# The outcomes of pytest are no `Exception`. A case cannot be skipped: that would hide the cases after it.
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


LONGEST_NAME = 200  # characters; some values are long texts


@dataclass(frozen=True)
class _Case:
    """The arguments of a case, and what makes its name: only a failure shows it, and some values have a bad `repr`."""

    arguments: dict[str, Any]
    names: tuple[Callable[[], str], ...] = ()

    def __str__(self) -> str:
        return "-".join(name() for name in self.names)


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
        inner = getattr(test, "table_of_cases", None) or _Table(test, [_Case({})])
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
    for number, case in enumerate(table.cases, start=1):
        try:
            table.test(**fixtures, **case.arguments)
        except FAILURES as error:
            name = f"{number}. {case}"
            error.add_note(f"the case: {name}")
            failed[name] = error
    if failed:
        message = f"{len(failed)} of {len(table.cases)} cases failed: {'; '.join(failed)}"
        raise BaseExceptionGroup(message, list(failed.values()))


def _joined(first: _Case, second: _Case) -> _Case:
    return _Case(first.arguments | second.arguments, first.names + second.names)


def _cases(
    names: list[str], values: list[Any], ids: Iterable[object] | Callable[[Any], object] | None
) -> Sequence[_Case]:
    given = [None] * len(values) if ids is None or callable(ids) else list(ids)
    return [_case(names, value, ids if callable(ids) else None, own) for value, own in zip(values, given, strict=True)]


def _case(names: list[str], value: Any, name_of: Callable[[Any], object] | None, own: object) -> _Case:
    is_param = isinstance(value, type(pytest.param()))
    if is_param and value.marks:
        raise TypeError(f"cannot mark a case, such as {value!r}; use pytest.mark.parametrize")
    row = tuple(value.values) if is_param else (value,) if len(names) == 1 else tuple(value)
    named = value.id if is_param and value.id is not None else own
    made = [partial(_name, each, name_of) for each in row] if named is None else [partial(str, named)]
    return _Case(dict(zip(names, row, strict=True)), tuple(made))


def _name(value: object, name_of: Callable[[Any], object] | None) -> str:
    own = None if name_of is None else name_of(value)
    if own is not None:
        return str(own)
    try:
        name = str(getattr(value, "__name__", None) or repr(value))
    except BaseException as error:  # noqa: BLE001 - some cases are objects that raise
        return f"a value of type {type(value).__name__}, whose repr raises {type(error).__name__}"
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
