"""Row 9: how long a command takes that does almost nothing, from its start to its end.

A development install adds a hook to every start of its interpreter, `python -c pass` included, which would make all
ratios look better. So the commands run in a fresh environment without hooks, which finds the same packages by
PYTHONPATH.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [ROOT / "framework", ROOT / "plugins", Path(sysconfig.get_path("purelib"))]
VALIDATED_JOBS = 10

# The script that pip makes for an entry point.
SCRIPT = """
import re
import sys
from taskloom.cli import main
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit(main())
"""

ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--version", action="version", version="1.0")
parser.parse_args()
"""


def _run(times: int, arguments: Sequence[str | Path]) -> Figures:
    """Run Python with these arguments `times` times; the fastest run counts, since it was disturbed least."""
    with TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        command = [Path(folder) / "bin" / "python", *arguments]
        taken = [_run_once(command) for _ in range(times + 1)][1:]  # the first one reads from a cold disk
    return {"ms": min(wall for wall, _ in taken) * 1e3, "cpu_ms": min(cpu for _, cpu in taken) * 1e3}


def _run_once(command: Sequence[str | Path]) -> tuple[float, float]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run_taskloom(times: int, *arguments: str | Path) -> Figures:
    with TemporaryDirectory() as folder:
        script = Path(folder) / "taskloom"
        script.write_text(SCRIPT)
        return _run(times, [script, *arguments])


def bare(times: int) -> Figures:
    return _run(times, ["-c", "pass"])


def version(times: int) -> Figures:
    return _run_taskloom(times, "--version")


def validate(times: int) -> Figures:
    with job_file(VALIDATED_JOBS) as path:
        return _run_taskloom(times, "validate", path)


def import_taskloom(times: int) -> Figures:
    return _run(times, ["-c", "import taskloom"])


def import_the_library(times: int) -> Figures:
    """Import what a host program needs to run jobs; `import taskloom` alone loads each name on first use."""
    return _run(times, ["-c", "from taskloom import Job, Scheduler"])


def argparse_version(times: int) -> Figures:
    return _run(times, ["-c", ARGPARSE, "--version"])


def import_click(times: int) -> Figures:
    return _run(times, ["-c", "import click"])


def dramatiq_version(times: int) -> Figures:
    return _run(times, ["-m", "dramatiq", "--version"])


def huey_help(times: int) -> Figures:
    return _run(times, ["-m", "huey.bin.huey_consumer", "--help"])


ROW = Row(
    number=9,
    title="a command that does almost nothing",
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
