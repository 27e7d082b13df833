"""Applies the entries of agents to the runs of a placement."""

from __future__ import annotations

from taskloom.runners.dask.protocol.assignments import Assignments
from taskloom.runners.dask.protocol.link import Link, LinkState
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Entry, EntryKind, Reply
from taskloom.runners.dask.protocol.placement_io import LinesDropped, Placed, Reported

__all__ = ["Entries"]


class Entries:
    """Each entry of each agent counts once, in order."""

    def __init__(self, assignments: Assignments) -> None:
        self._all = assignments

    def apply(self, link: Link, reply: Reply, next_seq: int, now: float) -> None:
        """Apply the entries of a reply that are new; none if entries before them are missing."""
        if reply.after > link.applied:
            return
        for entry in reply.entries:
            if entry.number <= link.applied:
                continue
            link.applied = entry.number
            if entry.kind == EntryKind.CLAIM:
                self._take_claim(link, entry, next_seq)
            elif entry.kind == EntryKind.GONE:
                self._take_gone(link, entry.execution)
            elif entry.kind == EntryKind.LEFT:
                self._take_left(link, entry.execution, now)
            else:
                self._take_report(link, entry)

    def _take_claim(self, link: Link, entry: Entry, next_seq: int) -> None:
        run = self._all.submitted.get(str(entry.data.get("run")))
        if run is None or link.state is LinkState.LEFT:
            self._all.send(link, Command(CommandKind.DENY, entry.execution))
        else:
            self._all.grant(link, entry.execution, run, next_seq)

    def _take_gone(self, link: Link, execution: str) -> None:
        run = link.executions.get(execution)
        if run is not None:
            self._all.end(run, entered=True)
        else:
            self._all.release(link, execution)

    def _take_left(self, link: Link, execution: str, now: float) -> None:
        link.outbox.drop(execution)
        run = link.executions.get(execution)
        if run is None:
            self._all.release(link, execution)
        elif run.is_cancelled:
            self._all.end(run, entered=False)
        else:
            self._all.pause(run, now)

    def _take_report(self, link: Link, entry: Entry) -> None:
        if entry.kind == EntryKind.LOG:
            self._count_line(link, entry.line)
        run = link.executions.get(entry.execution)
        if run is None:
            return
        process = entry.data.get("process")
        pid = process.get("pid") if isinstance(process, dict) else None
        if isinstance(pid, int) and pid != run.pid:
            run.pid = pid
            self._all.actions.append(Placed(run.id, link.worker, pid))
        self._all.actions.append(Reported(run.id, entry.data))

    def _count_line(self, link: Link, line: int) -> None:
        before, link.lines = link.lines, line
        if before is not None and line > before + 1:
            self._all.actions.append(LinesDropped(link.worker, line - before - 1))
