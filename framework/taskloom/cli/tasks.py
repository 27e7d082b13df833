"""`taskloom tasks`: the installed tasks, or one task and its parameters."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from taskloom.cli.completion.known_names import complete_tasks
from taskloom.cli.echo import echo, echo_error, echo_json, echo_styled
from taskloom.cli.format_type import as_data, default_of, format_constraints, format_type, format_value
from taskloom.cli.standard_streams import imports_on_stderr
from taskloom.errors import CatalogError, TaskImportFailed, TaskNotFound
from taskloom.observe.terminal import is_terminal
from taskloom.task import Duration
from taskloom.text import printable, suggest, table

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog, CatalogEntry, LoadedTask
    from taskloom.catalog.params import ParamShape, TaskShape

__all__ = ["tasks"]

EXIT_NOT_FOUND = 2
_LONGEST_JOB_NAME = 63


class _Row(NamedTuple):
    """One line of the list. `error` is why the task cannot be used."""

    name: str
    """The name for job files: with the distribution if two offer the name."""
    entry: CatalogEntry
    summary: str
    error: str = ""

    @property
    def cells(self) -> tuple[str, str, str]:
        text = f"broken: {self.error}" if self.error else self.summary
        return self.name, self.entry.offered_by, text


@click.command()
@click.argument("name", required=False, shell_complete=complete_tasks)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Output format.")  # fmt: skip
@click.pass_context
def tasks(context: click.Context, name: str | None, output: str) -> None:
    """List the installed tasks, or show what the task NAME does and its parameters.

    A task that cannot be used is listed as broken, with the reason. Its NAME shows the traceback of its import.
    """
    from taskloom.catalog.entry_points import Catalog
    from taskloom.catalog.signatures import ShapeError

    catalog = Catalog()
    if name is None:
        with imports_on_stderr():  # keeps what plugins print on import out of the list
            rows = [_row(catalog, name, entry) for name, entry in catalog.spellings().items()]
        for line in catalog.broken():
            echo_error(f"taskloom: broken package: {line}")
        echo_json([_row_as_json(row) for row in rows]) if output == "json" else _echo_rows(rows)
        return
    try:
        with imports_on_stderr():
            loaded = catalog.load(name)
        echo_json(_task_as_json(loaded)) if output == "json" else echo("\n".join(_described(loaded, name)))
    except (CatalogError, ShapeError) as error:
        if isinstance(error, TaskImportFailed):
            echo_error(error.traceback)
        near = suggest(error.near, before="; ") if isinstance(error, TaskNotFound) else ""
        echo_error(printable(f"taskloom: {error}{near}"))
        context.exit(EXIT_NOT_FOUND)


def _row(catalog: Catalog, name: str, entry: CatalogEntry) -> _Row:
    try:
        doc = catalog.load(name).shape.doc
    except CatalogError as error:
        return _Row(name, entry, "", str(error))
    return _Row(name, entry, " ".join(doc.partition("\n\n")[0].split()))


def _row_as_json(row: _Row) -> dict[str, Any]:
    return {**row.entry._asdict(), "summary": row.summary, "error": row.error or None}


def _echo_rows(rows: Sequence[_Row]) -> None:
    if _is_terminal():
        _echo_table(rows)
    else:
        for row in rows:
            click.echo("\t".join(map(printable, row.cells)))


def _is_terminal() -> bool:
    return is_terminal(sys.stdout)


def _echo_table(rows: Iterable[_Row]) -> None:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    from taskloom.cli.rich_table import render_table

    columns = [Column(name, overflow="fold") for name in ("task", "package", "what it does")]  # nothing is left out
    table = Table(*columns, box=box.SIMPLE, pad_edge=False)
    for row in rows:
        name, package, text = map(printable, row.cells)
        # As Text, since rich would read brackets in a docstring as markup.
        table.add_row(Text(name, style="bold"), Text(package), Text(text, style="red" if row.error else ""))
    echo_styled(render_table(table))


def _task_as_json(loaded: LoadedTask) -> dict[str, Any]:
    shape = loaded.shape
    return {
        "name": loaded.name,
        "distribution": loaded.distribution,
        "version": loaded.version,
        "target": shape.label,
        "doc": shape.doc,
        "has_terminate": shape.has_terminate,
        "announces_ready": shape.announces_ready,
        "is_program": shape.is_program,
        "params": [_param_as_json(param, shape.takes.defaults) for param in shape.params],
        "schema": shape.json_schema(),
    }


def _param_as_json(param: ParamShape, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter as data. `defaults`: converted to their types, without those made for each instance."""
    is_hidden = param.is_required or _is_secret(param)
    default = None if is_hidden else defaults[param.name] if param.name in defaults else default_of(param)
    return {
        "name": param.name,
        "type": format_type(param.annotation),
        "required": param.is_required,
        "default": as_data(default),
        "description": _description(param),
        "examples": [as_data(each) for each in param.info.examples],
    }


