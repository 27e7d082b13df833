"""`taskloom top`: the jobs of a running program on a full screen."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

from taskloom.cli.control.common import ControlExit, answers, connect, program_options
from taskloom.cli.echo import echo_error
from taskloom.control.client import Connection
from taskloom.observe.terminal import has_styles, is_plain, is_terminal

__all__ = ["INSTALL", "has_symbols", "top"]

INSTALL = "pip install 'taskloom[tui]'"
_INSTEAD = "taskloom status --watch prints lines"
_BUG = 70


@click.command(short_help="Show the jobs of a running program on a full screen.")
@program_options
@answers
def top(name: str | None, socket: str | None) -> int:
    """Show the jobs of a running program on a full screen, with their log, their timeline and their live stacks.

    The key ? lists the keys. Each action is confirmed first. To leave, by q or Ctrl-C, never stops a job: the program
    runs on. It stays open when the program ends, shows how it has ended, and connects again if it is started again. The
    order, the filters and the rest of the view are kept for the next time.

    \b
    Exit codes:
      0    left by q or d
      2    no terminal, textual is not installed, or several programs and none named
      4    no program is reachable, or it does not answer
      129  the terminal is gone
      130  left by Ctrl-C

    \b
    Examples:
      taskloom top
      taskloom top --name gateway
    """
    _require_textual()
    _require_terminal()
    connection = connect(name, socket)
    connection.get("/v1/program")  # so that what is wrong is said in a sentence, and not on a screen
    return _show(connection)


def _require_textual() -> None:
    try:
        is_installed = find_spec("textual") is not None
    except (ImportError, ValueError):  # half removed, or replaced by something else
        is_installed = False
    if not is_installed:
        raise click.UsageError(f"cannot show a full screen: textual is not installed; {INSTALL}")


def _require_terminal() -> None:
    """Raise a usage error where nothing can be drawn: textual draws on standard error."""
    for stream, called in ((sys.stdin, "input"), (sys.stdout, "output"), (sys.stderr, "error")):
        if not is_terminal(stream):
            raise click.UsageError(f"cannot show a full screen: standard {called} is not a terminal; {_INSTEAD}")
    if is_plain(os.environ):
        shown = os.environ.get("TERM", "")
        raise click.UsageError(f"cannot show a full screen: the terminal (TERM={shown!r}) cannot draw; {_INSTEAD}")


def has_symbols(encoding: str, term: str) -> bool:
    """Return whether a terminal shows more than ASCII. The font of the Linux console has 512 characters at most."""
    return encoding.lower().replace("-", "").startswith("utf") and term != "linux"


def _show(connection: Connection) -> int:
    if os.environ.get("NO_COLOR") == "":  # empty means colours; textual takes it for none
        del os.environ["NO_COLOR"]
    from taskloom.top.app import TopApp
    from taskloom.top.feed import Feed
    from taskloom.top.hang_up import end_on_hang_up
    from taskloom.top.remembered import settings_file

    is_ascii = not has_symbols(getattr(sys.stdout, "encoding", None) or "utf-8", os.environ.get("TERM", ""))
    end_on_hang_up(sys.stdin.fileno())
    with Feed(connection) as feed:
        app = TopApp(feed, settings=settings_file(), has_colour=has_styles(sys.stdout), is_ascii=is_ascii)
        code = app.run()
    if app.return_code:  # textual has printed the traceback
        echo_error("taskloom: the view has failed; the jobs run on. Please report this, with the traceback above")
        return _BUG
    return ControlExit.DONE if code is None else code
