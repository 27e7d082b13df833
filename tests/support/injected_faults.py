"""System calls of a running program that fail or take long, by strace; they are well again after the block."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["injected"]

PATIENCE_SECONDS = 60.0


@contextmanager
def injected(strace: str, pid: int, log: Path, faults: Sequence[str], paths: Sequence[Path]) -> Iterator[Path]:
    """Inject faults, such as `pwrite64:error=EIO`, into the calls of all threads of a program about these files.

    Where the system allows no tracing, the test is skipped, loudly. Yields the log of the calls.
    """
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command = [strace, "-f", "-o", str(log), "-p", str(pid), "-e", f"trace={calls}"]
    command += [word for fault in faults for word in ("-e", f"inject={fault}")]
    command += [word for path in paths for word in ("-P", str(path))]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        while said and "attached" not in said:
            if "not permitted" in said:
                pytest.skip(f"LOUD: strace cannot trace here, so no fault is injected: {said.strip()}")
            said += tracer.stderr.readline()
        assert "attached" in said, said
        yield log
    finally:
        tracer.terminate()  # it lets go of the program, which goes on
        tracer.stderr.close()
        tracer.wait(PATIENCE_SECONDS)
