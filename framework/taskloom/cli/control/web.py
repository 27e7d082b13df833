"""`taskloom web`: open the web page of a running program, or print its link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from taskloom.cli.control.common import ControlExit, answers, connect, output_option, program_options
from taskloom.cli.echo import echo, echo_error, echo_json
from taskloom.text import error_text

__all__ = ["web"]

_READ_SUFFIX = ".read-token"


@click.command(short_help="Open the web page of a running program.")
@click.option("--print", "prints", is_flag=True, help="Print the link, and open nothing.")
@click.option("--read-only", is_flag=True, help="Use the token that may only look.")
@program_options
@output_option
@answers
def web(name: str | None, socket: str | None, output: str, *, prints: bool, read_only: bool) -> int:
    """Open the web page of a running program in the browser of this user.

    The program serves it if it was started with `run --http HOST:PORT`, or has `http:` in its settings. The link has
    the token of the page: who has it can do all that the page can, or look at it with --read-only.

    \b
    Exit codes:
      0  done
      1  the program serves no page, its token cannot be read, or there is no browser
      2  the command line cannot be used, such as several programs and none named
      4  no program is reachable, or it does not answer

    \b
    Examples:
      taskloom web
      taskloom web --print --read-only
    """
    page: dict[str, Any] | None = connect(name, socket).get("/v1/program").get("page")
    if not page:
        echo_error("the program serves no web page; start it with --http 127.0.0.1:8080")
        return ControlExit.FAILED
    file = Path(str(page["token_file"]))
    file = file.with_suffix(_READ_SUFFIX) if read_only else file
    try:
        token = file.read_text("ascii", "replace").strip()
    except OSError as error:
        echo_error(f"cannot read the token file {str(file)!r}: {error_text(error)}")
        return ControlExit.FAILED
    link = f"{page['url']}#token={token}"
    if output == "json":
        echo_json({"url": page["url"], "link": link})
        return ControlExit.DONE
    if prints:
        echo(link)
        return ControlExit.DONE
    return _open(link, page["url"])


def _open(link: str, url: str) -> int:
    import webbrowser

    if webbrowser.open(link):
        echo(f"opened {url}")
        return ControlExit.DONE
    echo_error("cannot find a browser; taskloom web --print prints the link")
    return ControlExit.FAILED
