"""Why there is no history, or why it cannot be used at the moment; each error is one sentence.

Jobs run without it: the program shows the sentence, and tries again.
"""

from __future__ import annotations

from typing import NamedTuple

from taskloom.errors import TaskloomError

__all__ = [
    "BadTarget",
    "HistoryAbsent",
    "HistoryCorrupt",
    "HistoryError",
    "HistoryFailed",
    "HistoryHeld",
    "HistoryOutdated",
    "HistoryTooNew",
    "HistoryUnusable",
    "Holder",
    "PackageMissing",
]


class Holder(NamedTuple):
    """Another program that writes the same history."""

    pid: int
    """0 if it is not known."""
    where: str = ""
    """The address of its machine; "" for this one."""
    session: str = ""
    """How its database names it, if it does."""

    def __str__(self) -> str:
        who = f"pid {self.pid}" if self.pid else "another program"
        if self.session:
            who += f" ({self.session})"
        return f"{who} on {self.where}" if self.where else who


class HistoryError(TaskloomError):
    """The history cannot be used. Programs catch this one."""


class BadTarget(HistoryError):
    """A path or URL of a history cannot be used; its text shows no password."""

    def __init__(self, shown: str, reason: str) -> None:
        self.shown, self.reason = shown, reason
        super().__init__(f"cannot use {shown} as the history: {reason}")


class PackageMissing(HistoryError):
    """A package of one of Taskloom's extras is not installed, or cannot be imported."""

    def __init__(self, package: str, extra: str, reason: str = "") -> None:
        self.package, self.extra = package, extra
        why = f"cannot be imported ({reason})" if reason else "is not installed"
        super().__init__(f"cannot use the history: {package} {why}; pip install 'taskloom[{extra}]'")


class HistoryUnusable(HistoryError):
    """A file, a folder or a server cannot be used as it is: the user has to change it."""

    def __init__(self, shown: str, reason: str) -> None:
        self.shown, self.reason = shown, reason
        super().__init__(f"cannot open the history {shown}: {reason}")


class HistoryAbsent(HistoryError):
    """There is nothing to read yet: no program has written to it."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        super().__init__(f"cannot read the history {shown}: there is none yet")


class HistoryCorrupt(HistoryError):
    """The file is damaged, or is not a database."""

    def __init__(self, shown: str, reason: str) -> None:
        self.shown, self.reason = shown, reason
        super().__init__(f"cannot use the history {shown}: {reason}")


class HistoryFailed(HistoryError):
    """The database has refused a command, or does not answer. It may work later: a full disk, a server that is gone."""

    def __init__(self, shown: str, reason: str) -> None:
        self.shown, self.reason = shown, reason
        super().__init__(f"cannot use the history {shown} at the moment: {reason}")


class HistoryHeld(HistoryError):
    """Another program writes the history of this name."""

    def __init__(self, name: str, holder: Holder) -> None:
        self.name, self.holder = name, holder
        super().__init__(f"cannot write the history of {name}: {holder} holds it")


class HistoryTooNew(HistoryError):
    """A newer Taskloom has written the history. It is left as it is."""

    def __init__(self, shown: str, revision: str, known: str) -> None:
        self.shown, self.revision, self.known = shown, revision, known
        super().__init__(
            f"cannot use the history {shown}: a newer Taskloom has written it (revision {revision}, the newest known "
            f"here is {known})"
        )


class HistoryOutdated(HistoryError):
    """An older Taskloom has written the history, and a reader must not change it."""

    def __init__(self, shown: str, revision: str, known: str) -> None:
        self.shown, self.revision, self.known = shown, revision, known
        super().__init__(
            f"cannot read the history {shown}: an older Taskloom has written it (revision {revision} instead of "
            f"{known}), and the next run with this one brings it up to date"
        )
