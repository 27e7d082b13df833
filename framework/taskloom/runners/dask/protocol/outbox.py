"""The commands for one worker: each goes out with every request, until one that carried it is answered."""

from __future__ import annotations

from typing import NamedTuple

from taskloom.runners.dask.protocol.messages import Command, CommandKind

__all__ = ["Outbox"]


class _Kept(NamedTuple):
    command: Command
    version: int


class Outbox:
    """The commands that are not confirmed. Of one kind for one execution the latest counts."""

    __slots__ = ("_kept", "_once", "_version")

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._once: list[Command] = []
        self._version = 0

    def add(self, command: Command) -> None:
        """Add a command, or replace the one of its kind."""
        if command.kind in CommandKind.SENT_ONCE:
            self._once.append(command)
            return
        self._version += 1
        self._kept[command.execution, command.kind] = _Kept(command, self._version)

    def take(self) -> tuple[int, tuple[Command, ...]]:
        """Return what the next request carries, and the version to confirm once it is answered."""
        once, self._once = self._once, []
        return self._version, (*(kept.command for kept in self._kept.values()), *once)

    def confirm(self, version: int) -> None:
        """Forget what the request with this version has carried."""
        for key in [key for key, kept in self._kept.items() if kept.version <= version]:
            del self._kept[key]

    def drop(self, execution: str) -> None:
        """Forget the commands for an execution that has ended."""
        for kind in CommandKind.ALL:
            self._kept.pop((execution, kind), None)
        self._once = [command for command in self._once if command.execution != execution]

    def __bool__(self) -> bool:
        return bool(self._kept or self._once)
