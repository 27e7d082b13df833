"""Forked children of `taskloom run` and `taskloom drill`: a signal ends the child alone, and its output arrives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.distribution import write_distribution

Start = Callable[..., Any]
Call = Callable[..., subprocess.CompletedProcess[str]]

# Only a failure takes this long.
PATIENCE_SECONDS = 60.0

TASKS = r'''
import faulthandler, logging, multiprocessing, os, signal, sys, threading
from concurrent.futures import ProcessPoolExecutor

FORK = multiprocessing.get_context("fork")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def tell(word):
    print("print", word)
    logging.getLogger("child").warning("log %s", word)


def sleep():
    signal.pause()


def fork(child):
    """Fork, call `child` there, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            sys.stdout.flush()
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def process(ctx):
    """A Process that is terminated right after its start, and one that ends by itself."""
    for _ in range(5):
        child = FORK.Process(target=sleep)
        child.start()
        child.terminate()
        child.join()
        assert child.exitcode == -signal.SIGTERM, child.exitcode
    child = FORK.Process(target=tell, args=("process",))
    child.start()
    child.join()
    assert child.exitcode == 0
    failing = FORK.Process(target=int, args=("no number",))
    failing.start()
    failing.join()
    assert failing.exitcode == 1
    leaving = FORK.Process(target=sys.exit, args=(5,))
    leaving.start()
    leaving.join()
    assert leaving.exitcode == 5
    killed = FORK.Process(target=sleep)
    killed.start()
    killed.kill()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    print("done process")


def pool(ctx):
    """A `with Pool()` block ends."""
    with FORK.Pool(2) as workers:
        assert workers.map(abs, [-1, 2]) == [1, 2]
        workers.apply(tell, ("pool",))
    print("done pool")


def executor(ctx):
    """So does a process pool executor."""
    with ProcessPoolExecutor(2, mp_context=FORK) as workers:
        assert list(workers.map(abs, [-3, 4])) == [3, 4]
        workers.submit(tell, "executor").result()
    print("done executor")


def forks(ctx):
    """`os.fork`: text without a newline is not printed twice; a child may fork, too."""
    print("once ", end="")
    assert fork(lambda: tell("forks")) == 0
    assert fork(lambda: fork(lambda: tell("grandchild"))) == 0
    print("done forks")


def from_thread(ctx):
    """A fork on a thread that the task started."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(fork(lambda: tell("thread"))))
    thread.start()
    thread.join()
    assert codes == [0]
    print("done from_thread")


def captured(ctx):
    """A child that writes to a stream object that was the parent's."""
    stream = sys.stdout
    assert fork(lambda: print("print captured", file=stream)) == 0
    print("done captured")


def comes_back(ctx):
    """Children that come back from the code of the task."""
    for how in ("returns", "raises", "exits", "waits", "sleeps"):
        pid = os.fork()
        if pid == 0:
            if how == "raises":
                raise ValueError("raised in the child")
            if how == "exits":
                sys.exit(3)
            if how == "waits":
                assert ctx.wait() and ctx.cancelled and "forked" in str(ctx.reason)
                ctx.ready()
            if how == "sleeps":
                ctx.sleep(1000)
            return
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == {"raises": 1, "exits": 3}.get(how, 0), (how, code)
    assert not ctx.cancelled
    print("done comes_back")


def inherits(ctx):
    """A child has nothing of the program."""
    def check():
        assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN)
        assert all(signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN) for number in SIGNALS[1:])
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
        assert not faulthandler.unregister(signal.SIGRTMAX)
        for function in (threading.Thread.start, threading.excepthook):
            assert not function.__module__.startswith("taskloom"), function
        for stream in (sys.stdout, sys.stderr):
            assert not type(stream).__module__.startswith("taskloom")
        thread = threading.Thread(target=print, args=("print inherits",))
        thread.start()
        thread.join()
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            assert signal.set_wakeup_fd(-1) == -1
        except ValueError:
            os._exit(9)
    def main():
        try:
            check()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert fork(main) == 0
    print("done inherits")