def _described(loaded: LoadedTask, name: str) -> list[str]:
    shape = loaded.shape
    lines = [f"{loaded.name}  ({loaded.distribution} {loaded.version}, {shape.label})", ""]
    if shape.doc:
        lines += [shape.doc, ""]
    if shape.params:
        lines += [table([("parameter", "type", "default", "description"), *map(_cells, shape.params)]), ""]
    else:
        lines += ["It takes no parameters.", ""]
    if shape.is_program:
        lines += ["It describes a program: its jobs run on the runner process.", ""]
    return [*lines, "An example job file:", "", *_example(loaded, name)]


def _cells(param: ParamShape) -> tuple[str, ...]:
    # "or null" is redundant: such a parameter has the default null.
    type_name = format_type(param.annotation)
    return param.name, type_name.removesuffix(" or null") or type_name, _default_text(param), _description(param)


def _default_text(param: ParamShape) -> str:
    if param.is_required:
        return "required"
    if _is_secret(param):
        return "hidden"
    return format_value(default_of(param), param.annotation)


def _is_secret(param: ParamShape) -> bool:
    return "secret" in format_type(param.annotation)


def _description(param: ParamShape) -> str:
    return "; ".join(each for each in (param.info.description, format_constraints(param.info.constraints)) if each)


def _example(loaded: LoadedTask, task: str) -> list[str]:
    """Return the lines of a job file with one job of the task. `task`: what the job writes."""
    job = re.sub(r"[^A-Za-z0-9_-]+", "-", f"my-{loaded.name}")[:_LONGEST_JOB_NAME]
    lines = ["jobs:", f"  {job}:", f"    task: {format_value(task)}"]
    params = {param.name: param for param in loaded.shape.params}
    values = _example_params(loaded.shape)
    if values:
        lines.append("    params:")
    return lines + [f"      {name}: {format_value(value, params[name].annotation)}" for name, value in values.items()]


def _example_params(shape: TaskShape) -> dict[str, Any]:
    """Return the required parameters, and the optional ones with examples if the task accepts them together."""
    from taskloom.catalog.params import ParamErrors

    required = {param.name: _example_value(param) for param in shape.params if param.is_required}
    optional = {
        param.name: _example_value(param) for param in shape.params if param.info.examples and not param.is_required
    }
    # Some optional parameters exclude each other, such as `listen` and `connect`: then only the first is shown.
    for choice in (optional, *({name: value} for name, value in optional.items()), {}):
        try:
            shape.validate(required | choice)
        except ParamErrors:
            continue
        return required | choice
    return required


def _example_value(param: ParamShape) -> Any:
    """Return the first example of a parameter, or else some value of its type."""
    if param.info.examples:
        return param.info.examples[0]
    if param.annotation == Duration:
        return 1.0
    return {int: 1, float: 1.0, bool: True, list: [], dict: {}}.get(param.annotation, "...")
