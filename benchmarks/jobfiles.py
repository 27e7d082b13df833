"""Job files to measure with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["job_file"]

# Nine lines, as a job file for a gateway or a lab has them. It idles until it is asked to stop.
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
    """Write a file of so many jobs; it is gone after the block."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.yaml"
        path.write_text("jobs:\n" + "".join(JOB.format(number=number) for number in range(jobs)))
        yield path
