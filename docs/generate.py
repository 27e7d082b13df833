"""Write the pages of the reference, which are made from the code: `python docs/generate.py`.

A test fails when they are out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for tests/support

from taskloom import JobState, Outcome, ReasonKind, errors, task, testing, waiting
from taskloom.catalog.entry_points import Catalog, LoadedTask
from taskloom.catalog.params import ParamShape
from taskloom.cli import entry
from taskloom.cli.format_type import format_constraints, format_type, format_value
from taskloom.core.events import Event, EventName
from taskloom.core.model import Hold, Otherwise, WaitingFor
from taskloom.core.policies import Condition, Missed, Overlap, RestartWhen, WatchdogThen
from taskloom.core.report import ExitCode, JobReport, Killed, StopReport, Survivor
from taskloom.core.transitions import TRANSITIONS, Decision, mermaid
from taskloom.job import Job
from taskloom.jobfile.fields.dask_options import DASK_OPTIONS
from taskloom.jobfile.fields.process_options import PROCESS_OPTIONS
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.jobfile.fields.settings import SETTINGS
from taskloom.program import Check, Program
from taskloom.runners import Stack
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.firings import Firing
from taskloom.scheduler.handles import JobHandle, JobStatus, Run
from taskloom.scheduler.snapshots import Snapshot
from taskloom.scheduler.subscribers import Listener
from taskloom.scheduler.why import Why

__all__ = ["pages"]

FOLDER = Path(__file__).resolve().parent / "reference"
HELP_WIDTH = 100
# Methods that only the scheduler's own modules call.
INNER = {
    "begin", "call_after_samples", "gauges", "handle", "is_gone", "poll_age", "prepare", "put", "record",
    "request_snapshot", "runner_name", "unfinished_callbacks",
}  # fmt: skip
WARNING = "% Made by docs/generate.py from the code. Change the docstrings there, not this page.\n\n"


# -- reading the source --------------------------------------------------------------------------


def member_docs(owner: type) -> dict[str, str]:
    """Return the docstring below each member of a class, in order; empty for a member without one."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    docs: dict[str, str] = {}
    name = ""
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            name = each.targets[0].id
            docs[name] = ""
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            name = each.target.id
            docs[name] = ""
        elif name and isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            docs[name] = inspect.cleandoc(str(each.value.value))
    return {name: doc for name, doc in docs.items() if not name.startswith("_")}


def methods_of(owner: type) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the public methods and properties of a class, in source order."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    functions = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [each for each in functions if not each.name.startswith("_")]


def signature_of(function: ast.FunctionDef | ast.AsyncFunctionDef, called_on: str = "") -> str:
    """Return the signature of a function, or the name and type of a property."""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    if any(isinstance(each, ast.Name) and each.id == "property" for each in function.decorator_list):
        return f"{called_on}{function.name}: {ast.unparse(function.returns or ast.Constant(None))}"
    awaited = "await " if isinstance(function, ast.AsyncFunctionDef) else ""
    arguments = function.args
    if called_on:
        arguments.args = arguments.args[1:]
    # `ast.unparse` writes `seconds: float=1.0`, without the blanks of the source.
    words = re.sub(r"(: [^,=]+)=", r"\1 = ", ast.unparse(arguments))
    return f"{awaited}{called_on}{function.name}({words}){returns}"


# -- Markdown ------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Return the text as the content of one table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def code(text: str) -> str:
    """Return the text in backticks, or an empty text unchanged."""
    return f"`{text}`" if text else ""


def enum_table(owner: type[Enum], head: tuple[str, str]) -> str:
    """Return a table of the values of an enum and their meanings."""
    docs = member_docs(owner)
    rows = [(code(str(member.value)), docs[member.name]) for member in owner]
    return table(head, rows)


def definition(function: ast.FunctionDef | ast.AsyncFunctionDef, called_on: str = "") -> str:
    """Return the signature and the docstring of a function, a method or a property."""
    doc = textwrap.indent(ast.get_docstring(function) or "", "  ").strip()
    return f"`{signature_of(function, called_on)}`\n: {doc}\n"


def members(owner: type, called_on: str) -> str:
    """Return the definitions of the public methods and properties of a class."""
    return "\n".join(definition(each, called_on) for each in methods_of(owner) if each.name not in INNER)


