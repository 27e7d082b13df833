"""The errors of a client: no program, several of them, no answer, a refusal, an answer that cannot be read.

Each text is one sentence. The verbs make an exit code of the class, and print `SeveralPrograms` with a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.errors import TaskloomError
from taskloom.text import plural

if TYPE_CHECKING:
    from taskloom.control.finding import Program

__all__ = ["BadReply", "ConnectionLost", "ControlError", "NoAnswer", "NoProgram", "Refused", "SeveralPrograms"]


class ControlError(TaskloomError):
    """A running program could not be asked."""


class NoProgram(ControlError):
    """No running program was found, or none at the given place."""


class SeveralPrograms(ControlError):
    """More than one program is meant. Name one of `programs`."""

    def __init__(self, programs: Sequence[Program], wanted: str | None = None) -> None:
        self.programs, self.wanted = tuple(programs), wanted
        by = "--socket PATH" if len({each.name for each in programs}) == 1 else "--name NAME"
        meant = f" named {wanted!r}" if wanted is not None else ""
        super().__init__(f"cannot choose one of {plural(len(programs), 'running program')}{meant}: add {by}")


class NoAnswer(ControlError):
    """The program did not answer in time. `pid` is 0 if it is unknown."""

    may_act_later = False
    """Whether it was sent a request that changes something: it reads that once it goes on."""

    def __init__(self, pid: int, where: str, advice: str = "") -> None:
        self.pid, self.where = pid, where
        who = f"pid {pid}" if pid else f"the program at {where}"
        super().__init__(f"{who} does not answer{f': {advice}' if advice else ''}")


class ConnectionLost(ControlError):
    """The connection ended before the answer was complete: the program has ended, or has refused the caller."""

    def __init__(self, pid: int, where: str) -> None:
        self.pid, self.where = pid, where
        who = f"pid {pid}" if pid else f"the program at {where}"
        super().__init__(f"cannot read the whole answer of {who}: it closed the connection")


class BadReply(ControlError):
    """An answer that Taskloom does not give: no HTTP, no JSON, or of another shape."""

    def __init__(self, who: str, why: str) -> None:
        self.who, self.why = who, why
        super().__init__(f"cannot read the answer of {who}: {why}")


class Refused(ControlError):
    """The program refused a request. `status` is that of HTTP, `code` a word for programs; `body` the whole answer."""

    def __init__(
        self, status: int, code: str, message: str, near: Sequence[str] = (), body: Mapping[str, Any] | None = None
    ) -> None:
        self.status, self.code, self.message, self.near = status, code, message, tuple(near)
        self.body: Mapping[str, Any] = {} if body is None else body
        super().__init__(message)
