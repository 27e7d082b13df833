"""The limits of the system: with too few processes, memory or descriptors a program ends in time and in words.

Each test first shows that its limit bites, by a child process that starts threads or opens files until one is refused.
Limits of processes count all processes of a user, so each program runs under a user id that no other process has.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.toy_distribution import add_distribution

from taskloom.cli.limits import OWN_THREADS

# Seconds in which a program without jobs that hold it has to end.
SOON = 20.0
# What an end may look like: nothing started, a job that was not started, or all well.
ENDS = (0, 1, 75)

JOBS = "jobs: {one: {task: countdown, params: {start: 1, interval: 300ms}, replicas: 3}}"

BITES = """
import threading

done, started = threading.Event(), 0
try:
    while started < 64:
        threading.Thread(target=done.wait, daemon=True).start()
        started += 1
except (RuntimeError, MemoryError):
    print("bites after", started)
finally:
    done.set()
"""

FILES_BITE = """
import os

opened = []
try:
    while len(opened) < 64:
        opened.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    print("bites after", len(opened))
"""

Limited = Callable[..., subprocess.CompletedProcess[str]]
_unused_uids = itertools.count(2_000_000 + os.getpid() % 100_000 * 100)


def give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and under CI nothing may be missing")
    pytest.skip(f"LOUD: {reason}")


@pytest.fixture
def limited(child_env: dict[str, str], need_tool: Callable[[str], str], tmp_path: Path) -> Limited:
    """Run Python under a limit: `limited(["--nproc=4"], "-c", "...")`, each time as another unused user."""
    prlimit, setpriv = need_tool("prlimit"), need_tool("setpriv")
    if os.geteuid() != 0:
        give_up("only root can change the user id")
    tmp_path.chmod(0o755)
    (tmp_path / "jobs.yaml").write_text(JOBS)

    def run(limits: list[str], *arguments: str, is_root: bool = False) -> subprocess.CompletedProcess[str]:
        uid = str(next(_unused_uids))
        # It may read everything, since the interpreter of this test may be in a folder of root. No other right is kept.
        user = [
            *(setpriv, "--reuid", uid, "--regid", uid, "--clear-groups"),
            *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
        ]
        return subprocess.run(
            [prlimit, *limits, *([] if is_root else user), sys.executable, *arguments],
            cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=SOON, check=False,
        )  # fmt: skip

    if "works" not in run([], "-c", "print('works')").stdout:
        give_up("this interpreter cannot run under another user id")
    return run


def must_bite(answer: subprocess.CompletedProcess[str]) -> None:
    assert "bites after" in answer.stdout, f"the limit does not bite here: {answer.stdout}{answer.stderr}"


def check_end(answer: subprocess.CompletedProcess[str]) -> None:
    """Check that the end has a documented code, and a sentence where nothing was started."""
    assert answer.returncode in ENDS, (answer.returncode, answer.stderr)
    assert "internal error" not in answer.stderr
    if answer.returncode == 75:
        [sentence] = answer.stderr.splitlines()
        assert sentence.startswith("taskloom: cannot ")
        assert "; nothing was started" in sentence
        assert "limit" in sentence
    if answer.returncode == 1:  # a job had no thread, or found no memory while it ran
        assert re.search("can't start new thread|MemoryError|Cannot allocate memory", answer.stderr), answer.stderr


# The first ones refuse the watcher, the output, the listener, the scheduler and the waiter; then jobs are refused.
PROCESSES = range(1, 17)
IN_SHORT = (6,)


@pytest.mark.parametrize(
    "processes", [n if n in IN_SHORT else pytest.param(n, marks=pytest.mark.long) for n in PROCESSES]
)
def test_too_few_processes_end_in_words(limited: Limited, processes: int) -> None:
    limits = [f"--nproc={processes}"]
    must_bite(limited(limits, "-c", BITES))

    answer = limited(limits, "-m", "taskloom", "run", "jobs.yaml")

    check_end(answer)
    if processes <= 5:
        assert answer.returncode == 75


@pytest.mark.long
@pytest.mark.parametrize(
    ("processes", "code"), [(OWN_THREADS - 1, 75), (OWN_THREADS, 1), (OWN_THREADS + 2, 1), (OWN_THREADS + 3, 0)]
)
def test_the_number_of_threads_that_validate_adds_is_right(limited: Limited, processes: int, code: int) -> None:
    """Three runs need three threads; they take long enough that none can have the thread of another."""
    answer = limited([f"--nproc={processes}"], "-m", "taskloom", "run", "jobs.yaml")

    assert answer.returncode == code, answer.stderr


MEBIBYTES = [*range(16, 64, 4), *range(64, 360, 8)]
MEMORY_IN_SHORT = (200,)


@pytest.mark.parametrize(
    "mebibytes", [n if n in MEMORY_IN_SHORT else pytest.param(n, marks=pytest.mark.long) for n in MEBIBYTES]
)
@pytest.mark.parametrize("limit", ["as", pytest.param("data", marks=pytest.mark.long)])
def test_too_little_memory_ends_in_words(limited: Limited, mebibytes: int, limit: str) -> None:
    limits = [f"--{limit}={mebibytes << 20}"]
    with contextlib.suppress(subprocess.TimeoutExpired):  # Python itself hangs at a few sizes: the limit bites
        must_bite(limited(limits, "-c", BITES, is_root=True))

    answer = limited(limits, "-m", "taskloom", "run", "jobs.yaml", is_root=True)

    check_end(answer)
    if mebibytes < 100:
        assert answer.returncode == 75


DESCRIPTORS = [*range(6, 40, 2), 64]


@pytest.mark.parametrize("files", [n if n == 16 else pytest.param(n, marks=pytest.mark.long) for n in DESCRIPTORS])
def test_too_few_descriptors_end_in_words(limited: Limited, files: int) -> None:
    limits = [f"--nofile={files}"]
    must_bite(limited(limits, "-c", FILES_BITE, is_root=True))

    answer = limited(limits, "-m", "taskloom", "run", "jobs.yaml", is_root=True)

    check_end(answer)
    if not 26 < files < 36:  # how many the interpreter itself has open depends on its version
        assert answer.returncode == (75 if files < 30 else 0)


@pytest.mark.long
@pytest.mark.parametrize("verb", ["validate", "run"])
@pytest.mark.parametrize("limit", ["--nproc=4", f"--as={18 << 20}", "--nofile=6", f"--as={60 << 20}"])
def test_no_verb_ends_with_a_traceback(limited: Limited, verb: str, limit: str) -> None:
    answer = limited([limit], "-m", "taskloom", verb, "jobs.yaml")

    assert answer.returncode in (0, 75)
    assert "Traceback" not in answer.stderr


@pytest.mark.long
def test_validate_warns_of_the_limit_of_the_user(limited: Limited, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {many: {task: countdown, replicas: 100}}")

    answer = limited(["--nproc=50"], "-m", "taskloom", "validate", "jobs.yaml")

    assert answer.returncode == 0
    assert "100 runs and 9 threads of Taskloom need 109, but ulimit -u allows 50" in answer.stderr


GREEDY = """
import os, sys, threading

