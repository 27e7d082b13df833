"""Why a request is refused: its status, a code for programs, and a sentence for people.

`REFUSALS` has an entry for each error of the library by which a call can be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from taskloom import errors
from taskloom.control.exchange import Reply
from taskloom.diagnostics import near_match

__all__ = ["REFUSALS", "Code", "Refusal", "error_reply", "refusal_of"]


class Code(NamedTuple):
    """The status and the code of one kind of refusal."""

    status: int
    code: str


REFUSALS: Mapping[type[errors.UsageError], Code] = {
    errors.UsageError: Code(409, "refused"),
    errors.AlreadyRunning: Code(409, "already-running"),
    errors.DependencyCycle: Code(409, "dependency-cycle"),
    errors.DependencyUnmet: Code(409, "dependency-unmet"),
    errors.DuplicateJob: Code(409, "duplicate-job"),
    errors.InvalidJob: Code(409, "invalid-job"),
    errors.JobBlocked: Code(409, "job-blocked"),
    errors.JobDisabled: Code(409, "job-disabled"),
    errors.JobStopping: Code(409, "job-stopping"),
    errors.NoProcess: Code(409, "no-process"),
    errors.NoRun: Code(409, "no-run"),
    errors.NotScheduled: Code(409, "not-scheduled"),
    errors.OnSchedulerThread: Code(503, "busy"),
    errors.ProgramRunning: Code(409, "program-running"),
    errors.Replicated: Code(409, "replicated"),
    errors.SchedulerBusy: Code(503, "busy"),
    errors.SchedulerForked: Code(503, "forked"),
    errors.SchedulerStopped: Code(409, "scheduler-stopped"),
    errors.SelfJoin: Code(409, "self-join"),
    errors.UnknownJob: Code(404, "unknown-job"),
    errors.UnknownSignal: Code(400, "unknown-signal"),
}


class Refusal(Exception):
    """A request that is not carried out. `more`: further members of the reply, beside `error`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        near: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.near = tuple(near)
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def refusal_of(error: errors.UsageError) -> Refusal:
    """Return the refusal that an error of the library stands for."""
    status, code = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    near = near_match(error.name, error.known) if isinstance(error, errors.UnknownJob) else None
    if isinstance(error, errors.UnknownSignal):
        near = error.near
    return Refusal(status, code, str(error), near=() if near is None else (near,))


def error_reply(refusal: Refusal, mask: Callable[[str], str] = str) -> Reply:
    """Return the reply for a refusal. `mask` replaces the secrets in its sentence."""
    error = {"code": refusal.code, "message": mask(refusal.message), "near": list(refusal.near)}
    return Reply(refusal.status, {"error": error, **refusal.more}, refusal.headers)
