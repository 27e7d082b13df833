"""The message to a receiver: one JSON object, with secrets masked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskloom.core.events import format_wall
from taskloom.notify.outbox import Batch
from taskloom.notify.troubles import Notice
from taskloom.text import plural, to_json

__all__ = ["Sender", "message_of", "test_message"]

FORMAT = 1
"""Grows when a member changes its meaning; new members may come at any time."""
# The text of a whole message names this number of entries.
_MOST_LINES = 5


class Sender(NamedTuple):
    """The program whose notifications they are."""

    name: str
    start: str
    """The id of this start of the program."""
    host: str
    pid: int


def message_of(
    batch: Batch, sender: Sender, labels: Mapping[str, tuple[str, ...]], mask: Callable[[Any], Any]
) -> tuple[str, bytes]:
    """Return the id of the message, and its JSON. Each try to send it has the same."""
    kinds = {kind.value: count for kind, count in batch.kinds.items()}
    found = [_entry(notice, count, labels) for notice, count in batch.entries]
    data = _message(sender, str(batch.number), _text(batch), kinds, found)
    return data["id"], to_json(mask({**data, "left_out": batch.left_out})).encode()


def test_message(sender: Sender, at: float) -> tuple[str, bytes]:
    """Return the message of `taskloom notify --test`."""
    text = "this is a test of notifications"
    data = _message(
        sender, "test", text, {"test": 1}, [{"kind": "test", "at": format_wall(at), "text": text, "count": 1}]
    )
    return data["id"], to_json(data).encode()


def _message(
    sender: Sender, number: str, text: str, kinds: Mapping[str, int], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "id": f"{sender.start}.{number}",
        "text": f"[{sender.name}] {text}",
        "program": sender._asdict(),
        "count": sum(kinds.values()),
        "kinds": kinds,
        "left_out": 0,
        "notifications": entries,
    }


def _entry(notice: Notice, count: int, labels: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "kind": notice.kind.value,
        "at": format_wall(notice.at),
        "text": notice.text,
        "count": count,
    }
    if notice.job is not None:
        entry |= {"job": notice.job, "labels": list(labels.get(notice.job, ()))}
    if notice.after:
        entry["after"] = [kind.value for kind in notice.after]
    if notice.event is not None:
        entry["event"] = dict(notice.event)
    return entry


def _text(batch: Batch) -> str:
    """Return all of it as text, for receivers that show one field, such as a chat."""
    entries = batch.entries
    lines = [_line(notice, count) for notice, count in entries[-_MOST_LINES:]]
    more = batch.count - sum(count for _, count in entries[-_MOST_LINES:])
    if more:
        lines.append(f"and {plural(more, 'more notification')}")
    return "\n".join(lines)


def _line(notice: Notice, count: int) -> str:
    times = f" (the last of {count:,})" if count > 1 else ""
    return f"{notice.job}: {notice.text}{times}" if notice.job is not None else f"{notice.text}{times}"
