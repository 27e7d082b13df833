"""Writes the answers of the verbs: text without control characters, and JSON that every locale can carry."""

from __future__ import annotations

import sys
from typing import Any

import click

from taskloom.text import printable_lines, to_json

__all__ = ["echo", "echo_error", "echo_json", "echo_styled"]


def echo(text: str) -> None:
    """Write lines to standard output. Control characters that tasks or files have brought are escaped."""
    click.echo(printable_lines(text))


def echo_error(text: str) -> None:
    """Write lines to standard error, as `echo`; the text may end with a line break."""
    click.echo(printable_lines(text.removesuffix("\n")), err=True)


def echo_styled(text: str, *, is_error: bool = False) -> None:
    """Write lines that may have escapes for colours, as they are: who made them has asked `has_styles`."""
    click.echo(text.removesuffix("\n"), err=is_error, color=True)


def echo_json(data: Any) -> None:
    """Write the data as indented JSON to standard output; in ASCII if the encoding there has not all characters."""
    text = to_json(data, indent=2, default=str)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = to_json(data, indent=2, is_ascii=True, default=str)
    click.echo(text)