def attributes(owner: type, meanings: Mapping[str, str] | None = None) -> str:
    """Return a table of the annotated attributes of a record. `meanings` is for attributes without a docstring."""
    types, docs = inspect.get_annotations(owner), dict(meanings or {})
    rows = [
        (code(name), code(_type_text(types.get(name, ""))), doc or docs.get(name, ""))
        for name, doc in member_docs(owner).items()
    ]
    return table(("field", "type", "meaning"), rows)


def _type_text(annotation: object) -> str:
    # A NamedTuple stores its annotations as forward references.
    return str(getattr(annotation, "__forward_arg__", annotation))


# -- the pages -----------------------------------------------------------------------------------


def job_file_page() -> str:
    """Return the reference of the fields of a job."""
    rows = [
        (code(each.name), code(each.default) or ("required" if each.name == "task" else ""), each.summary)
        for each in FIELDS.values()
    ]
    return (
        "# The fields of a job\n\n"
        "[Job files](../job-files.md) describes how a file is read, and `defaults`, notes and `${VAR}`.\n\n"
        + table(("field", "default", "meaning"), rows)
        + "\n## `join`: the values of `otherwise`\n\n"
        + enum_table(Otherwise, ("`otherwise`", "what happens to a run that outlives its `within`"))
        + "\n## `runner`: the options of `process`\n\n"
        + table(("option", "meaning"), [(code(name), summary) for name, summary in PROCESS_OPTIONS.items()])
        + "\n## `runner`: the options of `dask`\n\n"
        "[Runs on other machines](../dask.md) describes them together.\n\n"
        + table(("option", "meaning"), [(code(name), summary) for name, summary in DASK_OPTIONS.items()])
        + "\n## `restart`: the values of `when`\n\n"
        + enum_table(RestartWhen, ("`when`", "after which runs another one follows"))
        + "\n## `after`: the conditions\n\n"
        + enum_table(Condition, ("condition", "what it requires of the other job"))
        + "\n## `schedule`: the values of `overlap` and `missed`\n\n"
        + enum_table(Overlap, ("`overlap`", "what happens if the job's last run is still alive when it fires"))
        + "\n"
        + enum_table(Missed, ("`missed`", "what happens to instants at which no run could start"))
        + "\n## `watchdog`: the values of `then`\n\n"
        + enum_table(WatchdogThen, ("`then`", "what happens to a run that has not polled for too long"))
        + "\n## `taskloom`: the settings of the program\n\n"
        "These belong to the whole program and not to a job; see [Settings](../settings.md).\n\n"
        + table(
            ("setting", "default", "meaning"),
            [(code(each.name), code(each.default), each.summary) for each in SETTINGS.values()],
        )
    )


def states_page() -> str:
    """Return the states of a job with the diagram and the transitions."""
    docs = member_docs(Decision)
    transitions = [
        (code(state.value), decision.value, code(target.value))
        for state, row in TRANSITIONS.items()
        for decision, target in row.items()
    ]
    return (
        "# States of a job\n\n"
        "The scheduler uses one table of transitions, and this page is made from it. No other transition can "
        "happen.\n\n"
        f"```mermaid\n{mermaid()}\n```\n\n"
        + enum_table(JobState, ("state", "meaning"))
        + "\nA `waiting` job waits for one of these:\n\n"
        + enum_table(WaitingFor, ("waits for", "meaning"))
        + "\nIn any state, a user may hold a job back:\n\n"
        + enum_table(Hold, ("hold", "meaning"))
        + "\n## Transitions\n\n"
        + table(("state", "decision", "next state"), transitions)
        + "\n"
        + table(("decision", "meaning"), [(each.value, docs[each.name]) for each in Decision])
    )


def words_page() -> str:
    """Return outcomes, reasons and exit codes."""
    codes = member_docs(ExitCode)
    return (
        "# Outcomes, reasons, exit codes\n\n## Outcome of a run\n\n"
        + enum_table(Outcome, ("outcome", "how the run ended"))
        + "\n## Reason\n\nWhy something was stopped, skipped or blocked: a kind and free text.\n\n"
        + enum_table(ReasonKind, ("kind", "meaning"))
        + "\n## Exit codes of `taskloom run`\n\nThe first that applies, in this order:\n\n"
        + table(("code", "meaning"), [(code(str(each.value)), codes[each.name]) for each in ExitCode])
        + "\nAfter a third stop signal the code is 128 plus the number of the signal: 130 for INT, 143 for TERM.\n"
    )


