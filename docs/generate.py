"""Write the pages that are made from the code: `python docs/generate.py`. A test says when they are out of date."""

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
from taskloom.core.model import Otherwise, WaitingFor
from taskloom.core.policies import Condition, Missed, Overlap, RestartWhen, WatchdogThen
from taskloom.core.report import ExitCode, JobReport, StopReport, Survivor
from taskloom.core.transitions import TRANSITIONS, Trigger, mermaid
from taskloom.job import Job
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.runners import Stack
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.handles import JobHandle, JobStatus, Run
from taskloom.scheduler.subscribers import Listener

__all__ = ["pages"]

FOLDER = Path(__file__).resolve().parent / "reference"
HELP_WIDTH = 100
NOT_YET = "Not used by this version. "
# Words of the design whose features are still to come; they stand here so that a reader of events knows them.
LATER_WORDS = {Outcome.LOST}
# What the scheduler's own modules call, and nobody else.
INNER = {"begin", "gauges", "handle", "is_gone", "poll_age", "put", "record", "runner_name", "unfinished_callbacks"}
WARNING = "% Made by docs/generate.py from the code. Change the docstrings there, not this page.\n\n"


# -- what the source says ------------------------------------------------------------------------


def member_docs(owner: type) -> dict[str, str]:
    """Return the docstring beneath each member of a class, in order; a member without one has an empty text."""
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


