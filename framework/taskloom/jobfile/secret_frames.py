"""Masks secrets in the lines of job files that are shown with a problem.

A line is shown because of a problem in it, and a password may be in the same line. The type of a parameter decides
if it is secret. If the type is unknown, since the task cannot be imported or the file is not valid YAML, its name does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.catalog.pydantic_errors import is_secret_type, is_secret_variable, type_at
from taskloom.catalog.signatures import ShapeError
from taskloom.diagnostics import MASK, SECRET_NAME, Problem
from taskloom.errors import CatalogError
from taskloom.jobfile.url_passwords import password_columns

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import Catalog
    from taskloom.catalog.params import TaskShape
    from taskloom.jobfile.syntax.document import Document

__all__ = ["WrittenJob", "is_reference", "mask_by_name", "mask_secret_params"]

Columns = tuple[int, int]
"""A part of a line, from 0, without its end."""

# The end of a key with such a name, and the first character of its value. Bounded: a line may be megabytes long.
_SECRET_KEY = re.compile(rf"""(?:{SECRET_NAME.pattern})[\w-]{{0,24}}["']?\s{{0,9}}:\s{{1,9}}(?=\S)""", re.IGNORECASE)
_SECRET_WITHOUT_BLANK = re.compile(
    rf"(?<![^\s{{,])[\w-]{{0,24}}(?:{SECRET_NAME.pattern})[\w-]{{0,24}}:(?![/\\:?-])([^\s,\]}}\"']+)", re.IGNORECASE
)
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?""")
# Of a URL, up to its path or its query, with the quotation mark before it.
_HOST = re.compile(r"""["']?(?:[A-Za-z]+://)?[^/?#\s"']*["']?""")
_WEBHOOK = "webhook"
_IN_BRACES, _TO_THE_END = re.compile(r"[^,}]*"), re.compile(r".*")
# A value that refers to the secret, or only says that it begins in the next line.
_REFERENCE = re.compile(
    r"""["']?\$\{(?:[A-Za-z_][A-Za-z0-9_]*|file:(?:\$\{\w+\}|(?!:-)[^{}])+?)(:\?[^{}]*)?\}["']?|[|>][-+0-9]{0,2}"""
)


def is_reference(written: str) -> bool:
    """Return whether the text of a value only names a variable or a file, which is no secret, or is no value at all."""
    return _REFERENCE.fullmatch(written) is not None


class WrittenJob(NamedTuple):
    """A job as it is written in a file, whether it is valid or not; or the defaults of the jobs, or the settings."""

    path: tuple[str, ...]
    """The path at which it is written, such as `("jobs", "web")`."""
    document: Document
    written: Mapping[str, Any]


def mask_secret_params(problems: Sequence[Problem], jobs: Iterable[WrittenJob], catalog: Catalog) -> list[Problem]:
    """Return the problems with the secret parameters and environment variables of the jobs masked in their lines."""
    shown = {(each.place.path, each.place.line): each.source_line for each in problems if each.source_line}
    files = {path for path, _ in shown}
    secrets: dict[tuple[str, int], set[Columns]] = {}
    for job in jobs:
        if job.document.path in files:
            for path in _secret_paths(job, catalog):
                for line, columns in _lines_of(job.document, path):
                    source = shown.get((job.document.path, line))
                    if source is not None:
                        start, end = _after_host(source, columns) if path[-1] == _WEBHOOK else columns
                        if start < end:
                            secrets.setdefault((job.document.path, line), set()).add((start, end))
    return [
        _masked(problem, {*secrets.get((problem.place.path, problem.place.line), ()), *_secrets_in_line(problem)})
        for problem in problems
    ]


def _after_host(line: str, columns: Columns) -> Columns:
    """Return where the path and the query of a URL are, which may be empty: many a URL of a webhook is a password."""
    start, end = columns
    host = _HOST.match(line, start, end)
    return (start if host is None else host.end(), end)


def _secrets_in_line(problem: Problem) -> list[Columns]:
    """Return the columns of secrets that are part of a key, since the blank is missing, and of passwords in URLs."""
    line = problem.source_line
    return [*(found.span(1) for found in _SECRET_WITHOUT_BLANK.finditer(line)), *password_columns(line)]


