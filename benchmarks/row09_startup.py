"""Row 9: how long a command takes that does next to nothing, from its start to its end."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file

SCRIPTS = Path(sysconfig.get_path("scripts"))
VALIDATED_JOBS = 10

ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--version", action="version", version="1.0")
parser.parse_args()
"""


def _run(times: int, command: Sequence[str | Path]) -> Figures:
    """Run it so many times; return the medians."""
    taken = [_run_once(command) for _ in range(times)]
    return {"ms": median(wall for wall, _ in taken) * 1e3, "cpu_ms": median(cpu for _, cpu in taken) * 1e3}


def _run_once(command: Sequence[str | Path]) -> tuple[float, float]:
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def _python(times: int, code: str, *arguments: str) -> Figures:
    return _run(times, [sys.executable, "-c", code, *arguments])


def bare(times: int) -> Figures:
    return _python(times, "pass")


def version(times: int) -> Figures:
    return _run(times, [SCRIPTS / "taskloom", "--version"])


def validate(times: int) -> Figures:
    with job_file(VALIDATED_JOBS) as path:
        return _run(times, [SCRIPTS / "taskloom", "validate", path])


def import_taskloom(times: int) -> Figures:
    return _python(times, "import taskloom")


def import_the_library(times: int) -> Figures:
    """Import what a host needs to run jobs; `import taskloom` alone loads a name when it is used."""
    return _python(times, "from taskloom import Job, Scheduler")


def argparse_version(times: int) -> Figures:
    return _python(times, ARGPARSE, "--version")


def import_click(times: int) -> Figures:
    return _python(times, "import click")


def dramatiq_version(times: int) -> Figures:
    return _run(times, [SCRIPTS / "dramatiq", "--version"])


def huey_help(times: int) -> Figures:
    return _run(times, [sys.executable, _script("huey_consumer"), "--help"])


def _script(module: str) -> str:
    found = importlib.util.find_spec(f"huey.bin.{module}")
    if found is None or found.origin is None:
        raise FileNotFoundError(module)
    return found.origin


ROW = Row(
    number=9,
    title="a command that does next to nothing",
    cases=[
        Case("taskloom --version", Role.PRODUCT, version),
        Case("taskloom validate, 10 jobs", Role.PRODUCT, validate),
        Case("import taskloom", Role.PRODUCT, import_taskloom),
        Case("from taskloom import Scheduler", Role.PRODUCT, import_the_library),
        Case("dramatiq --version", Role.PEER, dramatiq_version, needs="dramatiq"),
        Case("huey_consumer --help", Role.PEER, huey_help, needs="huey"),
        Case("import click", Role.LIMIT, import_click),
        Case("argparse, --version", Role.LIMIT, argparse_version),
        Case("python -c pass", Role.LIMIT, bare),
    ],
    figures={"ms": "ms", "cpu_ms": "CPU ms"},
    claims=[
        Claim("taskloom --version", "ms", "python -c pass", hold=4.5, aim=4.0),
        Claim("taskloom validate, 10 jobs", "ms", "python -c pass", hold=22.0, aim=12.0),
        Claim("import taskloom", "ms", "python -c pass", hold=3.0, aim=2.5),
    ],
    full=10,
    quick=3,
    tiny=1,
    is_pinned=True,
)
