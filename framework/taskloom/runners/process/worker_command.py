"""The command line of a worker, and the first message to it. Called in the program, never in the worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from taskloom import __version__
from taskloom.runners.wire import Spec

if TYPE_CHECKING:
    from taskloom.runners import RunOrder
    from taskloom.runners.binding import TaskReference

__all__ = ["log_levels", "sent_path", "spec_of", "worker_command"]

_SCRIPT = Path(__file__).absolute().parents[2] / "worker" / "__main__.py"
# The level of a logger of the standard library that has none of its own: "not set".
_NOT_SET = 0


def worker_command(control: int, job: str) -> list[str]:
    """Return the argv of a worker whose control socket is the descriptor `control`. The job's name is for `ps`."""
    # -P: the folder of the script is not for imports; it has modules of Taskloom without their package.
    return [sys.executable, *_interpreter_flags(), "-P", str(_SCRIPT), str(control), job]


def _interpreter_flags() -> list[str]:
    """Return the flags with which this interpreter was started: the task is to find the same Python."""
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]  # since Python 3.2

    flags: list[str] = _args_from_interpreter_flags()
    return [flag for flag in flags if flag != "-P"]


def spec_of(order: RunOrder, reference: TaskReference) -> Spec:
    """Return the first message for a worker."""
    return Spec(
        __version__,
        sent_path(),
        order.job,
        order.run,
        order.task,
        order.attempt,
        order.replica,
        order.daemon,
        order.poll_interval,
        reference.module,
        reference.qualname,
        dict(reference.params),
        None if reference.values is None else dict(reference.values),
        reference.label,
        log_levels() if reference.log_levels is None else dict(reference.log_levels),
    )


def sent_path() -> list[str]:
    """Return `sys.path` for a process with another working directory; without what an import here ignores as well.

    An entry that is not a path is the name of a hook, such as that of an editable install: it stays as it is.
    """
    entries: list[object] = list(sys.path)  # a program may have put anything there
    return [sent for entry in entries if isinstance(entry, str) and (sent := _sent_entry(entry)) is not None]


def _sent_entry(entry: str) -> str | None:
    """Return the entry as an absolute path; None if it is relative to a folder that is gone."""
    try:
        return entry if not Path(entry).exists() and _is_hooked(entry) else str(Path(entry).absolute())
    except (OSError, ValueError):
        return None


def _is_hooked(entry: str) -> bool:
    """Return whether something imports from the entry, as `sys.path_hooks` say. It is asked as an import asks it."""
    for hook in list(sys.path_hooks):
        try:
            hook(entry)
        except Exception:  # noqa: BLE001 - ImportError says no; a hook is code of any package
            continue
        return True
    return False


def log_levels() -> dict[str, int]:
    """Return the level of each logger that has one, by name; "" is the root.

    So that a worker does not send what no handler here would get. The levels include the effect of `logging.disable`.
    """
    logging = sys.modules.get("logging")
    if logging is None:
        return {}
    root = logging.getLogger()
    lowest = root.manager.disable + 1 if root.manager.disable else _NOT_SET
    found = {"": max(root.level, lowest)}
    for name, logger in list(root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level != _NOT_SET:
            found[name] = max(logger.level, lowest)
    return found
