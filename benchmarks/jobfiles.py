"""Job files for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["job_file"]

# Nine lines, typical of job files for a gateway or a lab. The job is idle until it is stopped.
JOB = """\
  collector-{number}:
    task: countdown
    description: counts, and waits long in between
    labels: [north, rack-{number}]
    params:
      start: 10
      interval: 1h
    poll_interval: 500ms
    join: 5s
"""


@contextmanager
def job_file(jobs: int) -> Iterator[Path]:
    """Write a file with this number of jobs; it is deleted after the block."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.yaml"
        path.write_text("jobs:\n" + "".join(JOB.format(number=number) for number in range(jobs)))
        yield path