def mask_by_name(problem: Problem) -> Problem:
    """Return the problem with the values of keys such as `password` masked: the types are unknown."""
    line, found, end = problem.source_line, _secrets_in_line(problem), 0
    brace = line.find("{")
    while (key := _SECRET_KEY.search(line, end)) is not None:
        start = key.end()
        pattern = _QUOTED if line[start] in "\"'" else _IN_BRACES if 0 <= brace < start else _TO_THE_END
        value = pattern.match(line, start)
        text = "" if value is None else value[0].rstrip()
        end = start + len(text)
        if text and not is_reference(text):
            found.append((start, end))
    return _masked(problem, found)


def _secret_paths(job: WrittenJob, catalog: Catalog) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each secret value of a job."""
    for inner in _leaves(job.written.get("notify")):
        if _WEBHOOK in inner or "secret" in inner:
            yield (*job.path, "notify", *inner)
    for inner in _secret_variables(job.written.get("runner")):
        yield (*job.path, "runner", *inner)
    params = job.written.get("params")
    if not isinstance(params, dict):
        return
    shape = _shape_of(job.written.get("task"), catalog)
    types = {} if shape is None else {param.name: param.annotation for param in shape.params}
    has_secrets = any(map(is_secret_type, types.values()))
    for name, value in params.items():
        for inner in _leaves(value):
            if name in types:
                is_secret = is_secret_type(type_at(types[name], inner)) or is_secret_variable((name, *inner))
            else:
                # Perhaps a misspelt one.
                is_secret = has_secrets or any(SECRET_NAME.search(str(part)) for part in (name, *inner))
            if is_secret:
                yield (*job.path, "params", name, *inner)


def _secret_variables(runner: object) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each environment variable with a name such as `PASSWORD` in the options of a runner."""
    for name, options in runner.items() if isinstance(runner, dict) else ():
        env = options.get("env") if isinstance(options, dict) else None
        for variable, value in env.items() if isinstance(env, dict) else ():
            if SECRET_NAME.search(str(variable)):
                yield from ((name, "env", variable, *inner) for inner in _leaves(value))


def _shape_of(task: object, catalog: Catalog) -> TaskShape | None:
    try:
        return catalog.load(task).shape if isinstance(task, str) else None
    except (CatalogError, ShapeError):
        return None


def _leaves(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each scalar in a value; the empty path for a scalar."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *inner) for inner in _leaves(item))
    else:
        yield ()


def _lines_of(document: Document, path: tuple[str | int, ...]) -> Iterator[tuple[int, Columns]]:
    """Yield each line of the scalar at a path, with its columns; nothing if it only refers to a variable."""
    source = document.source
    written = document.positions.written(path)
    if not written or is_reference(written):
        return
    start, end = document.positions.offsets(path)
    while start < end:
        place, text = source.place(start, end), source.line(start)
        part = text[place.column - 1 : place.column - 1 + place.length]
        indent = len(part) - len(part.lstrip())
        if part.strip() and not is_reference(part.strip()):
            first = place.column - 1 + indent
            yield place.line, (first, first + len(part.strip()))
        start = source.line_start(start) + len(text)
        while start < end and source.text[start] in "\r\n":
            start += 1


def _masked(problem: Problem, secrets: Iterable[Columns]) -> Problem:
    """Return the problem with parts of its line masked, and the caret where it belongs now."""
    parts = sorted(secrets)
    if not parts or not problem.source_line:
        return problem
    line, text, shifts = problem.source_line, "", []
    done = 0
    for start, end in parts:
        if start >= done:
            text += line[done:start]
            shifts.append((start, end, len(text)))
            text += MASK
            done = end
    text += line[done:]
    first = problem.place.column - 1
    last = first + problem.place.length
    start, end = _moved(first, shifts, at_end=False), _moved(last, shifts, at_end=True)
    return problem._replace(source_line=text, caret=(start + 1, max(1, end - start)))


def _moved(column: int, shifts: Iterable[tuple[int, int, int]], *, at_end: bool) -> int:
    """Return where a column is after the masking; inside of a secret, where its mask begins or ends."""
    moved = column
    for start, end, masked in shifts:
        if start < column < end or (not at_end and column == start):
            return masked + (len(MASK) if at_end else 0)
        if end <= column:
            moved = column - end + masked + len(MASK)
    return moved
