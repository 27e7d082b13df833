"""The environment of a run's processes."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["JOB_VARIABLE", "PID_VARIABLE", "RUN_VARIABLE", "child_environment", "is_ours"]

JOB_VARIABLE = "TASKLOOM_JOB"
RUN_VARIABLE = "TASKLOOM_RUN"
PID_VARIABLE = "TASKLOOM_PID"
"""The main process of a program, for its checks and its `stop_command`."""

# For the program itself: from systemd, and its settings, which may be secrets. A child that had them
# would notify in the program's place, or take its sockets.
_OURS = ("TASKLOOM_", "LISTEN_", "WATCHDOG_")
_OUR_NAMES = frozenset({"NOTIFY_SOCKET", "MAINPID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"})


def is_ours(name: str) -> bool:
    """Return whether a variable is about the program itself, so that no run inherits it."""
    return name in _OUR_NAMES or name.startswith(_OURS)


def child_environment(
    inherited: Mapping[str, str],
    job: str,
    run: str,
    *added: Mapping[str, str],
    account: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment of a run's processes.

    `inherited`: that of this program, of which the variables of its own are left out. `account`: HOME and so on of the
    user that it runs as. `added`: what the job says; of two values of one name the last one.
    """
    env = {name: value for name, value in inherited.items() if not is_ours(name)}
    env |= account or {}
    for each in added:
        env |= each
    return env | {JOB_VARIABLE: job, RUN_VARIABLE: run}
