"""`taskloom schema`: the JSON Schema with which an editor completes and checks job files."""

from __future__ import annotations

from pathlib import Path

import click

from taskloom.cli.echo import echo_json
from taskloom.cli.standard_streams import imports_on_stderr
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

    with imports_on_stderr():  # keeps what plugins print on import out of the schema
        data = job_file_schema(Catalog())
    if output is None or output == "-":
        echo_json(data)
        return
    try:
        Path(output).write_text(to_json(data, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output!r}: {error.strerror}") from None
