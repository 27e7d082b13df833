"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.support.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
OLDEST_SETUPTOOLS = 77  # as pyproject.toml asks

# Seconds that a thread gets to end after its test: generous, because it bounds failures alone.
THREAD_GRACE_SECONDS = 10.0

# Variables that a developer's shell may set; no test may depend on them.
FOREIGN_VARIABLES = (
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
    "NOTIFY_SOCKET",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "PYTHONWARNINGS",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "VIRTUAL_ENV",
)

# The tests start hundreds of programs. Without compiled files each compiles Taskloom again, which takes longer than
# all else that most of them do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# No example has a deadline, and none is too slow to draw: such times show how busy the machine is. All else is as
# hypothesis has it, also under CI.
hypothesis.settings.register_profile("taskloom", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("taskloom")


@hypothesis.settings(max_examples=1, database=None)
@hypothesis.given(hypothesis.strategies.none())
def _first_example(_: None) -> None:
    """Let hypothesis make its random generator: it asks the garbage collector who holds it, which `gc.freeze` hides."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without looking for garbage meanwhile: a third of the time went into that, and found none.

    What exists afterwards stays to the end, so no later collection of garbage looks through it: `gc.freeze`.
    """
    _first_example()
    gc.disable()
    try:
        return (yield)
    finally:
        # Frozen before it is enabled: otherwise the collector looks through all of it once more.
        if "TEST_IS_ALONE" not in os.environ:  # such a test measures a process as a user has it
            gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the notes of tests at the end (`record_property("told", ...)`), such as their random seed."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, told in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"{told}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call a test that is marked `alone` in a process of its own."""
    if pyfuncitem.get_closest_marker("alone") is None:
        return None
    from tests.support.own_process import call_alone

    return call_alone(pyfuncitem) or None


@pytest.fixture(scope="session", autouse=True)
def runtime_folder() -> Iterator[str]:
    """The folder of control sockets for this process, so that no test meets a program of the machine."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    folder = os.environ["XDG_RUNTIME_DIR"] = _short_folder()

    yield folder

    shutil.rmtree(folder)
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture(scope="session", autouse=True)
def no_history() -> Iterator[str]:
    """Let no program of a test write to the state folder of the machine: history is off, and the folder another one.

    A test about the history gives its programs `TASKLOOM_HISTORY=on`, or `history:` in the job file.
    """
    own = {"TASKLOOM_HISTORY": "off", "XDG_STATE_HOME": tempfile.mkdtemp(prefix="t l state")}
    before = {name: os.environ.get(name) for name in (*own, "STATE_DIRECTORY")}
    os.environ.update(own)
    os.environ.pop("STATE_DIRECTORY", None)

    yield own["XDG_STATE_HOME"]

    shutil.rmtree(own["XDG_STATE_HOME"])
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def own_runtime_folder() -> Iterator[str]:
    """A folder of control sockets for the programs of one test. Its path has a blank, and is short enough for one."""
    folder = _short_folder()

    yield folder

    shutil.rmtree(folder)


def _short_folder() -> str:
    return tempfile.mkdtemp(prefix="t l", dir="/tmp")


@pytest.fixture
def child_env(tmp_path_factory: pytest.TempPathFactory, own_runtime_folder: str) -> dict[str, str]:
    """The environment for a child process: an empty HOME, output buffered as by default, English, UTF-8.

    Its programs find each other, and no others. They have no history, unless the test sets TASKLOOM_HISTORY=on.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_VARIABLES and not name.startswith(("TASKLOOM_", "XDG_", "COV_"))
    }
    own = {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LC_ALL": "C.UTF-8",
        "XDG_RUNTIME_DIR": own_runtime_folder,
        "TASKLOOM_HISTORY": "off",
        "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state")),
    }
    return kept | own


@pytest.fixture
def need_tool() -> Callable[[str], str]:
    """Return the path of a program that the test talks to.

    If it is missing, the test is skipped, loudly; under CI it fails, since there everything is installed.
    """

    def path_of(name: str) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin")
        if path is None and os.environ.get("CI"):
            pytest.fail(f"cannot find {name!r}, and under CI nothing may be missing")
        if path is None:
            pytest.skip(f"LOUD: cannot find {name!r}; install it to run this test")
        return path

    return path_of


@pytest.fixture
def need_package() -> Callable[[str], None]:
    """Skip the test, loudly, if a package is missing; under CI it fails, since there everything is installed."""

    def need(name: str) -> None:
        if importlib.util.find_spec(name) is not None:
            return
        if os.environ.get("CI"):
            pytest.fail(f"cannot find the package {name!r}, and under CI nothing may be missing")
        pytest.skip(f"LOUD: cannot find the package {name!r}; pip install -e '.[test-hosts]' to run this test")

    return need


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of this process. Tests use `postgres`, which finds it running."""
    # Imported here: tests/house copies this file to where nothing of tests/ can be imported.
    from tests.support.postgres_server import find_postgres, postgres_server

    binaries = find_postgres()
    if binaries is None and os.environ.get("CI"):
        pytest.fail("cannot find the server of PostgreSQL, and under CI nothing may be missing")
    if binaries is None:
        pytest.skip("LOUD: cannot find the server of PostgreSQL; install the package postgresql to run this test")
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture
def postgres(postgres_process: PostgresServer) -> PostgresServer:
    """A PostgreSQL server that runs; a test may stop, kill or pause it, and makes a database of its own in it."""
    postgres_process.ensure_running()
    return postgres_process


@pytest.fixture
def taskloom_cli(child_env: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m taskloom ARGUMENTS...` to its end; the result has `returncode`, `stdout` and `stderr`.

    Options: `timeout` in seconds (30), `cwd` (the test's own folder), `stdin` as text, `env` to add variables.
    """

    def run(
        *arguments: str | os.PathLike[str],
        timeout: float = 30.0,
        cwd: Path = tmp_path,
        stdin: str = "",
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "taskloom", *(os.fspath(each) for each in arguments)],
            cwd=cwd,
            env=child_env | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def build_wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Build the wheel of a source folder, in a copy: a build leaves its litter beside the source.

    The setuptools of this environment is used when it is new enough, so that no network is needed.
    """

    def build(source: Path) -> Path:
        place = tmp_path_factory.mktemp("wheel")
        copy, wheels = place / "source", place / "wheels"
        litter = shutil.ignore_patterns(".*", "build", "dist", "docs", "tests", "*.egg-info", "__pycache__")
        shutil.copytree(source, copy, ignore=litter)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(copy)]
        if int(importlib.metadata.version("setuptools").split(".")[0]) >= OLDEST_SETUPTOOLS:
            # The call that pip makes itself. Without pip it takes less than half of the time.
            backend = f"from setuptools import build_meta; build_meta.build_wheel({str(wheels)!r})"
            command = [sys.executable, "-c", backend]
        answer = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=100, check=False)
        assert answer.returncode == 0, answer.stderr
        [wheel] = wheels.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(build_wheel: Callable[[Path], Path]) -> Path:
    """The wheel of Taskloom, built from this checkout."""
    return build_wheel(ROOT)


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Make threads take turns every 20 microseconds instead of every five milliseconds: it amplifies races.

    At one microsecond three threads hardly get anywhere on a busy machine; the stress test does that."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2e-5)

    yield

    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a non-daemon thread running: it would hold the interpreter, and disturb what follows."""
    before = set(threading.enumerate())

    yield

    mine = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in mine:
        # `enumerate` names threads that are just being started, which cannot be joined yet.
        if thread._started.wait(THREAD_GRACE_SECONDS):  # type: ignore[attr-defined]
            thread.join(THREAD_GRACE_SECONDS)
    left = sorted(thread.name for thread in mine if thread.is_alive())
    assert not left, f"threads outlived the test: {', '.join(left)}"
