"""The settings of a whole program: from the command line, the environment, the job files, or the defaults.

The first of these that has a setting decides: an option, `TASKLOOM_...` in the environment, the same in a file of
`--env-file`, `taskloom:` of a job file, the default. A variable that is empty counts as not set.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from taskloom.cli.options import number_or_text
from taskloom.diagnostics import Problem
from taskloom.jobfile.fields.history import HistorySetting
from taskloom.jobfile.fields.settings import FILE_ONLY, SETTINGS
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.url_passwords import without_passwords
from taskloom.text import duration, suggest

if TYPE_CHECKING:
    from taskloom.diagnostics import Place
    from taskloom.jobfile.env_file import EnvValue
    from taskloom.jobfile.file_settings import FileSetting

__all__ = ["PREFIX", "Flag", "Given", "Sources", "as_json", "misspelt_in_files", "misspelt_variables"]

PREFIX = "TASKLOOM_"
# The path of the socket, in the environment; `control` is whether there is one.
_SOCKET = "TASKLOOM_SOCKET"
_VARIABLES = {
    **{f"{PREFIX}{name.upper()}": name for name in SETTINGS if name not in FILE_ONLY},
    _SOCKET: "control",
}
# So similar is a misspelt name, without the prefix. TASKLOOM_DEMO_DIR of some program is not TASKLOOM_LOG_DIR.
_SIMILARITY = 0.8

Source = Literal["option", "environment", "env file", "file", "default"]


class Given(NamedTuple):
    """The value of one setting, and where it comes from."""

    value: Any
    """The final value; of `control` a bool, or the path of the socket; of `history` a HistorySetting."""
    written: str
    """As it was written, on one line."""
    source: Source
    name: str = ""
    """The option or the variable."""
    place: Place | None = None
    """The place in a file, if it comes from one."""

    def __str__(self) -> str:
        where = "" if self.place is None else f"{self.place.path}:{self.place.line}"
        if self.source == "option":
            return f"option {self.name}"
        return " ".join(filter(None, (self.name, where))) or self.source


class Flag(NamedTuple):
    """An option of the command line, and its value; None or "", as of an unset variable, if it was not given."""

    option: str
    value: Any


def _flags_of(flags: Mapping[str, Flag]) -> dict[str, Given]:
    """Return the settings among the options, by the name of the setting."""
    return {
        name: Given(flag.value, _shown_value(flag.value), "option", flag.option)
        for name, flag in flags.items()
        if flag.value not in {None, ""}
    }


def _defaults() -> dict[str, Given]:
    """Return the default of each setting; None for one that is made later or is not there."""
    found = {
        name: Given(_read(name, setting.default) if setting.default else None, setting.default, "default")
        for name, setting in SETTINGS.items()
    }
    return {**found, "history": Given(HistorySetting(), "", "default")}


class Sources:
    """The options and the environment of one command, to which the files add what they have.

    Raises click.UsageError for a bad value in the environment.
    """

    def __init__(self, flags: Mapping[str, Flag], environ: Mapping[str, str]) -> None:
        self._flags = _flags_of(flags)
        self._environ = _from_variables(_set_variables(environ))
        self._is_set = {name for name, text in environ.items() if text}
        self.warnings = list(misspelt_variables(environ))
        """One sentence for each variable that is probably a misspelt one."""

    def before_files(self) -> dict[str, Given]:
        """Return every setting as far as it is known before a file is read."""
        return {**_defaults(), **self._environ, **self._flags}

    def with_files(self, env_values: Mapping[str, EnvValue], found: Mapping[str, FileSetting]) -> dict[str, Given]:
        """Return every setting, with those of the files. Raises click.UsageError for a bad value of an env file."""
        in_files = {name: Given(each.value, each.written, "file", "", each.place) for name, each in found.items()}
        # A variable of the environment hides the same one of a file, whether it can be read or not.
        usable = {name: each for name, each in env_values.items() if each.text and name not in self._is_set}
        from_env = _from_variables(
            {name: (each.text, each.place) for name, each in usable.items() if name in _VARIABLES}
        )
        given = {**_defaults(), **in_files, **from_env, **self._environ, **self._flags}
        history = given["history"]
        if "history" in in_files and history.source != "file":
            # An option and a variable say only whether and where; how much is kept is said in the file alone.
            limited = history.value.with_limits_of(in_files["history"].value)
            given["history"] = history._replace(value=limited)
        return given

    def stop_within(self, env_values: Mapping[str, EnvValue]) -> float | None:
        """Return the seconds for a stop if something has them that goes before the job files."""
        found = self.with_files(env_values, {})["stop_within"]
        return None if found.source == "default" else float(found.value)


def misspelt_variables(environ: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each unknown variable whose name is nearly that of a setting."""
    for name, near in _misspelt(environ):
        yield f"cannot find a setting for the environment variable {name}{suggest(near, before='; ')}"


