"""Row 19: what the views cost a program with ten idle jobs while no client is there."""

from __future__ import annotations

from functools import partial

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file
from programs import TASKLOOM, measure_program

JOBS = 10
METRICS, PAGE = ("--metrics", "127.0.0.1:0"), ("--http", "127.0.0.1:0")


def _program(times: int, *, options: tuple[str, ...]) -> Figures:
    with job_file(JOBS) as path:
        # A handful of wake-ups in all: only a long time shows a difference.
        return measure_program(times, [TASKLOOM, "run", path, *options], idle_seconds=10.0 * (times - 1) or 0.5)


ROW = Row(
    number=19,
    title=f"a program with {JOBS} idle jobs and its views: SIGTERM until gone, memory, and wake-ups without a client",
    cases=[
        Case("metrics and page", Role.PRODUCT, partial(_program, options=(*METRICS, *PAGE))),
        Case("page", Role.PRODUCT, partial(_program, options=PAGE), needs="starlette"),
        Case("metrics", Role.PRODUCT, partial(_program, options=METRICS), needs="prometheus_client"),
        Case("no view", Role.LIMIT, partial(_program, options=())),
    ],
    figures={"gone_ms": "ms", "mib": "MiB", "threads": "in all", "wakeups": "a second"},
    claims=[
        Claim("page", "gone_ms", "no view", hold=1.5, aim=1.1),
        Claim("page", "mib", "no view", hold=2.5, aim=1.6),
        Claim("metrics", "mib", "no view", hold=1.6, aim=1.2),
        Claim("page", "wakeups", "no view", hold=1.5, aim=1.1),
        Claim("metrics", "wakeups", "no view", hold=1.5, aim=1.1),
    ],
    full=3,
    quick=2,
    tiny=1,
)