def events_page() -> str:
    """Return the names and the fields of events."""
    kinds = inspect.get_annotations(Event)
    return (
        "# Names and fields of events\n\n[Events](../events.md) describes how to use them.\n\n## Names\n\n"
        + enum_table(EventName, ("event", "meaning"))
        + f"\n## Fields\n\n{inspect.cleandoc(Event.__doc__ or '')}\n\n"
        + table(
            ("field", "type"),
            [(code(name), code(_type_text(kind))) for name, kind in kinds.items()],
        )
        + "\nAs JSON, `at` is RFC 3339 in UTC, `reason` has `kind` and `text`, `error` has `type`, `message` and\n"
        "`traceback`, fields that do not apply are left out, and the fields in `data` are added to the others.\n"
    )


def errors_page() -> str:
    """Return the tree of errors."""
    rows = []
    for name in errors.__all__:
        owner = getattr(errors, name)
        if isinstance(owner, type) and issubclass(owner, BaseException):
            rows.append((code(name), code(owner.__mro__[1].__name__), owner.__doc__ or ""))
    return (
        "# Errors\n\nAll errors are in `taskloom.errors`; those that most programs need are in `taskloom` too. "
        "Each branch of the tree tells what to do next, so catch the branch that you can handle.\n\n"
        + table(("error", "is a", "meaning"), rows)
    )


