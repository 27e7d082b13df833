"""Collect every name that programs depend on: `python tests/house/machine_names.py > tests/house/machine_names.json`.

Event names, JSON keys, states, outcomes, reason kinds, options, exit codes, keys of the job file and public Python
names. A change of one of them breaks other people's programs, so the test beside this file compares them with the
recorded ones. To rename one on purpose is to record them again, and to say so in docs/changes.md.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

PUBLIC_MODULES = ("taskloom", "taskloom.errors", "taskloom.runners", "taskloom.scheduler", "taskloom.testing",
                  "taskloom.waiting", "taskloom_plugins")  # fmt: skip
ENUMS = {
    "events": ("taskloom", "EventName"),
    "states": ("taskloom", "JobState"),
    "outcomes": ("taskloom", "Outcome"),
    "reason kinds": ("taskloom", "ReasonKind"),
    "exit codes": ("taskloom.core.report", "ExitCode"),
    "waiting for": ("taskloom.core.model", "WaitingFor"),
    "holds": ("taskloom", "Hold"),
}
VERBS = ("run", "validate", "simulate", "drill", "tasks", "schema")
SHOW_HELP = """
import sys
from taskloom.cli import main
for verb in sys.argv[1:]:
    print("\\f", flush=True)
    try:
        main([verb, "--help"])
    except SystemExit:
        pass
"""
JOBS = """
jobs:
  tick:
    task: countdown
    params: {start: 1, interval: 10ms}
    labels: [a]
    after: {tock: started}
    schedule: {every: 10s, immediately: true}
    start: manual
  tock:
    task: countdown
    params: {start: 1, interval: 10ms, failures: 1}
    restart: {when: on-failure, delay: 10ms}
    daemon: true
"""


def python_names(module: str) -> Iterator[str]:
    """Yield the public names of a module, and those of each of its classes."""
    loaded = importlib.import_module(module)
    for name in loaded.__all__ if hasattr(loaded, "__all__") else ():
        yield name
        value = getattr(loaded, name)
        if isinstance(value, type):
            own = {each for base in value.__mro__ if base.__module__.startswith("taskloom") for each in vars(base)}
            yield from (f"{name}.{each}" for each in own | set(getattr(value, "__annotations__", {})) if each[0] != "_")


def json_keys(value: object, at: str = "") -> Iterator[str]:
    """Yield the path of every key; items of a list share one path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            path = f"{at}.{key}" if at else str(key)
            yield path
            yield from json_keys(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from json_keys(item, f"{at}[]")


def schema_keys(value: object, at: str = "") -> Iterator[str]:
    """Yield every property that a JSON Schema names, and every value of its enumerations."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == "properties":
                for key, inner in item.items():
                    yield f"{at}.{key}"
                    yield from schema_keys(inner, f"{at}.{key}")
            elif name in ("enum", "const") and at:
                yield from (f"{at} = {each}" for each in (item if isinstance(item, list) else [item]))
            else:
                yield from schema_keys(item, at)
    elif isinstance(value, list):
        for item in value:
            yield from schema_keys(item, at)


def python(*arguments: str, cwd: Path) -> str:
    """Return what a Python program prints."""
    # As for a user who has set nothing; the history is written beside the job files.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TASKLOOM_")}
    env["XDG_STATE_HOME"] = str(cwd)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False).stdout


def call(*arguments: str, cwd: Path) -> str:
    """Return what the command line prints."""
    return python("-m", "taskloom", *arguments, cwd=cwd)


def options(cwd: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield each verb with its options, as its help lists them. One process shows the help of all verbs."""
    pages = python("-c", SHOW_HELP, *VERBS, cwd=cwd).split("\f")
    for verb, page in zip(VERBS, pages[1:], strict=True):
        lines = page.partition("\nOptions:\n")[2].splitlines()
        written = [line.split("  ")[1] for line in lines if line.startswith("  -")]
        yield verb, {word.strip(",") for each in written for word in each.split() if word.startswith("-")}


def answers(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield what each verb answers as JSON, and the events of a run."""
    (folder / "jobs.yaml").write_text(JOBS, encoding="utf-8")
    (folder / "bad.yaml").write_text("jobs: {a: {task: countdwon}}\n", encoding="utf-8")
    yield "validate", json.loads(call("validate", "--plan", "-o", "json", "jobs.yaml", cwd=folder))
    yield "validate a bad file", json.loads(call("validate", "-o", "json", "bad.yaml", cwd=folder))
    yield "tasks", json.loads(call("tasks", "-o", "json", cwd=folder))
    yield "tasks countdown", json.loads(call("tasks", "countdown", "-o", "json", cwd=folder))
    yield "simulate", json.loads(call("simulate", "-o", "json", "--for", "1m", "--seed", "1", "jobs.yaml", cwd=folder))
    yield "drill", json.loads(call("drill", "-o", "json", "jobs.yaml", cwd=folder))
    yield "run", json.loads(call("run", "-o", "json", "--events", "events.jsonl", "jobs.yaml", cwd=folder))
    yield "events", [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]


def collect() -> dict[str, list[str]]:
    """Return the names of each kind, sorted."""
    names: dict[str, list[str]] = {}
    for kind, (module, name) in ENUMS.items():
        members: type[Enum] = getattr(importlib.import_module(module), name)
        names[kind] = sorted(f"{member.name} = {member.value}" for member in members)
    for module in PUBLIC_MODULES:
        names[f"names of {module}"] = sorted(set(python_names(module)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for verb, found in options(folder):
            names[f"options of {verb}"] = sorted(found)
        names["keys of the job file"] = sorted(set(schema_keys(json.loads(call("schema", cwd=folder)))))
        for what, answer in answers(folder):
            names[f"JSON of {what}"] = sorted(set(json_keys(answer)))
    return names


if __name__ == "__main__":
    print(json.dumps(collect(), indent=1))
