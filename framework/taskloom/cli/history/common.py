"""Shared by the verbs that read a history: their options, and the exit codes for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from taskloom.cli.completion.known_names import complete_histories, complete_paths
from taskloom.cli.control.common import ControlExit
from taskloom.cli.echo import echo_error
from taskloom.errors import TaskloomError
from taskloom.text import printable

__all__ = ["history_options", "reads_history"]

_Command = Callable[..., Any]


def history_options(command: _Command) -> _Command:
    """Add `--name`, `--path` and `--history`, which say whose history is read."""
    for option in (
        click.option("--history", "database", metavar="PATH|URL", envvar="TASKLOOM_HISTORY", show_envvar=True,
                     shell_complete=complete_paths,
                     help="The database, or a folder of databases. [default: those of this user's programs]"),
        click.option("-p", "--path", metavar="PATH", shell_complete=complete_paths,
                     help="The first job file or folder of the program; its settings say where its history is."),
        click.option("--name", metavar="NAME", envvar="TASKLOOM_NAME", show_envvar=True,
                     shell_complete=complete_histories,
                     help="The name of the program; not needed if there is one history only."),
    ):  # fmt: skip
        command = option(command)
    return command


def reads_history(function: Callable[..., int]) -> Callable[..., int]:
    """Turn the errors of a history into one line on standard error and an exit code."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> int:
        from taskloom.cli.history.choosing import NoHistory, SeveralHistories
        from taskloom.history.errors import BadTarget, HistoryError, PackageMissing

        try:
            return function(*args, **kwargs)
        except (BadTarget, PackageMissing, SeveralHistories) as error:
            return _explain(error, ControlExit.USAGE)
        except (NoHistory, HistoryError) as error:
            return _explain(error, ControlExit.UNREACHABLE)

    return call


def _explain(error: TaskloomError, code: ControlExit) -> ControlExit:
    echo_error(printable(f"taskloom: {error}"))
    return code
