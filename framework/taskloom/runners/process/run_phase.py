"""The phases of a run in a process, one after the other.

- QUEUED: too many others are starting. A cancel ends the run here.
- LAUNCHING: a helper thread starts the supervisor.
- OPEN: the descriptors are watched.
- CLOSING: no process of the run is left. The supervisor ends, and what is left in the pipes is read.
- REPORTING: the last log lines are on their way; the end of the run is reported after them.
- OVER.
"""

from __future__ import annotations

from taskloom.core.enums import FastEnum, plain_members

__all__ = ["BEFORE", "Phase"]


@plain_members
class Phase(FastEnum):
    """The steps of a connection, in order."""

    QUEUED = "queued"
    LAUNCHING = "launching"
    OPEN = "open"
    CLOSING = "closing"
    REPORTING = "reporting"
    OVER = "over"


BEFORE = (Phase.QUEUED, Phase.LAUNCHING)
"""The phases before the processes are there."""
