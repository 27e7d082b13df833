"""Jobs that start a program: what their params say together with the machine, and what a shell must not be given."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskloom.diagnostics import FieldError, Problem, quoted
from taskloom.jobfile.declared_job import DeclaredJob
from taskloom.jobfile.syntax.interpolation import references_in
from taskloom.runners.process.env_files import EnvFileError, read_env
from taskloom.runners.process.programs import why_not_executed

if TYPE_CHECKING:
    from taskloom.core.model import JobSpec
    from taskloom.program import Program

__all__ = ["problems_in_programs"]

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh", "fish"})
# `-c`, also together with other options: `-ec`.
_TEXT_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*", re.ASCII)
_ENV = "give it by env, and write $NAME"


def problems_in_programs(declared: Iterable[DeclaredJob]) -> Iterator[Problem]:
    """Yield the errors and warnings about the programs of all enabled jobs. Looks for their files."""
    for job in declared:
        spec = job.spec
        make = getattr(spec.binding, "program", None) if spec is not None else None
        if spec is not None and spec.enabled and make is not None:
            yield from _problems(job, spec, make())


def _problems(job: DeclaredJob, spec: JobSpec, program: Program) -> Iterator[Problem]:
    for path, name in _given_to_shell(job, program.argv[-1:] if program.shell else ()):
        message = f"cannot use {name} in the text of a shell, which would execute its value; {_ENV}"
        hint = f"$${name[1:]} is the shell's own {name}"
        yield job.error(FieldError(("params", *path), message, hint))
    for path, name in _given_to_shell(job, () if program.shell else _shell_texts(program)):
        message = f"the value of {name} is executed by a shell: {_ENV}"
        yield _warning(job, "params", path, message, f"$${name[1:]} is the shell's own {name}")
    for file in program.env_files:
        try:
            read_env([file])
        except EnvFileError as error:
            if Path(file).exists():
                yield job.error(FieldError(_existing(job, ("params", "env_file")), str(error)))
            else:
                message = f"the program cannot start before its env_file exists: {quoted(file)}"
                yield _warning(job, "params", ("env_file",), message, _of_tilde(file))
    yield from _warnings(job, spec, program)


def _given_to_shell(job: DeclaredJob, texts: Iterable[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the place of each param that is one of the texts and holds a variable of the job file, and the variable."""
    wanted = set(texts)
    params = job.written.get("params") if wanted else None
    for path, value in _scalars(params):
        if value in wanted:
            written = job.document.positions.written((*job.path_of("params"), *path))
            name = next(references_in(written), None)
            if name is not None:
                yield path, name


def _scalars(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _scalars(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _scalars(each, (*path, index))
    elif isinstance(value, str):
        yield path, value


def _shell_texts(program: Program) -> Iterator[str]:
    """Yield what the program and the commands beside it give to a shell, as in `[sh, -c, TEXT]`."""
    checked = program.check.command if program.check is not None else ()
    for argv in (program.argv, program.stop_command, checked):
        # Also behind a program that starts another one: `env`, `nice`, `sudo`.
        names = [argument.rpartition("/")[2] for argument in argv]
        first = next((index for index, name in enumerate(names) if name in _SHELLS), len(names))
        for option, text in pairwise(argv[first:]):
            if _TEXT_OPTION.fullmatch(option):
                yield text
                break


def _warnings(job: DeclaredJob, spec: JobSpec, program: Program) -> Iterator[Problem]:
    options = spec.runner.options
    folder = program.cwd if program.cwd is not None else options.get("cwd")
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 - as it was written
        message = f"the program cannot start before its folder exists: {quoted(folder)}"
        if program.cwd is not None:
            yield _warning(job, "params", ("cwd",), message, _of_tilde(folder))
        else:
            yield _warning(job, "runner", (spec.runner.name, "cwd"), message)
        return
    checked = program.check.command if program.check is not None else ()
    env = {**os.environ, **_read(program), **options.get("env", {}), **program.env}
    for loc, argv in ((("argv",), program.argv), (("stop_command",), program.stop_command), (("check",), checked)):
        if argv and (why := _why_missing(argv[0], env, folder)):
            message = f"the program {quoted(argv[0])} cannot be started: {why}"
            yield _warning(job, "params", loc, message, _of_tilde(argv[0]))
    # Not one of `defaults:`, which is for the other jobs.
    if spec.watchdog is not None and program.check is None and "watchdog" in job.written:
        message = "watchdog has no effect: a program does not poll, and this one has no check"
        yield _warning(job, "watchdog", (), message, "add a check to its params")


def _of_tilde(path: str) -> str:
    """Return a hint for a path that a shell would have replaced; "" for others."""
    return "'~' is not replaced here: write ${HOME}" if path.startswith("~") else ""


def _read(program: Program) -> Mapping[str, str]:
    try:
        return read_env(program.env_files)
    except EnvFileError:
        return {}


def _why_missing(name: str, env: Mapping[str, str], folder: str | None) -> str:
    """Return why a program cannot be started now; "" if it can. It may be installed before the job starts."""
    if "/" in name:
        path = Path(folder or ".") / name
        if os.access(path, os.X_OK) and path.is_file():
            return ""
        if path.exists():
            return "it is not a program" if path.is_file() else "it is not a file"
    elif shutil.which(name, path=env.get("PATH")):
        return ""
    return why_not_executed(name, env, folder, errno.ENOENT) or "it does not exist"


def _existing(job: DeclaredJob, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path, or as much of it as is written: a task of others may have made its program of other params."""
    value: Any = job.written
    for number, part in enumerate(path):
        if not isinstance(value, Mapping) or part not in value:
            return path[:number]
        value = value[part]
    return path


def _warning(job: DeclaredJob, field: str, loc: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
    section = job.written.get(field, job.defaults.get(field))
    is_there = bool(loc) and isinstance(section, Mapping) and loc[0] in section
    return job.warning(field, FieldError(loc if is_there else (), message, hint))
