"""The lines of a page about one job: its stack, or its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.control.client import Connection, Refused, job_path
from taskloom.control.reply_fields import Fields
from taskloom.text import printable, printable_lines, to_json
from taskloom.top.inbox import Look
from taskloom.top.stack_text import stack_lines
from taskloom.top.styled import Line, Span, Style, line

__all__ = ["lines_of"]

_FIRST = ("task", "path", "line", "daemon", "labels")


def lines_of(connection: Connection, look: Look) -> list[Line]:
    """Ask for it, and return its lines. Raises ControlError."""
    if look.kind == "stack":
        return stack_lines(connection.fields(connection.get("/v1/stacks", job=look.job)).objects("stacks"))
    status = connection.fields(connection.get(job_path(look.job))).object("job")
    why = connection.fields(connection.get(job_path(look.job, "why")))
    return [*map(_plain, printable_lines(why.text("text")).split("\n")), line(), *_status_lines(status),
            *_declaration_lines(_declaration(connection, look.job))]  # fmt: skip


def _plain(text: str) -> Line:
    return line(text)


def _declaration(connection: Connection, job: str) -> Mapping[str, Any]:
    try:
        return connection.fields(connection.get(job_path(job, "declaration"))).object("declaration").data
    except Refused as error:
        if error.code == "unknown-route":  # an older program
            return {}
        raise


def _status_lines(status: Fields) -> Iterator[Line]:
    outcomes = ", ".join(f"{name} {count}" for name, count in status.counts("outcomes"))
    facts = {
        "runs": f"{status.count('runs')}{f' ({outcomes})' if outcomes else ''}",
        "restarts": str(status.count("restarts") or ""),
        "missed": str(status.count("missed") or ""),
        "held": status.text("held"),
        "reason": status.text("reason"),
    }
    for name, text in facts.items():
        if text:
            yield _fact(name, text)
    for number, text in enumerate(status.text("error").split("\n") if status.text("error") else []):
        yield line(Span(f"{'error' if not number else '':<20}{printable(text)}", Style.BAD))
    yield line()


def _declaration_lines(declaration: Mapping[str, Any]) -> Iterator[Line]:
    """Yield a line for each field; one that holds a mapping has a line for each of its values."""
    names = [name for name in _FIRST if name in declaration]
    names += [name for name in declaration if name not in (*_FIRST, "name")]
    if names:
        yield line(Span("declared", Style.HEAD))
    for name in names:
        value = declaration[name]
        if isinstance(value, dict):
            yield from (_fact(f"{name}.{key}", _shown(each)) for key, each in value.items())
        elif value not in (None, [], ""):
            yield _fact(name, _shown(value))


def _fact(name: str, text: str) -> Line:
    return line(Span(f"{printable(name):<19} ", Style.DIM), printable(text))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)
