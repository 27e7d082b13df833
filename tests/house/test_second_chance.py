"""`.ci/run` repeats the few tests that failed, and says which are unstable; it hides no other failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# `turn` is the number of the run: 1 is the whole step, 2 to 4 are the failed tests alone.
BEGIN = """
import os, pytest, threading
from pathlib import Path

with open("turns", "a") as file:
    file.write(os.environ["TASKLOOM_SEED"] + os.environ["TASKLOOM_FUZZ_SEED"] + os.environ["SIMULATE_SEED"] + "\\n")
turn = len(Path("turns").read_text().splitlines())

def test_good():
    assert True
"""
ONCE = """
@pytest.mark.parametrize("value", ["a b's [c]"])
def test_once(value):
    assert turn > 1
"""

Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def check(tmp_path: Path, child_env: dict[str, str]) -> Check:
    """Run a check of one step that calls pytest for this text of a test file; `args` are those of the step."""
    tree = tmp_path / "a tree"
    tree.mkdir()
    (tree / ".venv").symlink_to(sys.prefix)
    (tree / "Makefile").write_text("test:\n\t@exec .venv/bin/python -m pytest $(ARGS)\n")
    (tree / "pytest.ini").write_text("[pytest]\naddopts = -n 0 -ra\n")
    script = f"""
        cd {str(ROOT)!r} && work=$1 && . .ci/steps.sh || exit 99
        TASKLOOM_SEED=77
        draw_seeds
        pytest_step "$3" "make test" "$2" "$4" make -C "$2" test
        finish
    """

    def run(source: str, args: str = "", seconds: int = 60) -> subprocess.CompletedProcess[str]:
        (tree / "test_inner.py").write_text(BEGIN + source)
        # Without the other plugins, whose import takes longer than the tests.
        plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "_hypothesis_pytestplugin,xdist.plugin"}
        kept = {name: value for name, value in child_env.items() if not name.startswith(("PYTEST_", "MAKE"))}
        command = ["bash", "-uo", "pipefail", "-c", script, "check", str(tmp_path), str(tree), str(seconds), args]
        env = kept | plugins
        return subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        )

    return run


def turns(tmp_path: Path) -> list[str]:
    return (tmp_path / "a tree" / "turns").read_text().splitlines()


@pytest.mark.long
def test_a_test_that_failed_once_is_named_as_unstable(check: Check, tmp_path: Path) -> None:
    answer = check(ONCE)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = answer.stdout.splitlines()
    at = lines.index("=== all steps")
    assert lines[at + 2].endswith("  ok, UNSTABLE  make test")
    assert lines[at + 3].endswith("failed once: test_inner.py::test_once[a b's [c]]")
    assert "1 failed, 1 passed" in answer.stdout.partition("=== all steps")[2], "the first closing line"
    assert lines[-3].startswith("UNSTABLE: these tests failed, and then passed 3 times alone")
    assert lines[-2] == "  test_inner.py::test_once[a b's [c]] (make test)"
    assert lines[-1] == "all checks passed, but UNSTABLE: 1 (named above)"
    assert turns(tmp_path) == ["777777"] * 4


@pytest.mark.long
def test_a_fixture_that_failed_once_is_unstable_too(check: Check) -> None:
    answer = check("""
@pytest.fixture
def last():
    yield
    assert turn > 1

def test_last(last):
    assert True
""")

    assert (answer.returncode, answer.stdout.splitlines()[-2]) == (0, "  test_inner.py::test_last (make test)")


@pytest.mark.long
def test_eight_of_them_are_few(check: Check) -> None:
    answer = check("@pytest.mark.parametrize('number', range(8))\ndef test_once(number): assert turn > 1\n")

    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1] == "all checks passed, but UNSTABLE: 8 (named above)"


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "args", "count"),
    [
        pytest.param("def test_always(): assert not turn\n", "", 2, id="each time"),
        pytest.param("def test_twice(): assert turn in (2, 3)\n", "", 4, id="the last time"),
        pytest.param(ONCE + "def test_always(): assert not turn\n", "", 2, id="one of two"),
        pytest.param("def test_skips():\n    assert turn > 1\n    pytest.skip('now')\n", "", 2, id="skipped"),
        pytest.param(
            "@pytest.mark.parametrize('number', range(9))\ndef test_once(number): assert turn > 1\n", "", 1, id="nine"
        ),
        pytest.param(ONCE, "-p no:cacheprovider -o addopts=-n0", 0, id="no cache"),
        pytest.param(ONCE, "--no-such-option", 0, id="usage"),
        pytest.param(ONCE + "if turn == 1: raise ValueError\n", "", 1, id="collection"),
        pytest.param(ONCE + "if turn == 1: pytest.exit('now', 1)\n", "", 1, id="exit"),
        pytest.param("if turn == 1: os._exit(1)\n", "", 1, id="death"),
        pytest.param(ONCE + "def test_dies():\n    if turn < 4: os._exit(1)\n", "-n 1", None, id="crash of a worker"),
    ],
)
def test_any_other_failure_is_one(check: Check, tmp_path: Path, source: str, args: str, count: int | None) -> None:
    answer = check(source, args)

    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "FAILED: make test (exit code" in answer.stdout.partition("=== all steps")[2]
    assert "UNSTABLE" not in answer.stdout
    if count is None:
        assert "the failed tests" not in answer.stdout, "there is no second chance"
    else:
        assert len(turns(tmp_path) if count else []) == count


@pytest.mark.long
@pytest.mark.parametrize("slow", [1, 2])
def test_a_step_that_takes_too_long_has_failed(check: Check, slow: int) -> None:
    hang = (
        f"def test_hangs():\n    assert turn == {slow} or turn > 1\n    turn == {slow} and threading.Event().wait()\n"
    )

    answer = check(hang, seconds=4)

    assert answer.returncode == 1
    assert "FAILED: make test (exit code" in answer.stdout
    assert "UNSTABLE" not in answer.stdout


@pytest.mark.long
def test_what_failed_in_an_earlier_step_is_not_repeated_in_the_next(check: Check, tmp_path: Path) -> None:
    assert check("def test_always(): assert not turn\n").returncode == 1
    (tmp_path / "a tree" / "turns").unlink()

    answer = check(ONCE)

    assert answer.returncode == 0, answer.stdout