def misspelt_in_files(env_values: Mapping[str, EnvValue]) -> Iterator[Problem]:
    """Yield a warning for each such variable of an env file."""
    for name, near in _misspelt(env_values):
        message = f"cannot find a setting for {name}"
        yield Problem(env_values[name].place, message, suggest(near), "warning")


def _misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    known = {_letters(name): name for name in _VARIABLES}
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in _VARIABLES:
            near = difflib.get_close_matches(_letters(name), known, n=1, cutoff=_SIMILARITY)
            if near:
                yield name, known[near[0]]


def _shown_value(value: object) -> str:
    """Return a final value as it would be written."""
    if isinstance(value, bool):
        return str(value).lower()
    return duration(value) if isinstance(value, float) else str(value)


def as_json(settings: Mapping[str, Given]) -> dict[str, Any]:
    """Return the settings as JSON data: each as written, where it comes from, and the place if it is in a file.

    The value itself may come from `${file:PATH}`, and is left out.
    """
    return {
        name: {
            "written": given.written,
            "from": given.source,
            **({"name": given.name} if given.name else {}),
            **({} if given.place is None else {"path": given.place.path, "line": given.place.line}),
        }
        for name, given in settings.items()
    }


def _letters(name: str) -> str:
    return name.removeprefix(PREFIX).lower().replace("_", "")


_Text = tuple[str, "Place | None"]


def _set_variables(environ: Mapping[str, str]) -> dict[str, _Text]:
    return {name: (environ[name], None) for name in _VARIABLES if environ.get(name)}


def _from_variables(texts: Mapping[str, _Text]) -> dict[str, Given]:
    """Return the settings in variables. Raises click.UsageError for the first bad one."""
    found: dict[str, Given] = {}
    for variable, (text, place) in texts.items():
        name = _VARIABLES[variable]
        value = text if variable == _SOCKET else _checked(variable, name, text, place)
        if variable == _SOCKET and name in found and found[name].value is False:
            continue  # no control socket at all
        source: Source = "environment" if place is None else "env file"
        written = without_passwords(text) if name == "history" else text
        found[name] = Given(value, written, source, variable, place)
    return found


def _checked(variable: str, name: str, text: str, place: Place | None) -> Any:
    try:
        return _read(name, text)
    except JobErrors as error:
        [first, *_] = error.errors
        where = f"{place}: " if place is not None else ""
        hint = f" ({first.hint})" if first.hint else ""
        raise click.UsageError(f"{where}{variable}: {first.message}{hint}") from None


def _read(name: str, text: str) -> Any:
    """Return the final value for a text. Raises JobErrors.

    A number is a number of seconds, and `true` is a boolean, where the setting takes these.
    """
    value: object = text
    if name in ("control", "history") and text in ("true", "false"):
        value = text == "true"
    elif name == "stop_within":
        value = number_or_text(text)
    return SETTINGS[name].read(value)
