"""How the rows of a history are shown: times, outcomes and reasons in words, and who gave a command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from taskloom.cli.control.waiting import EXPLAINED
from taskloom.history.read_rows import ActionEntry, RunEntry, StartEntry
from taskloom.text import duration, local_time, plural

__all__ = ["action_row", "how_text", "outcome_text", "run_row", "start_row", "time_text", "why_text"]


# Errors whose message says it all: the log does not show their class either.
_EXPLAINED = EXPLAINED | {"TaskFailure", "PermanentFailure"}


def time_text(at: float | None, now: float) -> str:
    """Return the local time of an instant, with its date unless that is today; a dash if it is not known."""
    return "-" if at is None else local_time(at, now)


def outcome_text(run: RunEntry, starts: Mapping[str, StartEntry]) -> str:
    """Return the outcome of a run; of one without, `running` if its program runs."""
    start = starts.get(run.start)
    return run.outcome or ("running" if start is None or start.how == "running" else "unknown")


def why_text(run: RunEntry, now: float) -> str:
    """Return on one line why a run ended as it did, and what is special about it; "" for most."""
    return "; ".join(_reasons(run, now))


def _reasons(run: RunEntry, now: float) -> Iterator[str]:
    if run.folded > 1:
        until = "" if run.ended_at is None else f", the last one ended at {time_text(run.ended_at, now)}"
        yield f"{plural(run.folded, 'run')}{until}"
    if run.is_made_up:
        yield f"made up for {time_text(run.instant, now)}" if run.instant is not None else "made up for"
    if run.is_unrecorded:
        yield "unrecorded"
    if run.error:
        yield _error(run)
    if run.outcome != "succeeded" and run.reason:
        yield f"({_first_line(run.reason)})" if run.error else _first_line(run.reason)
    if _is_lost_with_program(run):
        yield "no poll is known" if run.last_polled is None else f"last polled at {time_text(run.last_polled, now)}"
    if run.stuck_at:
        yield f"at {_first_line(run.stuck_at)}"


def _is_lost_with_program(run: RunEntry) -> bool:
    return run.lost_with == "program"


def _error(run: RunEntry) -> str:
    is_explained = run.error_type in _EXPLAINED and run.error_message.strip()
    return _first_line(run.error_message if is_explained else run.error)


def run_row(run: RunEntry, starts: Mapping[str, StartEntry], now: float) -> tuple[str, ...]:
    """Return the cells RUN, START, BEGAN, TIME, OUTCOME and WHY."""
    # A run that was lost with its program ran for an unknown time; what is known is when it was last seen.
    seconds = None if _is_lost_with_program(run) else run.mean_seconds
    about = "~" if run.folded > 1 else ""
    return (
        f"{run.job} ({plural(run.folded, 'run')})" if run.folded > 1 else run.run,
        run.start,
        time_text(run.began, now),
        "-" if seconds is None else about + duration(max(0.0, seconds), is_rounded=True),
        outcome_text(run, starts),
        why_text(run, now),
    )


def how_text(start: StartEntry) -> str:
    """Return how a start of the program ended."""
    if start.how == "ended":
        code = "" if start.exit_code is None else f", exit code {start.exit_code}"
        return f"ended{code}"
    return "killed" if start.how == "lost" else start.how or "unknown"


def start_row(start: StartEntry, now: float) -> tuple[str, ...]:
    """Return the cells START, BEGAN, ENDED, PID, HOW and WHY."""
    seen = f"last seen alive at {time_text(start.alive_at, now)}" if start.how == "lost" and start.alive_at else ""
    return (
        start.start,
        time_text(start.since, now),
        time_text(start.ended_at if start.how == "ended" else None, now),
        str(start.pid or "-"),
        how_text(start),
        "; ".join(part for part in (_first_line(start.stop_reason), seen) if part),
    )


def action_row(action: ActionEntry, now: float) -> tuple[str, ...]:
    """Return the cells AT, ACTION, JOBS, RESULT, BY, WHY and COMMAND."""
    return (
        time_text(action.at, now),
        action.action or "-",
        ", ".join(action.jobs) or "-",
        _first_line(action.result) or "-",
        _first_line(action.who) or "-",
        _first_line(action.reason) or "-",
        action.command,
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
