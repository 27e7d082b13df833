"""Options that several verbs have: durations (`5s`, `1h30m`, a number of seconds, `forever`), and `--env-file`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskloom.task import parse_duration

if TYPE_CHECKING:
    from taskloom.jobfile.fields.history import HistorySetting
    from taskloom.jobfile.fields.metrics import MetricsAddress

__all__ = [
    "HistoryPlace",
    "MetricsPlace",
    "ProgramName",
    "Seconds",
    "env_file_option",
    "number_or_text",
    "read_seconds",
]

env_file_option = click.option(
    "--env-file",
    "env_files",
    multiple=True,
    type=click.Path(),
    metavar="PATH",
    help="Take values for ${NAME} in job files from this file of NAME=VALUE lines, too; may be repeated, and the last "
    "one counts. The environment goes first.",
)


class Seconds(click.ParamType[float]):
    """A duration in seconds. `forever` is infinity and needs `allows_forever`; `is_positive` refuses 0."""

    name = "duration"

    def __init__(self, *, allows_forever: bool = False, is_positive: bool = False) -> None:
        self._allows_forever, self._is_positive = allows_forever, is_positive

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. A default that is a number already stays."""
        if isinstance(value, float):
            return value
        if value == "forever" and self._allows_forever:
            return float("inf")
        try:
            seconds = read_seconds(str(value))
        except ValueError as error:
            self.fail(f"{error}; or forever" if self._allows_forever else f"{error}", param, ctx)
        if self._is_positive and seconds == 0:
            self.fail(f"cannot use {value!r} as a duration; it must be more than 0", param, ctx)
        return seconds


class ProgramName(click.ParamType[str]):
    """The name of a program."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with the legal characters."""
        from taskloom.control.names import checked_name

        try:
            return checked_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class HistoryPlace(click.ParamType["HistorySetting"]):
    """Whether and where there is a history: `on`, `off`, a path or a URL. A password is refused."""

    name = "place"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> HistorySetting:
        """Return the setting, or fail with the legal forms."""
        from taskloom.jobfile.fields.history import HISTORY, HistorySetting, has_password
        from taskloom.jobfile.fields.spec import JobErrors
        from taskloom.jobfile.url_passwords import without_passwords

        if isinstance(value, HistorySetting):
            return value
        text = str(value)
        if has_password(text):
            shown = without_passwords(text)
            self.fail(
                f"cannot use {shown!r}: a password on the command line is shown to all users of the machine; "
                "expected it in PGPASSWORD, in the file that PGPASSFILE names, or as ${file:PATH} in the job file",
                param,
                ctx,
            )
        try:
            return HISTORY.read({"true": True, "false": False}.get(text, text), ("history",))
        except JobErrors as error:
            [first, *_] = error.errors
            hint = f" ({first.hint})" if first.hint else ""
            message = first.message.replace(" as history;", ";").replace(", or a mapping of url, keep and size", "")
            self.fail(f"{message}{hint}", param, ctx)


class MetricsPlace(click.ParamType["MetricsAddress"]):
    """The address at which metrics are given."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> MetricsAddress:
        """Return the address, or fail with the legal forms."""
        from taskloom.jobfile.fields.metrics import METRICS, MetricsAddress
        from taskloom.jobfile.fields.spec import JobErrors

        if isinstance(value, MetricsAddress):
            return value
        try:
            return METRICS.read(str(value), ("metrics",))
        except JobErrors as error:
            [first] = error.errors
            hint = f" ({first.hint})" if first.hint else ""
            self.fail(f"{first.message.replace(' as metrics;', ';')}{hint}", param, ctx)


def read_seconds(text: str) -> float:
    """Return the seconds that a text of the command line means. Raises ValueError with the legal forms."""
    return parse_duration(number_or_text(text))


def number_or_text(text: str) -> int | float | str:
    """Return the number that a text is, so that a message quotes it as it was written; else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
