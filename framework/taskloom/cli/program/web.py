"""The web page of one `taskloom run`: its listener is bound before the first job, and its end is not waited for."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from taskloom.cli.resources import needed
from taskloom.diagnostics import quoted
from taskloom.observe.terminal import is_terminal
from taskloom.text import kind_of

if TYPE_CHECKING:
    from taskloom.cli.program.control import ProgramControl
    from taskloom.control.program_info import ProgramInfo
    from taskloom.jobfile.fields.http import HttpSetting
    from taskloom.observe.console import Console
    from taskloom.web.listener import HttpListener
    from taskloom.web.tokens import Tokens

__all__ = ["INSTALL", "ProgramWeb", "require_web"]

INSTALL = "pip install 'taskloom[web]'"
_PACKAGES = ("starlette", "uvicorn")
# Its streams end at once when they are told to.
_CLOSE_SECONDS = 0.2


def require_web(setting: HttpSetting | None) -> None:
    """Raise click.UsageError if the page is wanted and its packages are not installed."""
    if setting is None:
        return
    try:
        is_installed = all(find_spec(package) is not None for package in _PACKAGES)
    except (ImportError, ValueError):  # half removed, or replaced by something else
        is_installed = False
    if not is_installed:
        raise click.UsageError(f"cannot serve the web page: its packages are not installed; {INSTALL}")


class ProgramWeb:
    """The web page, or none: then every method does nothing."""

    def __init__(self) -> None:
        self._listener: HttpListener | None = None
        self._tokens: Tokens | None = None

    def open(
        self, setting: HttpSetting | None, info: ProgramInfo, control: ProgramControl, *, has_new_token: bool
    ) -> None:
        """Bind the listener. Raises click.UsageError for all that the user has to change; nothing is started then."""
        if setting is None:
            return
        if not control.is_open:
            raise click.UsageError("cannot serve the web page without the control socket; leave out --no-control")
        from taskloom import __version__
        from taskloom.web.app import WebApp
        from taskloom.web.guard import Rules
        from taskloom.web.listener import HttpListener, Tls
        from taskloom.web.tokens import TokenError, token_folder, tokens_of

        try:
            tokens = tokens_of(info.name, token_folder(), is_new=has_new_token)
        except TokenError as error:
            raise click.UsageError(str(error)) from None
        app = WebApp(
            control.connect,
            Rules(tokens.act, tokens.read, frozenset(setting.names), setting.host.lower()),
            {"start": info.start, "name": info.name, "version": __version__},
        )
        tls = Tls(setting.cert, setting.key) if setting.cert else None
        try:
            if tls is not None:
                tls.check()
        except OSError as error:  # ssl.SSLError is one
            what = f"certificate {quoted(setting.cert)} with key {quoted(setting.key)}"
            raise click.UsageError(f"cannot use {what}: {_reason(error)}") from None
        try:
            self._listener = HttpListener(setting.host, setting.port, app, tls=tls)
        except OSError as error:
            raise click.UsageError(f"cannot serve the web page at {setting}: {_reason(error)}") from None
        self._tokens = tokens
        control.announce_page(self._listener.url, str(tokens.act_file))

    def start(self, console: Console) -> None:
        """Begin to answer. Raises OutOfResources if there is no thread for it."""
        if self._listener is None:
            return

        def failed(error: BaseException) -> None:
            console.log(f"the web page has ended: {kind_of(error)}: {error}; the jobs run on", level="ERROR")

        with needed("start the thread of the web page"):
            self._listener.start(failed)

    def log_place(self, console: Console) -> None:
        """Say where the page is. The link has the token, so that it goes to a terminal only, and into no log."""
        if self._listener is None or self._tokens is None:
            return
        url = self._listener.url
        console.log(f"web page {url} (taskloom web opens it; its token is in {self._tokens.act_file})")
        if is_terminal(sys.stderr) and not os.environ.get("CI"):
            console.show(f"  {url}#token={self._tokens.act}\n")

    def close(self) -> None:
        """End all connections; idempotent, takes 0.2 s at most."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close(_CLOSE_SECONDS)

    def leave_behind(self) -> None:
        """Close the listener in a forked child."""
        if self._listener is not None:
            self._listener.forget()


def _reason(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else str(error)
