"""The live stack of a run, with the frames of the user's own code marked."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.cli.control.stack_frames import marked_frames, stack_head
from taskloom.control.reply_fields import Fields
from taskloom.top.styled import Line, Span, Style, line

__all__ = ["stack_lines"]


def stack_lines(stacks: Sequence[Fields]) -> list[Line]:
    """Return the lines of the stacks of an answer. Raises BadReply."""
    found: list[Line] = []
    for each in stacks:
        found += [*([line()] if found else []), line(Span(stack_head(each), Style.HEAD))]
        found += [
            line(Span(text, Style.OWN if is_own else Style.PLAIN)) for text, is_own in marked_frames(each.text("text"))
        ]
    return found or [line(Span("no run of this job is executing", Style.DIM))]
