"""The shared fixtures keep their promises; each is used by a separate pytest, in a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

PyTest = Callable[..., str]


@pytest.fixture
def run_pytest(tmp_path: Path, child_env: dict[str, str]) -> PyTest:
    """Run a test file under the shared fixtures, with a short grace for threads; return what pytest says."""

    def run(source: str, **variables: str) -> str:
        fixtures = CONFTEST.read_text(encoding="utf-8")
        short = fixtures.replace("THREAD_GRACE_SECONDS = 10.0", "THREAD_GRACE_SECONDS = 0.05")
        assert short != fixtures
        (tmp_path / "conftest.py").write_text(short, encoding="utf-8")
        (tmp_path / "test_inner.py").write_text(source, encoding="utf-8")
        # Without the plugins, whose import takes longer than the tests.
        settings = {name: value for name, value in child_env.items() if name != "CI"}
        settings |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | variables
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", tmp_path],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    return run


THREADS = """
import threading
import pytest

@pytest.fixture(scope="module")
def release():
    event = threading.Event()
    yield event
    event.set()

def test_leaks(release):
    threading.Thread(target=release.wait, name="left-over").start()

def test_joins():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

def test_leaves_a_daemon(release):
    threading.Thread(target=release.wait, daemon=True).start()
"""


def test_a_test_that_leaves_a_thread_behind_fails_and_names_it(run_pytest: PyTest) -> None:
    said = run_pytest(THREADS)

    assert "ERROR test_inner.py::test_leaks" in said
    assert "threads outlived the test: left-over" in said
    assert "3 passed, 1 error" in said


TOOLS = """
def test_there(need_tool):
    assert need_tool("sh").endswith("/sh")

def test_missing(need_tool):
    need_tool("no-such-tool")
"""


def test_a_missing_tool_is_skipped_loudly_on_a_developers_machine(run_pytest: PyTest) -> None:
    said = run_pytest(TOOLS)

    assert "LOUD: cannot find 'no-such-tool'; install it to run this test" in said
    assert "1 passed, 1 skipped" in said


def test_a_missing_tool_fails_under_ci(run_pytest: PyTest) -> None:
    said = run_pytest(TOOLS, CI="true")

    assert "cannot find 'no-such-tool', and under CI nothing may be missing" in said
    assert "1 failed, 1 passed" in said


def test_a_child_process_gets_an_empty_home_and_no_settings_of_the_developer(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    foreign = {"PYTHONUNBUFFERED": "1", "TASKLOOM_STATE": "x", "XDG_DATA_HOME": "x", "NO_COLOR": "1"}
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)

    child_env: dict[str, str] = request.getfixturevalue("child_env")

    assert foreign.keys() & child_env.keys() == set()
    assert list(Path(child_env["HOME"]).iterdir()) == []


def test_the_commands_that_taskloom_runs_are_seen_whole(
    taskloom_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    answer = taskloom_cli("--version")

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("taskloom")
    assert answer.stderr == ""
