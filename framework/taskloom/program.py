"""A program to start in place of Python code: what a task's `program(self)` returns.

The runner `process` starts it under its supervisor. All values are checked when the description is made, so that a
mistake is reported when the job file is loaded. Nothing here reads a file, starts anything or opens a connection.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeVar

from taskloom.diagnostics import UnusableField, cut, quoted
from taskloom.errors import UnknownSignal
from taskloom.signal_names import require_signal
from taskloom.task import Duration

__all__ = ["Check", "Program", "Signal", "Target", "parse_signal", "parse_target"]

T = TypeVar("T")

_LARGEST_CODE = 255
# `/bin/sh -c TEXT`; also `-ec`.
_LEAST_OF_SHELL = 3
_TEXT_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*", re.ASCII)
# Set for each run by the runner itself.
_OWN_VARIABLES = ("TASKLOOM_JOB", "TASKLOOM_RUN")


def parse_signal(value: object) -> int:
    """Return the number of a signal, written as `TERM`, `SIGTERM`, `15` or `RTMIN+3`; raise ValueError for others."""
    if not isinstance(value, int | str):
        raise ValueError(f"cannot use {quoted(value)} as a signal; expected a name such as HUP or SIGTERM, or a number")
    try:
        return require_signal(value)
    except UnknownSignal as error:
        raise ValueError(str(error)) from None


class _SignalMarker:
    """Teach pydantic the signals of job files; pydantic is imported only when it needs the schema."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(parse_signal)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": int(signal.SIGRTMAX)},
                {"type": "string", "pattern": "^[A-Za-z0-9+-]+$", "examples": ["TERM", "SIGINT", "RTMIN+3"]},
            ]
        }

    def __repr__(self) -> str:
        return "Signal"


Signal = Annotated[int, _SignalMarker()]
"""The number of a signal. In a job file it may be written `TERM`, `SIGTERM`, `15` or `RTMIN+3`."""


