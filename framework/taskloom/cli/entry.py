"""The group of verbs, and the exit code for each kind of exception."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from taskloom import __version__
from taskloom.cli.echo import echo, echo_error
from taskloom.cli.resources import end_of
from taskloom.errors import JobFileError, TaskloomError
from taskloom.text import did_you_mean, printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["call"]

_CONTROL = "taskloom.cli.control"
# name -> (module, one line for the list of verbs, group)
_VERBS = {
    "run": ("taskloom.cli.run", "Run the jobs of job files until they end or a signal stops them.", "Run"),
    "validate": ("taskloom.cli.validate", "Check job files and report every problem at once.", "Run"),
    "simulate": ("taskloom.cli.simulate.command", "Show what the jobs would do in a week, in virtual time.", "Run"),
    "status": ("taskloom.cli.control.status", "Show the jobs of a running program.", "Watch"),
    "health": ("taskloom.cli.control.health", "Report whether a running program lives, or is ready.", "Watch"),
    "ps": ("taskloom.cli.control.ps", "List the running programs of this user.", "Watch"),
    "next": ("taskloom.cli.control.next", "Show when jobs run next, soonest first.", "Watch"),
    "logs": ("taskloom.cli.control.logs", "Show the last log lines and prints of jobs.", "Watch"),
    "events": ("taskloom.cli.control.events", "Show what has happened in a running program.", "Watch"),
    "top": ("taskloom.cli.control.top", "Show the jobs of a running program on a full screen.", "Watch"),
    "stack": ("taskloom.cli.control.stack", "Show where the runs of jobs are, with their stacks.", "Watch"),
    "history": ("taskloom.cli.history.history", "Show what has happened, also when no program runs.", "Watch"),
    "report": ("taskloom.cli.history.report", "Show again how the program ended, or that it was killed.", "Watch"),
    "why": ("taskloom.cli.control.why", "Explain why jobs are, or are not, running.", "Watch"),
    "web": ("taskloom.cli.control.web", "Open the web page of a running program.", "Watch"),
    "drill": ("taskloom.cli.drill.command", "Run each job alone, and check that it stops in time.", "Act"),
    "start": (f"{_CONTROL}.start", "Start jobs, and wait until they are ready or have ended.", "Act"),
    "stop": (f"{_CONTROL}.stop", "Stop jobs, and wait for the end of their runs.", "Act"),
    "restart": (f"{_CONTROL}.start", "Stop jobs and start them again, and wait until they are ready.", "Act"),
    "pause": (f"{_CONTROL}.schedule_verbs", "Pause the schedules of jobs; their runs go on.", "Act"),
    "resume": (f"{_CONTROL}.schedule_verbs", "Resume the schedules of paused or stopped jobs.", "Act"),
    "reset": (f"{_CONTROL}.schedule_verbs", "Forget the failures of jobs, for when their cause is removed.", "Act"),
    "signal": (f"{_CONTROL}.signal", "Send a signal to the processes of jobs.", "Act"),
    "wait": (f"{_CONTROL}.wait", "Wait until jobs are ready, or have finished.", "Act"),
    "reload": (f"{_CONTROL}.reload", "Read the job files again, and apply all changes or none.", "Act"),
    "shutdown": (f"{_CONTROL}.shutdown", "Stop all jobs, and end the program.", "Act"),
    "notify": ("taskloom.cli.notify", "Send a test message to the receivers of notifications.", "Act"),
    "tasks": ("taskloom.cli.tasks", "List the installed tasks, or show one task and its parameters.", "Author"),
    "schema": ("taskloom.cli.schema", "Print the JSON Schema of job files, for editors.", "Author"),
    "completion": ("taskloom.cli.completion.command", "Print the script that completes the command line.", "Author"),
}

_USAGE, _INTERRUPTED = 2, 130
# Set by the scripts of `taskloom completion`: a shell asks what may follow on its command line.
_COMPLETE = "_TASKLOOM_COMPLETE"


class _Verbs(click.Group):
    """The verbs by name; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = getattr(import_module(_VERBS[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; fail with a near match if no verb has that name."""
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], _VERBS, before="; ")
            ctx.fail(f"cannot find verb {args[0]!r}; verbs: {', '.join(_VERBS)}{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the verbs and the options that begin so; click itself would import each verb."""
        from click.shell_completion import CompletionItem

        rows = [(name, text) for name, (_, text, _) in _VERBS.items() if name.startswith(incomplete)]
        return [*(CompletionItem(name, help=text) for name, text in rows),
                *click.Command.shell_complete(self, ctx, incomplete)]  # fmt: skip

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs in their groups; the one-line texts are in `_VERBS`, so that help imports no verb."""
        for group in dict.fromkeys(group for _, _, group in _VERBS.values()):
            rows = [(name, text) for name, (_, text, its_group) in _VERBS.items() if its_group == group]
            with formatter.section(group):
                formatter.write_dl(rows)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="taskloom", message="%(prog)s %(version)s")
def _taskloom() -> None:
    """Keep many long-running Python jobs in one process and stop every one of them on time.

    \b
    Examples:
      taskloom validate jobs/
      taskloom run jobs/quickstart.yaml
      taskloom tasks countdown
    """


def call(arguments: Sequence[str]) -> int:
    """Call the verb and return the exit code. A user's mistake is reported in one sentence, without a traceback."""
    try:
        return _call(arguments)
    except BaseException as error:  # noqa: BLE001 - every other exception is a lack of resources or a bug of ours
        return end_of(error)


def _complete() -> int:
    from taskloom.cli.completion.answer import answer

    code, text = answer(_taskloom, os.environ)
    click.echo(text, nl=False)
    return code


def _call(arguments: Sequence[str]) -> int:
    if _COMPLETE in os.environ:
        return _complete()
    try:
        result: Any = _taskloom.main(args=list(arguments), prog_name="taskloom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message())
        return _USAGE
    except click.ClickException as error:
        # Shown in memory first: the message quotes arguments, which may have control characters.
        shown = io.StringIO()
        error.show(shown)
        echo_error(shown.getvalue().replace("\n\t", "\n  "))  # click indents choices with tabs
        return _USAGE
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except SystemExit as error:  # of the code of a plugin
        return error.code if isinstance(error.code, int) else 0
    except JobFileError as error:
        from taskloom.jobfile.render import render_all

        echo_error(render_all(error.problems))
        return _USAGE
    except TaskloomError as error:
        echo_error(printable(f"taskloom: {error}"))
        return _USAGE
    return result if isinstance(result, int) else 0