def command_line_page() -> str:
    """Return the help of each verb."""
    parts = ["# The command line\n\nThe output of `--help`.\n"]
    group = entry.call.__globals__["_taskloom"]
    top = click.Context(group, info_name="taskloom", terminal_width=HELP_WIDTH, **group.context_settings)
    parts.append(f"```text\n{group.get_help(top)}\n```\n")
    for verb in group.list_commands(top):
        command = group.get_command(top, verb)
        context = click.Context(command, info_name=verb, parent=top, terminal_width=HELP_WIDTH)
        parts.append(f"## taskloom {verb}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def tasks_page() -> str:
    """Return the parameters of the built-in tasks."""
    catalog = Catalog()
    names = [each.name for each in catalog.entries() if each.target.startswith("taskloom_plugins.")]
    parts = [_task_section(catalog.load(name)) for name in names]
    return (
        "# The built-in tasks\n\n`taskloom tasks` lists all installed tasks. `taskloom tasks NAME` prints such a table "
        "for any of them.\n\n" + "\n".join(parts)
    )


def _task_section(loaded: LoadedTask) -> str:
    rows = [_param_row(param) for param in loaded.shape.params]
    return f"## `{loaded.name}`\n\n{loaded.shape.doc}\n\n" + table(("parameter", "type", "default", "meaning"), rows)


def _param_row(param: ParamShape) -> tuple[str, ...]:
    default = param.factory() if param.factory is not None else param.default
    examples = ", ".join(code(str(each)) for each in param.info.examples)
    meaning = [
        param.info.description,
        format_constraints(param.info.constraints),
        examples and f"for example {examples}",
    ]
    return (
        code(param.name),
        format_type(param.annotation),
        "required" if param.is_required else code(format_value(default, param.annotation)),
        "; ".join(each for each in meaning if each),
    )


def context_page() -> str:
    """Return the reference of the context and of the contract of a task."""
    functions = [ast.parse(inspect.getsource(getattr(waiting, name))).body[0] for name in waiting.__all__]
    waits = "\n".join(definition(each) for each in functions if isinstance(each, ast.FunctionDef))
    contract = (task.__doc__ or "").partition("The contract:\n")[2]
    return (
        "# The context of a task\n\n## The contract\n\n"
        + contract.strip()
        + f"\n\n{_headed(task.Context)}\n"
        + members(task.AnyContext, "ctx.")
        + "\n"
        + members(task.Context, "ctx.")
        + f"\n{_headed(task.AsyncContext)}\nIt has `wait`, `sleep`, and all members of Context that do not block.\n\n"
        + members(task.AsyncContext, "await ctx.").replace("await ctx.blocking", "ctx.blocking")
        + "\n`ctx.on_cancel` returns a handle:\n\n"
        + members(task.CancelHandle, "handle.")
        + f"\n## `taskloom.waiting`\n\n{inspect.cleandoc(waiting.__doc__ or '')}\n\n"
        + waits
    )


def library_page() -> str:
    """Return the reference of the scheduler and of the objects that it returns."""
    parts = ["# The library, name by name\n\n[As a library](../library.md) shows how to use it.\n"]
    for owner, called_on in ((Scheduler, "scheduler."), (JobHandle, "job."), (Run, "run."), (Listener, "listener.")):
        parts.append(f"{_headed(owner)}\n{members(owner, called_on)}")
    for record, called_on in (
        (Job, ""),
        (Snapshot, ""),
        (Firing, ""),
        (JobStatus, "status."),
        (Why, "why."),
        (JobReport, "report."),
        (StopReport, "report."),
        (Survivor, "survivor."),
        (Killed, "killed."),
        (Stack, ""),
        (Program, ""),
        (Check, ""),
    ):
        parts.append(f"{_headed(record)}\n{_record(record, called_on)}")
    return "\n".join(parts)


def _record(owner: type, called_on: str) -> str:
    # The meaning of a job's fields is defined in the registry of fields.
    meanings = {name: each.summary for name, each in FIELDS.items()} | {
        "name": "The name of the job, unique in its scheduler."
    }
    fields = attributes(owner, meanings if owner is Job else None)
    return "\n".join(filter(None, (fields, members(owner, called_on))))


def _headed(owner: type) -> str:
    return f"## {owner.__name__}\n\n{inspect.cleandoc(owner.__doc__ or '')}\n"


def testing_page() -> str:
    """Return the reference of the testing kit."""
    parts = ["# The testing kit, name by name\n\n[Testing](../testing.md) shows how to use it.\n"]
    parts.append(f"{_headed(testing.FakeContext)}\n{_made(testing.FakeContext)}")
    parts[-1] += f"\n{members(testing.FakeContext, 'ctx.')}"
    parts.append(f"{_headed(testing.FakeAsyncContext)}\n{members(testing.FakeAsyncContext, 'ctx.')}")
    parts.append(f"{_headed(testing.VirtualClock)}\n{_made(testing.VirtualClock)}")
    parts[-1] += f"\n{members(testing.VirtualClock, 'clock.')}"
    parts.append(f"{_headed(testing.TaskConformance)}\n{attributes(testing.TaskConformance)}")
    parts.append(f"{_headed(testing.RunnerConformance)}\n{attributes(testing.RunnerConformance)}")
    parts.append("## Simulating and checking\n")
    parts += [_function(each) for each in (testing.simulate, testing.make_job, testing.check, testing.explain)]
    parts.append(_function(testing.check_events))
    for record, called_on in (
        (testing.Behaviour, "Behaviour."),
        (testing.History, "history."),
        (testing.Violation, ""),
    ):
        parts.append(f"{_headed(record)}\n{_record(record, called_on)}")
    return "\n".join(parts)


def _made(owner: type) -> str:
    """Return the signature of the constructor."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner.__init__))).body  # type: ignore[misc]
    assert isinstance(node, ast.FunctionDef)
    return f"`{signature_of(node, '.').replace('.__init__', owner.__name__).removesuffix(' -> None')}`\n"


def _function(function: Callable[..., object]) -> str:
    node = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(node, ast.FunctionDef)
    return definition(node)


def restarts_page() -> str:
    """Return what follows each way in which a run can end, under each restart policy."""
    rows = runpy.run_path(str(Path(__file__).with_name("causes.py")))["rows"]()
    return (
        "# After the end of a run\n\n"
        "For each way in which a run can end: its outcome, and what follows under each `restart.when`. A restart waits "
        "for its delay and is counted; `gives up` is a failure for good. The table was made by playing each case with "
        "the real lifecycle. [Supervising](../supervising.md) describes how to declare restarts.\n\n"
        + table(("how it ended", "outcome", *(code(when.value) for when in RestartWhen)), rows)
        + "\nA firing of a schedule replaces a pending restart, and comes even after the job gave up. If a run was "
        "abandoned, its restart waits until its thread has ended.\n"
    )


def api_page() -> str:
    """Return the routes of the control API."""
    return str(runpy.run_path(str(Path(__file__).with_name("api_page.py")))["page"]())


def api_document() -> str:
    """Return the control API as an OpenAPI document."""
    return str(runpy.run_path(str(Path(__file__).with_name("api_page.py")))["document"]())


_PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": api_page,
    "command-line.md": command_line_page,
    "context.md": context_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "job-file.md": job_file_page,
    "library.md": library_page,
    "restarts.md": restarts_page,
    "states.md": states_page,
    "tasks.md": tasks_page,
    "testing.md": testing_page,
    "words.md": words_page,
}


def pages() -> dict[str, str]:
    """Return the text of each generated page, by its file name in docs/reference."""
    made = {name: WARNING + make().rstrip() + "\n" for name, make in _PAGES.items()}
    return {**made, "openapi.json": api_document()}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