def methods_of(owner: type) -> list[ast.FunctionDef]:
    """Return the public methods and properties of a class, in the order of the source."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    return [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]


def signature_of(function: ast.FunctionDef, called_on: str = "") -> str:
    """Return how a function is called, or what a property gives."""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    if any(isinstance(each, ast.Name) and each.id == "property" for each in function.decorator_list):
        return f"{called_on}{function.name}: {ast.unparse(function.returns or ast.Constant(None))}"
    arguments = function.args
    if called_on:
        arguments.args = arguments.args[1:]
    # `seconds: float = 1.0`, as the source has it; unparse leaves the blanks out.
    words = re.sub(r"(: [^,=]+)=", r"\1 = ", ast.unparse(arguments))
    return f"{called_on}{function.name}({words}){returns}"


# -- Markdown ------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Return the text as one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def code(text: str) -> str:
    """Return the text as code; empty stays empty."""
    return f"`{text}`" if text else ""


def enum_table(owner: type[Enum], head: tuple[str, str]) -> str:
    """Return the members of an enum, by value, with what each means."""
    docs = member_docs(owner)
    rows = [
        (code(str(member.value)), (NOT_YET if member in LATER_WORDS else "") + docs[member.name]) for member in owner
    ]
    return table(head, rows)


def definition(function: ast.FunctionDef, called_on: str = "") -> str:
    """Return a function, a method or a property with what its docstring says."""
    doc = textwrap.indent(ast.get_docstring(function) or "", "  ").strip()
    return f"`{signature_of(function, called_on)}`\n: {doc}\n"


def members(owner: type, called_on: str) -> str:
    """Return the public methods and properties of a class."""
    return "\n".join(definition(each, called_on) for each in methods_of(owner) if each.name not in INNER)


def attributes(owner: type, meanings: Mapping[str, str] | None = None) -> str:
    """Return a table of the annotated attributes of a record; `meanings`: of those without a docstring."""
    types, docs = inspect.get_annotations(owner), dict(meanings or {})
    rows = [
        (code(name), code(_type_text(types.get(name, ""))), doc or docs.get(name, ""))
        for name, doc in member_docs(owner).items()
    ]
    return table(("field", "type", "meaning"), rows)


def _type_text(annotation: object) -> str:
    # A NamedTuple turns the text of an annotation into a reference.
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
        "How a file is read, and what `defaults`, notes and `${VAR}` are, is told in [Job files](../job-files.md).\n\n"
        + table(("field", "default", "meaning"), rows)
        + "\n## `join`: what `otherwise` may be\n\n"
        + enum_table(Otherwise, ("`otherwise`", "what happens to a run that outlived its `within`"))
        + "\n## `restart`: what `when` may be\n\n"
        + enum_table(RestartWhen, ("`when`", "which ends of a run are followed by another one"))
        + "\n## `after`: the conditions\n\n"
        + enum_table(Condition, ("condition", "what the other job must have come to"))
        + "\n## `schedule`: what `overlap` and `missed` may be\n\n"
        + enum_table(Overlap, ("`overlap`", "what a firing does that finds the job's run alive"))
        + "\n"
        + enum_table(Missed, ("`missed`", "what becomes of instants at which nobody could start a run"))
        + "\n## `watchdog`: what `then` may be\n\n"
        + enum_table(WatchdogThen, ("`then`", "what happens to a run that has not polled for too long"))
    )


def states_page() -> str:
    """Return the states of a job with the diagram and the transitions."""
    docs = member_docs(Trigger)
    transitions = [
        (code(state.value), trigger.value, ", ".join(code(target.value) for target in targets))
        for state, row in TRANSITIONS.items()
        for trigger, targets in row.items()
    ]
    return (
        "# States of a job\n\n"
        "The scheduler obeys one table, and this page is made from it: what is not in the table cannot happen.\n\n"
        f"```mermaid\n{mermaid()}\n```\n\n"
        + enum_table(JobState, ("state", "meaning"))
        + "\nA `waiting` job says what it waits for:\n\n"
        + enum_table(WaitingFor, ("waits for", "meaning"))
        + "\n## Transitions\n\n"
        + table(("in state", "when", "then"), transitions)
        + "\n"
        + table(("when", "meaning"), [(each.value, docs[each.name]) for each in Trigger])
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
        + "\nA third stop signal ends the program with 128 plus its number: 130 for INT, 143 for TERM.\n"
    )


def events_page() -> str:
    """Return the names and the fields of events."""
    kinds = inspect.get_annotations(Event)
    return (
        "# Names and fields of events\n\nWhat events are for is told in [Events](../events.md).\n\n## Names\n\n"
        + enum_table(EventName, ("event", "meaning"))
        + f"\n## Fields\n\n{inspect.cleandoc(Event.__doc__ or '')}\n\n"
        + table(
            ("field", "type"),
            [(code(name), code(_type_text(kind))) for name, kind in kinds.items()],
        )
        + "\nAs JSON, `at` is RFC 3339 in UTC, `reason` has `kind` and `text`, `error` has `type`, `message` and\n"
        "`traceback`, fields that do not apply are left out, and what is in `data` stands beside the others.\n"
    )


def errors_page() -> str:
    """Return the tree of errors."""
    rows = []
    for name in errors.__all__:
        owner = getattr(errors, name)
        if isinstance(owner, type) and issubclass(owner, BaseException):
            rows.append((code(name), code(owner.__mro__[1].__name__), owner.__doc__ or ""))
    return (
        "# Errors\n\nAll of them are in `taskloom.errors`; those that most programs need are in `taskloom` too. "
        "What to catch is the branch that says what to do next.\n\n" + table(("error", "is a", "meaning"), rows)
    )


def command_line_page() -> str:
    """Return the help of each verb."""
    parts = ["# The command line\n\nWhat `--help` says.\n"]
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
        "# The built-in tasks\n\n`taskloom tasks` lists what is installed, `taskloom tasks NAME` prints such a table "
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
    """Return the reference of what a task is given."""
    functions = [ast.parse(inspect.getsource(getattr(waiting, name))).body[0] for name in waiting.__all__]
    waits = "\n".join(definition(each) for each in functions if isinstance(each, ast.FunctionDef))
    contract = (task.__doc__ or "").partition("The contract:\n")[2]
    return (
        "# What a task is given\n\n## The contract\n\n"
        + contract.strip()
        + f"\n\n## Context\n\n{inspect.cleandoc(task.Context.__doc__ or '')}\n\n"
        + members(task.Context, "ctx.")
        + "\n`ctx.on_cancel` returns a handle:\n\n"
        + members(task.CancelHandle, "handle.")
        + f"\n## `taskloom.waiting`\n\n{inspect.cleandoc(waiting.__doc__ or '')}\n\n"
        + waits
    )


def library_page() -> str:
    """Return the reference of the scheduler and what it hands out."""
    parts = ["# The library, name by name\n\nHow they go together is told in [As a library](../library.md).\n"]
    for owner, called_on in ((Scheduler, "scheduler."), (JobHandle, "job."), (Run, "run."), (Listener, "listener.")):
        parts.append(f"{_headed(owner)}\n{members(owner, called_on)}")
    for record, called_on in (
        (Job, ""),
        (JobStatus, "status."),
        (JobReport, "report."),
        (StopReport, "report."),
        (Survivor, "survivor."),
        (Stack, ""),
    ):
        parts.append(f"{_headed(record)}\n{_record(record, called_on)}")
    return "\n".join(parts)


def _record(owner: type, called_on: str) -> str:
    # What a field of a job means is said where job files are checked.
    meanings = {name: each.summary for name, each in FIELDS.items()} | {"name": "Unique in its scheduler."}
    fields = attributes(owner, meanings if owner is Job else None)
    return "\n".join(filter(None, (fields, members(owner, called_on))))


def _headed(owner: type) -> str:
    return f"## {owner.__name__}\n\n{inspect.cleandoc(owner.__doc__ or '')}\n"


def testing_page() -> str:
    """Return the reference of the testing kit."""
    parts = ["# The testing kit, name by name\n\nHow to use it is told in [Testing](../testing.md).\n"]
    parts.append(f"{_headed(testing.FakeContext)}\n{_made(testing.FakeContext)}")
    parts[-1] += f"\n{members(testing.FakeContext, 'ctx.')}"
    parts.append(f"{_headed(testing.VirtualClock)}\n{_made(testing.VirtualClock)}")
    parts[-1] += f"\n{members(testing.VirtualClock, 'clock.')}"
    parts.append(f"{_headed(testing.TaskConformance)}\n{attributes(testing.TaskConformance)}")
    parts.append("## Simulating and judging\n")
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
    """Return how an instance is made."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner.__init__))).body  # type: ignore[misc]
    assert isinstance(node, ast.FunctionDef)
    return f"`{signature_of(node, '.').replace('.__init__', owner.__name__).removesuffix(' -> None')}`\n"


def _function(function: Callable[..., object]) -> str:
    node = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(node, ast.FunctionDef)
    return definition(node)


def restarts_page() -> str:
    """Return what follows each way of ending, under each restart policy."""
    rows = runpy.run_path(str(Path(__file__).with_name("causes.py")))["rows"]()
    return (
        "# What follows the end of a run\n\n"
        "For each way in which a run can end: its outcome, and what follows under each `restart.when`. A restart waits "
        "for its delay and is counted; `gives up` is a failure for good. What the page says was found by asking the "
        "lifecycle. How restarts are declared is told in [Supervising](../supervising.md).\n\n"
        + table(("how it ended", "outcome", *(code(when.value) for when in RestartWhen)), rows)
        + "\nA firing of a schedule replaces a pending restart, and still comes after a job gave up. Where a run was "
        "abandoned, what would follow waits until its thread has ended.\n"
    )


_PAGES: Mapping[str, Callable[[], str]] = {
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
    """Return the text of each page that is made from the code, by its file name in docs/reference."""
    return {name: WARNING + make().rstrip() + "\n" for name, make in _PAGES.items()}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
