"""Options that several verbs have: durations (`5s`, `1h30m`, a number of seconds, `forever`), and `--env-file`."""

from __future__ import annotations

import click

from taskloom.task import parse_duration

__all__ = ["ProgramName", "Seconds", "env_file_option", "number_or_text", "read_seconds"]

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
