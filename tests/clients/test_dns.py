"""A reader that connects by name while DNS goes and comes back, in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ["unshare", "--mount", "--net", *(["--map-root-user"] if os.getuid() else [])]

AFTER_A_CONNECTION = ["UNKNOWN_NAME", "SERVER_FAILURE", "REFUSED", "NO_ADDRESS", "SILENCE"]


@pytest.fixture(autouse=True)
def _namespaces(need_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Skip, loudly, where the machine does not let us have namespaces and mounts."""
    for tool in ("unshare", "ip", "mount"):
        need_tool(tool)
    (tmp_path / "probe").touch()
    tried = subprocess.run(
        [*NAMESPACES, "mount", "--bind", tmp_path / "probe", "/etc/resolv.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"LOUD: this machine allows no mount in a namespace: {tried.stderr.strip()}")


@pytest.mark.parametrize(
    ("scene", "trouble"),
    [
        *(("goes_and_comes_back", trouble) for trouble in AFTER_A_CONNECTION),
        ("comes_back_elsewhere", "UNKNOWN_NAME"),
        ("goes_twice", "UNKNOWN_NAME"),
        ("is_not_there_yet", "SERVER_FAILURE"),
        ("is_not_there_yet", "SILENCE"),
        ("never_was", "UNKNOWN_NAME"),
        ("never_was", "NO_ADDRESS"),
        ("stops_while_it_is_gone", "UNKNOWN_NAME"),
        ("stops_while_it_is_gone", "SILENCE"),
    ],
)
def test_a_reader_that_connects_by_name(scene: str, trouble: str, tmp_path: Path, child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.support.dns_scenes", scene, trouble, tmp_path],
        cwd=ROOT,
        env=child_env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