class Target(NamedTuple):
    """An address that a probe connects to."""

    scheme: str
    """`tcp`, `http` or `unix`."""
    host: str
    port: int
    path: str
    """The path and the query of `http`; the path of a `unix` socket."""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:\[(?P<literal>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[^\s/?#:\[\]@]*))"
    r"(?::(?P<port>\d+))?(?P<path>[/?][^\s#]*)?",
    re.ASCII,
)
_HTTP_PORT = 80


def parse_target(text: object, schemes: Iterable[str] = ("tcp", "http", "unix")) -> Target:
    """Return the address `tcp://HOST:PORT`, `http://HOST:PORT/PATH` or `unix:///PATH`; of `schemes` only.

    Raises ValueError, naming the legal forms.
    """
    legal = [form for form in _FORMS if form.partition(":")[0] in schemes]
    forms = f"write {' or '.join(legal)}"
    if not isinstance(text, str):
        raise ValueError(f"cannot read {quoted(text)} as an address; {forms}")
    if text.lower().startswith("unix://") and "unix" in schemes:
        return _unix_target(text, forms)
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"cannot read {quoted(text)} as an address; {forms}")
    scheme = found["scheme"].lower()
    if scheme not in schemes:
        raise ValueError(f"cannot use an address of the kind {scheme}:// here, {quoted(text)}; {forms}")
    host = found["literal"] or found["name"]
    if not host:
        raise ValueError(f"cannot read {quoted(text)} as an address: it has no host; {forms}")
    if scheme == "tcp" and (found["port"] is None or found["path"]):
        raise ValueError(f"cannot read {quoted(text)} as an address; {forms}")
    port = int(found["port"][:6]) if found["port"] else _HTTP_PORT
    if not 0 < port < 1 << 16:
        raise ValueError(f"cannot use {quoted(text)} as an address: the port is not between 1 and 65535")
    path = found["path"] or ""
    if scheme == "http" and not path.startswith("/"):
        path = f"/{path}"
    return Target(scheme, host, port, path)


_FORMS = ("tcp://HOST:PORT", "http://HOST:PORT/PATH", "unix:///PATH")
# The longest path of a unix socket, which ends with a zero byte in the kernel's 108 bytes.
_LONGEST_SOCKET_PATH = 107


def _unix_target(text: str, forms: str) -> Target:
    path = text[len("unix://") :]
    if not path or "\0" in path:
        raise ValueError(f"cannot read {quoted(text)} as an address; {forms}")
    if len(path.encode("utf-8", "surrogateescape")) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"cannot use {quoted(text)} as an address: the path has over {_LONGEST_SOCKET_PATH} bytes")
    return Target("unix", "", 0, path)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Decides again and again whether a program still works; exactly one of `command`, `tcp` and `http` is given.

    It counts as the program's polls: the job's watchdog acts once `failures` checks in a row have failed. The first
    check is made `every` seconds after the program is ready.
    """

    command: tuple[str, ...] = ()
    """A program and its arguments; it succeeds with exit code 0."""
    tcp: str = ""
    """An address that accepts a connection, `HOST:PORT` or `tcp://HOST:PORT`."""
    http: str = ""
    """An address that answers with a status from 200 to 399, `http://HOST:PORT/PATH`."""
    every: Duration = 10.0
    """Seconds from the end of one check to the beginning of the next."""
    failures: int = 3
    """How many checks in a row must fail."""
    timeout: Duration = 5.0
    """Seconds after which a check without a result has failed."""

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot be used."""
        given = [name for name in ("command", "tcp", "http") if getattr(self, name)]
        if len(given) != 1:
            found = f"not {' and '.join(given)}" if given else "none is given"
            raise ValueError(f"cannot use this check: write one of command, tcp and http; {found}")
        if self.command:
            arguments = _of_field("command", _arguments, self.command, "check.command")
            object.__setattr__(self, "command", arguments)
        if self.tcp:
            object.__setattr__(self, "tcp", str(_of_field("tcp", parse_target, _as_tcp(self.tcp), ["tcp"])))
        if self.http:
            _of_field("http", parse_target, self.http, ["http"])
        for name in ("every", "timeout"):
            if not getattr(self, name) > 0:
                shown = f"{getattr(self, name):g}"
                raise UnusableField(f"cannot use {shown} as {name} of a check; expected more than 0", name)
        if not _is_whole(self.failures) or self.failures < 1:
            text = f"cannot use {quoted(self.failures)} as failures of a check; expected 1 or more"
            raise UnusableField(text, "failures")

    @property
    def longest_silence(self) -> float:
        """The seconds from one success to the end of the failure that is one too many."""
        return self.failures * (self.every + self.timeout)

    @property
    def target(self) -> Target | None:
        """The address to connect to; None for a command."""
        return None if self.command else parse_target(self.tcp or self.http)

    def __str__(self) -> str:
        return cut(shlex.join(self.command)) if self.command else self.tcp or self.http


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to start, and how it is made ready, checked and stopped.

    `program(self)` of a task returns it: once when the job is loaded, and once for each run.
    """

    argv: tuple[str, ...]
    """The program and its arguments; the program is looked up on the `PATH` of its environment."""
    shell: bool = False
    """True if the last of `argv` is the text of a shell: `("/bin/sh", "-c", text)`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment that it inherits."""
    env_files: tuple[str, ...] = ()
    """Files of `NAME=VALUE` lines, read for each run; `env` goes first, and of two files the last one."""
    cwd: str | None = None
    """The folder in which it starts; None for that of the runner."""
    stop_signal: int = signal.SIGTERM
    """Sent when the run is cancelled: to the main process, or with `shell` to all processes of its group."""
    stop_command: tuple[str, ...] = ()
    """Run in place of `stop_signal`, with the main process in `$TASKLOOM_PID`."""
    reload_signal: int | None = None
    """Sent to the main process when the job files were read again and the job keeps its run."""
    success_codes: frozenset[int] = frozenset({0})
    """The exit codes that do not count as failures."""
    stdin: bytes | None = None
    """The content of its standard input; None for `/dev/null`."""
    ready_line: str | None = None
    """It is ready once this regular expression is found in a line of its output."""
    ready_address: str | None = None
    """It is ready once this address answers: `tcp://HOST:PORT`, `http://HOST:PORT/PATH` or `unix:///PATH`."""
    check: Check | None = None
    """Decides from then on whether it still works."""

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot be used; lists become tuples and names of signals their numbers."""
        readers: dict[str, Callable[[Any], object]] = {
            "argv": _shell_arguments if self.shell else partial(_arguments, name="argv"),
            "env": lambda env: MappingProxyType(_checked_env(env)),
            "env_files": lambda paths: tuple(_text(path, "env_file") for path in paths),
            "cwd": lambda cwd: None if cwd is None else _text(cwd, "cwd"),
            "stop_signal": parse_signal,
            "stop_command": lambda argv: _arguments(argv, "stop_command") if argv else (),
            "reload_signal": lambda number: None if number is None else parse_signal(number),
            "success_codes": lambda codes: frozenset(map(_checked_code, codes)),
        }
        for name, read in readers.items():
            object.__setattr__(self, name, _of_field(name, read, getattr(self, name)))
        if self.ready_line is not None:
            _of_field("ready_line", _check_pattern, self.ready_line)
        if self.ready_address is not None:
            _of_field("ready_address", parse_target, self.ready_address)
        if self.ready_line is not None and self.ready_address is not None:
            raise ValueError("cannot use both a line and an address for readiness; write one of them")

    @property
    def announces_ready(self) -> bool:
        """Whether it is ready only once a line of its output, or an address, says so; else as soon as it runs."""
        return self.ready_line is not None or self.ready_address is not None


