"""Mutated job files: for any bytes, the reader raises only JobFileError, and quickly."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest
from tests.support.cpu_time import cpu_seconds

from taskloom.diagnostics import Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.render import render_all
from taskloom.jobfile.syntax.interpolation import interpolate
from taskloom.jobfile.syntax.reader import read_bytes

SEED = int(os.environ.get("TASKLOOM_FUZZ_SEED", "20261122"))
CPU_LIMIT_SECONDS = 0.05

SEEDS = (
    b"""\
# yaml-language-server: $schema=taskloom.schema.json
defaults:
  join: 10s
jobs:
  collector:
    task: socket-reader
    params: {listen: "tcp://127.0.0.1:5514", framing: line, output: collector.log}
    daemon: true
    join: {within: 5s, otherwise: abandon}
  launch:
    task: countdown
    params: {start: 5, interval: 200ms}
""",
    b"""\
x-notes: &note
  labels: [a, 'b', "c\\t\\u00e9"]
  poll_interval: 0.5
jobs:
  one: &one {<<: *note, task: countdown, enabled: false}
  two:
    <<: [*one, *note]
    description: >-
      folded
      text
    params:
      start: 0x1F
      ratio: -1.5e3
      nothing: ~
""",
    'jobs:\n  grüße:\n    task: ${TASK:-countdown}\n    params:\n      message: "日本 ${WHO:?say who} $${x}"\n'
    "      list:\n      - 1\n      - - a\n        - b\n      - {k: [v, w]}\n"
    "      text: |\n        ${HOME}\n        end\n".encode(),
)
TOKENS: tuple[bytes, ...] = (
    *(
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"\n\n",
        b": ",
        b":",
        b"- ",
        b"? ",
        b"?",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"#",
        b"~",
    ),
    *(b"&a ", b"*a", b"*note", b"<<: ", b"!!int ", b"! ", b"%TAG", b"a: &a [*a]\n", b"---\n", b"...\n"),
    *(b"'", b'"', b"\\", b"\\x", b"\\u12", b"\\ud800", b"\\UFFFFFFFF", b"|", b">", b"|9", b"@", b"`", b"{{ x }}"),
    *(
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
    ),
    *(
        b"010",
        b"1e999",
        b".inf",
        b"9" * 30,
        b"0x",
        b"null",
        b"${",
        b"${X}",
        b"${X:-",
        b"$${",
        b"${file:",
        b"${file:x}",
        b":?",
        b"[" * 40,
        b"- " * 40,
    ),
)


def mutated(source: random.Random) -> bytes:
    data = bytearray(source.choice(SEEDS))
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = source.randrange(len(data) + 1)
        to = min(len(data), at + source.choice((1, 1, 2, 5, 20, 100)))
        match source.randrange(7):
            case 0:
                data[at:to] = b""
            case 1:
                data[at:at] = source.choice(TOKENS)
            case 2:
                data[at:to] = source.choice(TOKENS)
            case 3:
                data[at : at + 1] = bytes([source.randrange(256)])
            case 4:
                data[at:at] = data[at:to] * source.choice((1, 2, 10))
            case 5:
                other = source.choice(SEEDS)
                start = source.randrange(len(other))
                data[at:at] = other[start : start + source.choice((5, 50, 500))]
            case _:
                lines = bytes(data).splitlines(keepends=True)
                source.shuffle(lines)
                data = bytearray(b"".join(lines))
    return bytes(data)


def read_whole(data: bytes) -> list[Problem]:
    """Read, interpolate and render, as a load does, and return the problems."""
    try:
        document = read_bytes(data, "f.yaml")
    except JobFileError as error:
        problems = list(error.problems)
    else:
        problems = interpolate(document, {"HOME": "010", "X": "${HOME}"})
    render_all(problems)
    return problems


def seconds_of(data: bytes) -> float:
    with cpu_seconds() as spent:
        read_whole(data)
        return spent()


def faults(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    source = random.Random(seed)
    for _ in range(count):
        data = mutated(source)
        with cpu_seconds() as spent:
            problems = read_whole(data)
            is_slow = spent() > CPU_LIMIT_SECONDS
        # A collection of what earlier files have left may run during any file; the cost of the file itself recurs.
        if is_slow and min(seconds_of(data) for _ in range(3)) > CPU_LIMIT_SECONDS:
            yield "slow", data
        if any("internal error" in problem.message for problem in problems):
            yield problems[0].message, data
        if any(not problem.message.startswith("cannot ") or "\n" in problem.message for problem in problems):
            yield "no sentence", data


@pytest.mark.parametrize(
    "count",
    [4_000, pytest.param(100_000, marks=pytest.mark.long)],
)
def test_every_mutated_job_file_is_read_or_refused_with_a_message_within_its_cpu_time(
    count: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("told", f"mutated job files: {count:,}, TASKLOOM_FUZZ_SEED={SEED}")

    found = list(faults(count, SEED))

    assert not found, f"TASKLOOM_FUZZ_SEED={SEED}: {len(found)} of {count}, first: {found[0]}"
