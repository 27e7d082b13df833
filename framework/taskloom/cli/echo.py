"""Writes the answers of the verbs: text without control characters, and JSON that every locale can carry."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from taskloom.text import as_json_text, printable_lines

__all__ = ["echo", "echo_error", "echo_json"]


def echo(text: str) -> None:
    """Write lines to standard output. Control characters that tasks or files have brought are escaped."""
    click.echo(printable_lines(text))


def echo_error(text: str) -> None:
    """Write lines to standard error, as `echo`; the text may end with a line break."""
    click.echo(printable_lines(text.removesuffix("\n")), err=True)


def echo_json(data: Any) -> None:
    """Write the data as indented JSON to standard output; in ASCII if the encoding there has not all characters."""
    text = as_json_text(data, indent=2)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # Beyond ASCII there are only strings, so each character may be escaped where it is.
        text = "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text)
    click.echo(text)