'''

KINDS = ("process", "pool", "executor", "forks", "from_thread", "captured", "comes_back", "inherits")
# What the children print and log.
WORDS = ("process", "pool", "executor", "forks", "grandchild", "thread")


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a program that has these tasks."""
    folder = write_distribution(tmp_path_factory.mktemp("forking") / "packages", "forking", TASKS, KINDS)
    return {"PYTHONPATH": str(folder)}


def job_file(kinds: tuple[str, ...]) -> str:
    return "jobs:\n" + "".join(f"  {kind}: {{task: {kind}}}\n" for kind in kinds)


def test_children_of_every_kind_end_alone_and_their_output_arrives(
    start_program: Start, forking: dict[str, str]
) -> None:
    program = start_program(job_file(KINDS), env=forking, stdout=subprocess.PIPE)
    printed = program.process.stdout.read().splitlines()
    program.process.stdout.close()

    assert program.end() == 0, program.stderr
    assert {line for line in printed if line.startswith("done")} == {
        f"done {kind}" for kind in KINDS if kind != "forks"
    }
    assert printed.count("once done forks") == 1
    assert [printed.count(f"print {word}") for word in (*WORDS, "captured", "inherits")] == [1] * 8
    assert [program.stderr.count(f"log {word}\n") for word in WORDS] == [1] * 6
    assert "SIGTERM" not in program.stderr
    assert program.stderr.count("raised in the child") == 2  # the line of the code, and the exception
    assert "invalid literal for int() with base 10: 'no number'" in program.stderr


@pytest.mark.long
def test_a_drill_treats_forked_children_as_the_program_does(
    taskloom_cli: Call, forking: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text(job_file(KINDS))

    answer = taskloom_cli("drill", "jobs.yaml", "-o", "json", env=forking, timeout=PATIENCE_SECONDS)

    assert answer.returncode == 0, answer.stderr
    assert {job["job"]: job["verdict"] for job in json.loads(answer.stdout)["jobs"]} == dict.fromkeys(
        KINDS, "ended by itself"
    )
    assert [answer.stderr.count(f"print {word}\n") for word in WORDS] == [1] * 6
    assert [answer.stderr.count(f"log {word}\n") for word in WORDS] == [1] * 6


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repeat", range(5))
def test_children_end_alone_while_a_second_job_keeps_the_program_busy(
    start_program: Start, forking: dict[str, str], toy_packages: Path, kind: str, repeat: int
) -> None:
    """The fork strikes while other threads print, log and start: their locks are held in some of the children."""
    others = "".join(f"  p{number}: {{task: printer, daemon: true}}\n" for number in range(4))
    env = {"PYTHONPATH": f"{forking['PYTHONPATH']}{os.pathsep}{toy_packages}"}
    program = start_program(job_file((kind,)) + others, env=env)

    assert program.end() == 0, program.stderr
    assert f"{kind:<12} succeeded" in program.stderr


def test_a_signal_to_the_whole_group_stops_the_program_once(start_program: Start, forking: dict[str, str]) -> None:
    """As a terminal and service managers send it: the children end by themselves, without a word to the program."""
    source = (
        "import multiprocessing, signal\n"
        "def group(ctx):\n"
        "    child = multiprocessing.get_context('fork').Process(target=signal.pause)\n"
        "    child.start()\n"
        "    ctx.log.info('child is there')\n"
        "    ctx.wait()\n"
        "    child.join()\n"
    )
    folder = write_distribution(Path(forking["PYTHONPATH"]).parent / "group", "group", source, ["group"])
    program = start_program("jobs: {group: {task: group}}", env={"PYTHONPATH": str(folder)})
    program.wait_for("child is there")

    os.killpg(program.process.pid, signal.SIGTERM)

    assert program.end() == 0
    assert program.stderr.count("SIGTERM: stopping all jobs") == 1
    assert "at most 2 more seconds" not in program.stderr
