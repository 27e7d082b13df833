"""The place of a history: the folder of a user's state, and what a path or a URL means.

`sqlite:///PATH` and a plain path with a slash are a file: all that follows is the path as it is written, relative to
the working directory; `~` is expanded. `postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE` is a server.

Nothing here needs SQLAlchemy, and nothing touches the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from taskloom.diagnostics import MASK, near_match, quoted
from taskloom.history.errors import BadTarget, HistoryUnusable
from taskloom.text import suggest

__all__ = ["DATABASE_SUFFIX", "LOCK_SUFFIX", "Target", "default_target", "parse_target", "state_folder"]

DATABASE_SUFFIX = ".sqlite"
LOCK_SUFFIX = ".lock"
"""After the whole name of the database file."""

_OF_ROOT = "/var/lib/taskloom"
_SCHEMES = ("sqlite", "postgresql", "postgres")
_EXPECTED = "expected a path with a slash, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+([^:/@]*))?:(//)?")
_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_OPTIONS = re.compile(r"\?\w+=")
_KEYWORDS = re.compile(r"\s*\w+\s*=")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:@,]*))(?::([0-9]{1,5}))?")
_WRITE_ESCAPED = "in a user name, a password and a database write %40 for '@', %2F for '/', %3F for '?' and %23 for '#'"
# Options whose values are secrets: those of libpq, and what a user may take for one of them.
_SECRET_OPTION = re.compile(r"pas+w|^pass$|passphrase|pwd|secret|token|_key$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(pas+w?|pwd|secret|token|key)\w*=", re.IGNORECASE)
# A URL in quotes, one with a wrong beginning, and `USER:PASSWORD@HOST/DATABASE`. As a path, `./` comes before it.
_LIKE_URL = re.compile(r"[^/]*://|([\w.+-]*//)?[^/]*:[^/]*@")
_HIDDEN_HINT = "set PGPASSWORD or PGPASSFILE, or take it from a file with ${file:} in the job file"


@dataclass(frozen=True)
class Target:
    """The place of one history."""

    kind: Literal["sqlite", "postgresql"]
    path: str = ""
    """The absolute path of the database file; "" for PostgreSQL. May have bytes that are not UTF-8."""
    is_in_state_folder: bool = False
    """Whether the file is at the default place: its folder is made if it is missing, and a damaged file is moved."""
    url: str = ""
    """For PostgreSQL, without a password."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """For libpq, with the password if there is one."""

    @property
    def shown(self) -> str:
        """Return how messages and status show it: the path or the URL, without a password."""
        return self.path or self.url

    @property
    def in_quotes(self) -> str:
        """Return how error messages show it. Not cut: with a part of its path a file cannot be found."""
        return repr(self.shown)

    def masked(self, text: str) -> str:
        """Return a text, such as a message of the server, without the password."""
        for name, secret in self.options.items():
            if secret and _SECRET_OPTION.search(name):
                text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
        return text


def state_folder(environ: Mapping[str, str] | None = None, uid: int | None = None, home: str | None = None) -> str:
    """Return the folder in which a program of this user keeps its history; it need not exist.

    `home`: the home directory if $HOME is not set. Raises HistoryUnusable if there is none.
    """
    environ = os.environ if environ is None else environ
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd names several so
    if os.path.isabs(given):  # noqa: PTH117
        return given
    given = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(given):  # noqa: PTH117 - its specification says to ignore any other
        return f"{given}/taskloom"
    if (os.geteuid() if uid is None else uid) == 0:
        return _OF_ROOT
    home = environ.get("HOME") or home or os.path.expanduser("~")  # noqa: PTH111
    if not os.path.isabs(home):  # noqa: PTH117
        raise HistoryUnusable("of this user", "there is no home directory; set XDG_STATE_HOME")
    return f"{home}/.local/state/taskloom"


def default_target(name: str, folder: str | None = None) -> Target:
    """Return the file of the program with this name, in the folder of state if no other is given."""
    folder = state_folder() if folder is None else folder
    return Target("sqlite", path=f"{folder}/{name}{DATABASE_SUFFIX}", is_in_state_folder=True)


def parse_target(text: str, *, cwd: str | None = None, is_password_allowed: bool = False) -> Target:
    """Return the place that a path or a URL means. Raises BadTarget, whose text shows no password.

    `is_password_allowed`: only where other users cannot read it: all users can read a command line.
    """
    if "\0" in text:
        raise BadTarget(_safely_quoted(text), "there is a NUL character in it")
    if _OF_WINDOWS.match(text) or _OF_WINDOWS.match(text.removeprefix("sqlite:///")):
        raise BadTarget(_safely_quoted(text), f"it is a path of Windows; {_EXPECTED}")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    # `./a:b` and `folder/a:b` are paths. `a:b/c` is one as well, unless it begins like one of our URLs.
    if found is None or not (found[3] or scheme in _SCHEMES):
        return _parse_path(text, text, cwd)
    driver = found[2]
    if scheme not in _SCHEMES:
        near = near_match(scheme, _SCHEMES)
        raise BadTarget(
            _safely_quoted(text), f"unknown scheme {quoted(scheme)}; {_EXPECTED}{suggest(near, before='; ')}"
        )
    if scheme == "sqlite":
        return _parse_sqlite(text, driver, cwd)
    if driver not in (None, "psycopg"):
        raise BadTarget(
            _safely_quoted(text), f"unknown driver {quoted(driver)}; expected postgresql:// or postgresql+psycopg://"
        )
    if not found[3]:
        raise BadTarget(_safely_quoted(text), "expected postgresql://USER@HOST/DATABASE")
    return _parse_postgresql(text, text[found.end() :], is_password_allowed=is_password_allowed)


def _parse_sqlite(text: str, driver: str | None, cwd: str | None) -> Target:
    if driver is not None:
        raise BadTarget(_safely_quoted(text), "sqlite has no other driver; expected sqlite:///PATH")
    rest = text.split(":", 1)[1]
    path = rest.removeprefix("///")
    if path == rest:
        raise BadTarget(
            _safely_quoted(text), "expected three slashes before a relative path, and four before an absolute one"
        )
    if _OPTIONS.search(path):
        raise BadTarget(
            _safely_quoted(text), "sqlite:///PATH takes no options; a path with a '?' is written without sqlite:///"
        )
    return _parse_path(path, text, cwd)


def _parse_path(path: str, text: str, cwd: str | None) -> Target:
    if path.startswith(":memory:") or (not path and text):
        raise BadTarget(_safely_quoted(text), "a database in memory ends with the program; expected the path of a file")
    is_plain = path == text
    if (_KEYWORDS.match(text) and "/" not in text.split("=")[0]) or (is_plain and _LIKE_URL.match(text)):
        raise BadTarget(_safely_quoted(text), _EXPECTED)
    if not path.strip() or (is_plain and "/" not in path and not path.startswith("~")):
        near = suggest(f"./{path}" if path.strip() and not path.isalpha() else None, before="; ")
        raise BadTarget(_safely_quoted(text), f"{_EXPECTED}{near}")
    is_home = path.startswith("~") and "/" not in path
    if path.startswith("~"):
        expanded = os.path.expanduser(path)  # noqa: PTH111
        if not os.path.isabs(expanded):  # noqa: PTH117
            raise BadTarget(_safely_quoted(text), f"there is no home directory for {quoted(path.split('/')[0])}")
        path = expanded
    if path.endswith("/") or is_home or os.path.basename(path) in (".", ".."):  # noqa: PTH119
        raise BadTarget(_safely_quoted(text), "it is a folder; expected the path of a file, such as .../history.sqlite")
    if not os.path.isabs(path):  # noqa: PTH117
        path = f"{cwd or _working_directory(text)}/{path}"
    return Target("sqlite", path=os.path.abspath(path))  # noqa: PTH100


def _working_directory(text: str) -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        raise BadTarget(_safely_quoted(text), "it is relative, and the working directory was deleted") from None


def _parse_postgresql(text: str, rest: str, *, is_password_allowed: bool) -> Target:
    """`rest`: what comes after `postgresql://`."""
    before, _, query = rest.partition("?")
    authority, _, database = before.partition("/")
    user_info, _, hosts = authority.rpartition("@")
    user, _, password = user_info.partition(":")
    options = _options_of(text, query)
    if "#" in rest or "@" in database or "@" in query or "/" in database:
        raise BadTarget(_safely_quoted(text), _WRITE_ESCAPED)
    hosts_and_ports = [_host_and_port(each, text) for each in hosts.split(",")] if hosts else []
    own = {"user": user, "password": password, "dbname": database}
    options = {name: unquote(value) for name, value in own.items() if value} | options
    if hosts_and_ports:
        options.setdefault("host", ",".join(host for host, _ in hosts_and_ports))
        if any(port for _, port in hosts_and_ports):
            options.setdefault("port", ",".join(port for _, port in hosts_and_ports))
    if any("\0" in value for value in options.values()):
        raise BadTarget(_safely_quoted(text), "there is a NUL character in it")
    if not is_password_allowed and any(map(_SECRET_OPTION.search, options)):
        raise BadTarget(_safely_quoted(text), f"others could read the password in it; {_HIDDEN_HINT}")
    public = urlencode(
        [(name, value) for name, value in parse_qsl(query) if not _SECRET_OPTION.search(name)], quote_via=quote
    )
    shown = "postgresql://" + (f"{user}@" if user else "") + hosts + (f"/{database}" if database else "")
    return Target("postgresql", url=shown + (f"?{public}" if public else ""), options=options)


def _options_of(text: str, query: str) -> dict[str, str]:
    """Return the options after the question mark, which libpq knows or refuses."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise BadTarget(_safely_quoted(text), "expected ?OPTION=VALUE&OPTION=VALUE after the database") from None
    return dict(pairs)


def _host_and_port(text: str, url: str) -> tuple[str, str]:
    """Return both as libpq takes them. Raises BadTarget, which does not quote them: they may be part of a password."""
    found = _HOST.fullmatch(text)
    if found is None or (found[3] and not 0 < int(found[3]) < 65_536):
        raise BadTarget(_safely_quoted(url), f"expected HOST or HOST:PORT with a port of 1 to 65535; {_WRITE_ESCAPED}")
    return unquote(found[1] or found[2]), found[3] or ""


def _safely_quoted(text: str) -> str:
    """Return a URL that could not be parsed; nothing of it if there may be a password in it."""
    if "@" not in text and "passw" not in text.lower() and not _SECRET_VALUE.search(text):
        return quoted(text)
    found = _SCHEME.match(text)
    return quoted(f"{found[1]}://{MASK}") if found and found[3] else quoted(MASK)
