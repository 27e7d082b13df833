"""Every job file in jobs/ says what to see, is valid, and runs.

The convention, which the first two lines of each file keep:

    # What there is to see when it runs.
    # ends: by itself

or `# ends: by itself, with exit code 1`, or `# ends: on Ctrl-C`. The first two are run to their end, which has to be
that exit code, 0 where none is said. The third is interrupted as soon as all its jobs have started, and has to end
with 130. A third line such as `# never starts: upload` names the jobs that do not start by then.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from taskloom.jobfile import check

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "jobs").glob("*.y*ml"))
ENDS = {"# ends: by itself": 0, "# ends: by itself, with exit code 1": 1, "# ends: on Ctrl-C": 130}

NEVER_STARTS = "# never starts: "

# Bounds that only a failure reaches: an example is short.
START_SECONDS = 60
END_SECONDS = 120
# The one of the README; the others run in the long share, and the one of a cluster with the other clusters.
FIRST = "quickstart.yaml"
SHARES = {"cluster.yaml": [pytest.mark.cluster, pytest.mark.timeout(300)]}

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=[file.name for file in EXAMPLES])

first_example_and_long_others = pytest.mark.parametrize(
    "example",
    [
        file if file.name == FIRST else pytest.param(file, marks=SHARES.get(file.name, pytest.mark.long))
        for file in EXAMPLES
    ],
    ids=[file.name for file in EXAMPLES],
)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of jobs/, so that the examples do not write into the checkout."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    return tmp_path


def head(example: Path) -> list[str]:
    return example.read_text(encoding="utf-8").splitlines()[:2]


def expected_code(example: Path) -> int | None:
    return ENDS.get(head(example)[1])


def test_there_are_examples() -> None:
    assert "quickstart.yaml" in {file.name for file in EXAMPLES}


@each_example
def test_an_example_states_its_output_and_its_end(example: Path) -> None:
    what_to_see, how_it_ends = head(example)

    assert what_to_see.startswith("# ")
    assert len(what_to_see) > 20
    assert how_it_ends in ENDS


@first_example_and_long_others
def test_the_program_finds_an_example_valid(
    example: Path, copied: Path, taskloom_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    answer = taskloom_cli("validate", f"jobs/{example.name}", cwd=copied)

    assert answer.returncode == 0, answer.stderr


@each_example
def test_an_example_is_valid(example: Path, copied: Path) -> None:
    assert not check(copied / "jobs" / example.name).errors


@first_example_and_long_others
def test_an_example_runs_and_ends_as_it_says(example: Path, copied: Path, child_env: dict[str, str]) -> None:
    fifo, output = copied / "events", copied / "output"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "taskloom", "run", f"jobs/{example.name}", "--events", str(fifo)]

    # The reader is there before the program is, so that neither has to wait for the other.
    with os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as events, output.open("wb") as file:
        program = subprocess.Popen(
            command, cwd=copied, env=child_env, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        try:
            started = read_started(events.fileno(), program.pid, jobs_at_start(example))
            if expected_code(example) == 130:
                program.send_signal(signal.SIGINT)
            program.wait(END_SECONDS)
        finally:
            program.kill()
            program.wait()

    seen = output.read_text(encoding="utf-8")
    assert started == jobs_at_start(example), seen
    assert program.returncode == expected_code(example), seen
    assert "Traceback" not in seen


def jobs_at_start(example: Path) -> set[str]:
    """Return the jobs that start by themselves, replicas one by one."""
    text = example.read_text(encoding="utf-8")
    document, third = yaml.safe_load(text), text.splitlines()[2]
    never = set(third.removeprefix(NEVER_STARTS).split(", ")) if third.startswith(NEVER_STARTS) else set()
    assert never <= document["jobs"].keys()
    return {
        replica
        for name, job in document["jobs"].items()
        for replica in replicas(name, job.get("replicas", 1))
        if name not in never and not name.startswith("x-") and job.get("start") != "manual" and job.get("enabled", True)
    }


def replicas(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}.{number}" for number in range(1, count + 1)]


def read_started(events: int, pid: int, wanted: set[str]) -> set[str]:
    """Return the wanted jobs that started: all of them, or those there are when the program ended or time was up."""
    started: set[str] = set()
    text = b""
    program = os.pidfd_open(pid)
    try:
        while started != wanted:
            readable, _, _ = select.select([events, program], [], [], START_SECONDS)
            read = os.read(events, 65536) if events in readable else b""
            if not read:
                break
            *lines, text = (text + read).split(b"\n")
            names = {record.get("job") for record in map(json.loads, lines) if record["event"] == "started"}
            started |= names & wanted
    finally:
        os.close(program)
    return started