{greed}

def run(ctx):
    ctx.wait()
"""
KEEP = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
GREEDS = {
    # It takes every thread, and then its import succeeds.
    "threads": ("--nproc=20", f"try:\n    while True:\n        {KEEP}\nexcept RuntimeError:\n    pass"),
    # Its import fails, since it is refused a thread.
    "one thread more": ("--nproc=20", f"while True:\n    {KEEP}"),
    "descriptors": ("--nofile=64", "kept = []\nwhile True:\n    kept.append(os.open(os.devnull, os.O_RDONLY))"),
    "memory": (f"--as={400 << 20}", "kept = []\nwhile True:\n    kept.append(bytearray(10_000_000))"),
    "processes": ("--nproc=20", "import subprocess\nwhile True:\n    subprocess.Popen(['sleep', '5'], stderr=-3)"),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", GREEDS)
def test_a_plugin_that_takes_everything_at_import_lets_nothing_start(
    limited: Limited, child_env: dict[str, str], tmp_path: Path, kind: str
) -> None:
    limit, greed = GREEDS[kind]
    add_distribution(tmp_path, "acme", GREEDY.format(greed=greed), greedy="run")
    child_env["PYTHONPATH"] = str(tmp_path)
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: greedy}}")

    answer = limited([limit], "-m", "taskloom", "run", "jobs.yaml")

    assert answer.returncode == 75, answer.stderr
    check_end(answer)


HOARDER = """
import os, time

def hoard(ctx):
    kept = []
    try:
        while True:
            kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        ctx.log.info("has everything")
    time.sleep(1000)  # DEAF STANDS HERE
"""


@pytest.mark.long
def test_a_job_that_takes_all_descriptors_is_named_by_the_stop(
    child_env: dict[str, str], need_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """All modules that a stop needs were imported before the first job."""
    add_distribution(tmp_path, "acme", HOARDER, hoarder="hoard")
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: hoarder, join: 1s}}")
    command = [need_tool("prlimit"), "--nofile=64", sys.executable, "-m", "taskloom", "run", "jobs.yaml"]

    with subprocess.Popen(
        command, cwd=tmp_path, env=child_env | {"PYTHONPATH": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        line = next(line for line in program.stderr if "has everything" in line)
        program.send_signal(signal.SIGTERM)
        rest = program.stderr.read()

    assert line
    assert program.returncode == 3, rest
    assert "acme.py:11" in rest
    assert "internal error" not in rest


@pytest.fixture
def pids_cgroup() -> Iterator[Path]:
    """A new cgroup that may limit the number of processes."""
    for top in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        folder = top / f"taskloom-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "pids.max").exists():
            yield folder
            folder.rmdir()
            return
        folder.rmdir()
    give_up("no cgroup that limits processes can be made here")


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2, 4, 6, 8, 16])
def test_a_cgroup_with_too_few_processes_ends_in_words(
    child_env: dict[str, str], tmp_path: Path, pids_cgroup: Path, processes: int
) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (pids_cgroup / "pids.max").write_text(f"{processes}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        enter = f'echo $$ > {pids_cgroup}/cgroup.procs && exec "$@"'
        return subprocess.run(
            ["/bin/sh", "-c", enter, "sh", sys.executable, *arguments],
            cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=SOON, check=False,
        )  # fmt: skip

    must_bite(run("-c", BITES))

    answer = run("-m", "taskloom", "run", "jobs.yaml")

    check_end(answer)
    if processes <= 4:
        assert answer.returncode == 75
    if processes == 16:
        assert answer.returncode == 0
