"""`taskloom validate` on hostile files: exit code 2, a place, no traceback, little CPU time, little memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MOST_CPU_SECONDS = 1.0
# All of the node budget is read before it is used up: half a million nodes, on a machine that others use too.
MOST_CPU_SECONDS_OF = {"300,000 keys": 4.0}
# Every job has its own report, with its place: a fifth of a millisecond each, and as long again for the frames.
MOST_CPU_SECONDS_OF |= dict.fromkeys(
    (
        "5,000 jobs that wait for nobody",
        "5,000 times one typo in a timezone",
        "5,000 bad expressions",
        "5,000 limits out of reach",
    ),
    4.0,
)
MOST_GROWTH_KIB = 100 * 1024


def _merge_bomb(levels: int) -> str:
    lines = ["a0: &a0 {k: v}"]
    lines.extend(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels))
    return "\n".join(lines)


def _alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines.extend(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels))
    return "\n".join(lines)


def _jobs(count: int, fields: str) -> bytes:
    """Return a file with `count` jobs. In the fields, `number` is its number and `after` that of the next."""
    lines = (
        f"  j{number}: {{task: countdown, {fields.format(number=number, after=(number + 1) % count)}}}\n"
        for number in range(count)
    )
    return ("jobs:\n" + "".join(lines)).encode()


HOSTILE = {
    "depth of lists": b"[" * 50_000,
    "depth of items": b"- " * 50_000,
    "depth of mappings": b"{a: " * 50_000,
    "merge bomb": _merge_bomb(8).encode(),
    "larger merge bomb": _merge_bomb(12).encode(),
    "alias bomb": _alias_bomb(12).encode(),
    "self-reference": b"a: &a [*a]\n",
    "twelve megabytes": b"jobs:\n" + b"  # filler\n" * 1_100_000,
    "300,000 keys": b"".join(b"k%d: 1\n" % n for n in range(300_000)),
    "20,000 directives": b"%TAG ! tag:x,2000:\n" * 20_000 + b"---\njobs: {}\n",
    "20,000 integer keys": b"jobs:\n" + b"".join(b"  %d: x\n" % (n * (2**61 - 1)) for n in range(20_000)),
    "a number of 5,000 digits": b"jobs: " + b"9" * 5_000 + b"\n",
    "an object tag": b"jobs: !!python/object/apply:os.system ['true']\n",
    "two documents": b"jobs: {}\n---\njobs: {}\n",
    "not UTF-8": "jobs: {é: 1}\n".encode("latin-1"),
    "UTF-16": "jobs: {}\n".encode("utf-16"),
    "NUL": b"jobs: {a\0b: 1}\n",
    "a text": b"jobs:1\n",
    "a circle of 5,000 jobs": _jobs(5_000, "after: j{after}"),
    "5,000 jobs that wait for nobody": _jobs(5_000, "after: k{number}"),
    "5,000 times one typo in a timezone": _jobs(5_000, "schedule: {{cron: 0 6 * * *, timezone: Europe/Berln}}"),
    "5,000 bad expressions": _jobs(5_000, "schedule: {{cron: 0 6 * * x{number}}}"),
    "5,000 limits out of reach": _jobs(
        5_000, "restart: {{delay: {number}ms, factor: 1.0001, limit: {{times: 100000, within: 5m}}}}"
    ),
}


def _validate(path: Path, env: dict[str, str]) -> tuple[int, str, float, int]:
    """Return exit code, output, CPU seconds and peak memory in KiB."""
    command = [sys.executable, "-m", "taskloom", "validate", path.name]
    with (path.parent / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=path.parent, env=env, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = (path.parent / "output").read_text(errors="replace")
    return process.returncode, text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


@pytest.mark.long
@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_file_is_explained_cheaply(name: str, tmp_path: Path, child_env: dict[str, str]) -> None:
    harmless, hostile = tmp_path / "harmless.yaml", tmp_path / "hostile.yaml"
    harmless.write_bytes(b"jobs: 1\n")
    hostile.write_bytes(HOSTILE[name])

    _, _, base_seconds, base_kib = _validate(harmless, child_env)
    code, output, seconds, kib = _validate(hostile, child_env)

    assert code == 2, output[:2000]
    assert re.search(r"hostile\.yaml:\d+:\d+: error: (job 'j\d+': )?cannot ", output), output[:2000]
    assert "Traceback" not in output
    assert seconds - base_seconds < MOST_CPU_SECONDS_OF.get(name, MOST_CPU_SECONDS)
    assert kib - base_kib < MOST_GROWTH_KIB