def _as_tcp(text: object) -> object:
    """Return an address `HOST:PORT` with its scheme."""
    return f"tcp://{text}" if isinstance(text, str) and "://" not in text else text


def _of_field(name: str, read: Callable[..., T], *values: Any) -> T:
    """Return what `read` makes of the values. Its ValueError becomes one of this field."""
    try:
        return read(*values)
    except UnusableField:
        raise
    except ValueError as error:
        raise UnusableField(str(error), name) from None


def _shell_arguments(values: object) -> tuple[str, ...]:
    """Return the arguments of a shell, of which the last one is its text. Raises ValueError."""
    arguments = _arguments(values, "argv")
    if len(arguments) < _LEAST_OF_SHELL or not _TEXT_OPTION.fullmatch(arguments[-2]):
        raise ValueError("cannot use a list as argv with shell: true; write one text, or leave shell out")
    if not arguments[-1].strip():
        raise ValueError("cannot use an empty argv; write the program and its arguments")
    return arguments


def _arguments(values: object, name: str) -> tuple[str, ...]:
    """Return the program and its arguments as a tuple. Raises ValueError for an empty one and for anything but text."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        text = f"cannot use {quoted(values)} as {name}; expected a list of the program and its arguments"
        raise ValueError(f"{text}, or shell: true" if name == "argv" else text)
    arguments = tuple(_text(each, name, is_argument=True) for each in values)
    if not arguments or not arguments[0]:
        raise ValueError(f"cannot use {name} without a program; write a list such as [nginx, -g, 'daemon off;']")
    return arguments


def _text(value: object, name: str, *, is_argument: bool = False) -> str:
    if not isinstance(value, str):
        raise ValueError(f"cannot use {quoted(value)} in {name}; expected text: write it in quotes")
    if "\0" in value or (not value and not is_argument):
        raise ValueError(f"cannot use {quoted(value)} in {name}; expected text without a NUL character")
    return value


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            text = f"cannot use {quoted(name)} as the name of a variable in env; expected text without '='"
        elif name in _OWN_VARIABLES:
            text = f"cannot set {name}: it is set for each run, to its own"
        # Its value is not quoted: it may be a password.
        elif not _is_text(value):
            text = f"cannot use the value of {name} in env; expected text: write it in quotes"
        elif "\0" in value:
            text = f"cannot use the value of {name} in env: it contains a NUL character"
        else:
            continue
        raise UnusableField(text, "env", name)
    return dict(env)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked_code(code: int) -> int:
    if not _is_whole(code) or not 0 <= code <= _LARGEST_CODE:
        raise ValueError(f"cannot use {quoted(code)} in success_codes; exit codes are 0 to {_LARGEST_CODE}")
    return code


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError(f"cannot use {quoted(pattern)} as a line that makes it ready; expected a regular expression")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"cannot read {quoted(pattern)} as a regular expression: {error}") from None
