"""Row 8: loading a job file, from text to validated jobs with their positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file
from meters import Stopwatch

from taskloom import load

# With a tenth of the jobs: the cost per job must not grow with their number.
SHARE = 10


def _measure(times: int, read: Callable[[Path], int]) -> Figures:
    with job_file(1) as small:
        read(small)  # for the imports, which happen once and are measured in row 9
    with job_file(times) as path, Stopwatch() as watch:
        found = read(path)
    if found != times:
        raise RuntimeError(f"{found} of {times} jobs were loaded")
    return watch.each(times)


def _load(path: Path) -> int:
    return len(load(path))


def taskloom(times: int) -> Figures:
    return _measure(times, _load)


def taskloom_fewer(times: int) -> Figures:
    return _measure(max(1, times // SHARE), _load)


def _load_plain(path: Path) -> int:
    import yaml

    with path.open(encoding="utf-8") as file:
        return len(yaml.load(file, yaml.CSafeLoader)["jobs"])


def c_safe_loader(times: int) -> Figures:
    return _measure(times, _load_plain)


def c_safe_loader_fewer(times: int) -> Figures:
    return _measure(max(1, times // SHARE), _load_plain)


def c_events(times: int) -> Figures:
    return _measure(times, _count_events)


def _count_events(path: Path) -> int:
    import yaml

    with path.open(encoding="utf-8") as file:
        mappings = sum(isinstance(event, yaml.MappingStartEvent) for event in yaml.parse(file, yaml.CSafeLoader))
    # The mappings of the document, of `jobs` and of the params of each job are not jobs.
    return (mappings - 2) // 2


ROW = Row(
    number=8,
    title="a job file loaded, to validated jobs with positions",
    cases=[
        Case("taskloom.load", Role.PRODUCT, taskloom),
        Case("taskloom.load, a tenth", Role.PRODUCT, taskloom_fewer),
        Case("CSafeLoader", Role.PEER, c_safe_loader),
        Case("CSafeLoader, a tenth", Role.PEER, c_safe_loader_fewer),
        Case("libyaml's events", Role.LIMIT, c_events),
    ],
    figures={"us": "us a job", "cpu_us": "CPU us a job"},
    claims=[
        Claim("taskloom.load", "us", "CSafeLoader", hold=0.5, aim=0.15),
        Claim("taskloom.load", "us", "taskloom.load, a tenth", hold=1.5, aim=1.1),
    ],
    full=10_000,
    quick=2_000,
    tiny=20,
    is_pinned=True,
)
