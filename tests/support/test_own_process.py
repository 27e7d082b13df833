"""A test that is marked `alone` is called in a process of its own, and its failure is told whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFTEST = """
import os
import pytest
from tests.support.own_process import call_alone

os.environ.setdefault("FIRST", str(os.getpid()))

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    return call_alone(pyfuncitem) or None
"""

TESTS = """
import os
import pytest
import threading

def test_pid(tmp_path):
    assert os.getpid() != int(os.environ["FIRST"])

@pytest.mark.parametrize("value", ["a b"])
def test_fails(value):
    assert value == "the end"

def test_dies():
    os._exit(0)

def test_has_the_timeout_of_the_command_line(pytestconfig):
    assert pytestconfig.getoption("timeout") == 50

@pytest.mark.timeout(20)
def test_hangs():
    threading.Event().wait()
"""


@pytest.mark.long
def test_it_passes_fails_and_hangs_as_its_child_does(tmp_path: Path, child_env: dict[str, str]) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {str(ROOT)!r}\ntimeout = 60\nmarkers =\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_inner.py").write_text(TESTS)

    options = ["-ra", "-p", "no:cacheprovider", "--import-mode=importlib", "--timeout=50"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    said = subprocess.run(
        command, cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=100, check=False
    ).stdout

    assert "3 failed, 2 passed" in said, said
    assert "assert 'a b' == 'the end'" in said
    assert "alone in a process, exit code 0:" in said
    assert "not done in 10 s" in said
    assert 'File "' in said.partition("not done in 10 s")[2], "the stacks of all threads"
