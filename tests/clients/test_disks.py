"""The output of a socket-reader on disks that are full, read-only or not for us, and files that cannot be opened."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "scene",
    [
        "goes_on_when_there_is_room",
        "goes_on_after_a_rotation",
        "has_no_room_for_a_new_file_after_a_rotation",
        "becomes_read_only_after_a_rotation",
    ],
)
def test_a_disk(scene: str, in_namespaces: Callable[..., None]) -> None:
    in_namespaces("tests.support.disk_scenes", scene)


# What makes the place, in a folder of its own; the path there; the reason.
PLACES = [
    ("", "missing/out.log", "no such file or directory"),
    ("touch file", "file/out.log", "not a directory"),
    ("mkdir out.log", "out.log", "is a directory"),
    ("", ".", "is a directory"),
    ("mkfifo out.log", "out.log", "no such device or address"),
    ("ln -s out.log out.log", "out.log", "too many levels of symbolic links"),
    ("ln -s missing/x out.log", "out.log", "no such file or directory"),
    ("", "x" * 256, "file name too long"),
    ("", "ß" * 200, "file name too long"),
    ("", "x/" * 3000, "file name too long"),
    ("", "/proc/version", "permission denied"),
    ("", "/proc/new", "no such file or directory"),
    ("mkdir d; mount -t tmpfs -o ro tmpfs d", "d/out.log", "read-only file system"),
    ("mkdir d; mount -t tmpfs -o nr_inodes=1 tmpfs d", "d/out.log", "no space left on device"),
    ("mkdir -m 700 d; chown 12345 d", "d/out.log", "permission denied"),
    ("touch out.log; chmod 400 out.log; chown 12345 out.log", "out.log", "permission denied"),
    ("touch out.log; chmod 400 out.log", "out.log", "permission denied"),
    ("", "/dev/full", "no space left on device"),
]


def test_a_file_that_cannot_be_opened_is_one_line_of_the_log_and_no_traceback(
    need_namespaces: list[str], tmp_path: Path, child_env: dict[str, str]
) -> None:
    """One job for each place. A line is sent to each, because /dev/full refuses only that."""
    if os.getuid():
        pytest.skip("LOUD: only root can make files of other users")
    jobs: dict[str, Any] = {}
    script, expected = "set -e\n", []
    for number, (make, path, why) in enumerate(PLACES):
        output = path if path.startswith("/") else f"place {number}/{path}"
        script += f"mkdir 'place {number}'; cd 'place {number}'; {make or ':'}; cd ..\n"
        expected.append(f"cannot append to '{output}': {why}")
        reader, sender = f"reader-{number}", f"sender-{number}"
        jobs[reader] = {"task": "socket-reader", "params": {"listen": f"unix://S{number}", "output": output}}
        jobs[sender] = {
            "task": "socket-sender",
            "params": {"to": f"unix://S{number}", "count": 1},
            "after": reader,
            "daemon": True,
        }
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": jobs}))
    # Without the privilege of root to write everywhere.
    limited = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    run = [*limited, sys.executable, "-m", "taskloom", "run", "jobs.yaml"]

    done = subprocess.run(
        [*need_namespaces, "sh", "-c", f'{script}exec "$@"', "sh", *run],
        cwd=tmp_path,
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    failures = re.findall(r"cannot append to .*", done.stderr)
    assert [line for line in expected if not any(failure.startswith(line) for failure in failures)] == []
    assert not re.search(r"Traceback|internal error|\.py:\d+", done.stderr), done.stderr
