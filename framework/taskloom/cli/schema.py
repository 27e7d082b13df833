"""`taskloom schema`: the JSON Schema with which an editor completes and checks job files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from taskloom.text import to_json

__all__ = ["schema"]


@click.command()
@click.option("-o", "--output", metavar="FILE", help="Write to this file instead of standard output.")
def schema(output: str | None) -> None:
    """Print the JSON Schema of job files, with the parameters of all installed tasks.

    An editor with a YAML language server completes and checks a job file whose first line names the schema:

    # yaml-language-server: $schema=taskloom.schema.json
    """
    from taskloom.catalog.entry_points import Catalog
    from taskloom.jobfile.fields.json_schema import job_file_schema

    with contextlib.redirect_stdout(sys.stderr):  # keeps what plugins print on import out of the schema
        text = to_json(job_file_schema(Catalog()), indent=2)
    if output is None or output == "-":
        click.echo(text)
        return
    try:
        Path(output).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output!r}: {error.strerror}") from None
