"""A program that ends without `stop`: each test runs one, with real exits and signals."""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest
from tests.support.child_programs import ChildProgram, run_program

HEAD = """
    import sys, threading
    from taskloom import Job, Scheduler

    has_begun = threading.Event()

    def wait(ctx):
        print("begun", flush=True)
        ctx.wait()
        print("ended", flush=True)

    def deaf(ctx):
        ctx.on_cancel(lambda: print("requested", flush=True))
        print("begun", flush=True)
        has_begun.set()
        threading.Event().wait()

    def short(ctx):
        ctx.wait(0.2)
        print("ended", flush=True)

    def fail(ctx):
        raise ValueError("no")
"""
WARNING = "the program has ended without stop(), and waits for {} (Ctrl-C stops everything)\n"


def test_by_default_the_runs_that_are_not_daemons_are_named_and_waited_for(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=short))
    scheduler.add(Job(name="b", task=short))
    scheduler.add(Job(name="c", task=wait, daemon=True))
    scheduler.start()
    sys.exit(7)
    """,
        child_env,
    )

    assert answer.returncode == 7
    assert answer.stdout.count("ended") == 2
    assert answer.stderr == WARNING.format("2 runs: a#1, b#1")


def test_a_scheduler_that_the_program_has_dropped_is_waited_for_too(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    import gc

    def main():
        Scheduler().add(Job(name="a", task=short)).start()

    main()
    gc.collect()
    """,
        child_env,
    )

    assert (answer.returncode, answer.stdout) == (0, "ended\n")
    assert answer.stderr == WARNING.format("1 run: a#1")


@pytest.mark.long
def test_what_follows_the_awaited_run_at_once_is_waited_for(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=short))
    scheduler.add(Job(name="b", task=short, after="a"))
    scheduler.start()
    """,
        child_env,
    )

    assert (answer.returncode, answer.stdout) == (0, "ended\nended\n")


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(5)",
        "threading.Thread(target=scheduler.wait).start(); sys.exit(5)",
    ],
)
def test_stop_at_exit_stops_everything_and_keeps_the_exit_code(child_env: dict[str, str], end: str) -> None:
    answer = run_program(
        HEAD
        + f"""
    scheduler = Scheduler(stop_at_exit=True)
    scheduler.add(Job(name="a", task=wait)).start()
    scheduler.add(Job(name="b", task=wait, daemon=True)).start()
    {end}
    """,
        child_env,
    )

    assert (answer.returncode, answer.stderr) == (5, "")
    assert answer.stdout.count("ended") == 2


@pytest.mark.long
def test_stop_at_exit_follows_an_exception_too(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler(stop_at_exit=True)
    scheduler.add(Job(name="a", task=wait)).start()
    raise LookupError("main has failed")
    """,
        child_env,
    )

    assert answer.returncode == 1
    assert answer.stdout.count("ended") == 1
    assert answer.stderr.endswith("LookupError: main has failed\n")


def test_daemons_alone_do_not_hold_the_exit(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=deaf, daemon=True)).start()
    has_begun.wait()  # Python aborts if a daemon thread prints while the interpreter ends
    """,
        child_env,
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_last_failure_is_logged_before_the_program_is_gone(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=fail)).start().join()
    """,
        child_env,
    )

    assert answer.returncode == 0
    assert "a#1: failed after " in answer.stderr
    assert answer.stderr.endswith("ValueError: no\n")


@pytest.mark.long
def test_with_log_false_nothing_is_said(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler(log=False)
    scheduler.add(Job(name="a", task=fail)).start()
    scheduler.add(Job(name="b", task=short)).start()
    """,
        child_env,
    )

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ended\n", "")


@pytest.mark.long
def test_a_stop_that_was_requested_before_is_waited_for(child_env: dict[str, str]) -> None:
    answer = run_program(
        HEAD
        + """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=wait)).start()
    scheduler.request_stop()
    sys.exit(4)
    """,
        child_env,
    )

    assert (answer.returncode, answer.stderr) == (4, "")


@pytest.mark.long
def test_a_scheduler_can_be_started_while_the_program_ends(child_env: dict[str, str]) -> None:
    """The hook can no longer be registered then; Python itself waits for the thread of the run."""
    answer = run_program(
        HEAD
        + """
    def late():
        threading.main_thread().join()
        Scheduler().add(Job(name="a", task=short)).start()

    threading.Thread(target=late).start()
    """,
        child_env,
    )

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ended\n", "")


def start(text: str, env: dict[str, str]) -> ChildProgram:
    return ChildProgram([sys.executable, "-c", textwrap.dedent(HEAD + text)], env)


def test_ctrl_c_during_the_wait_stops_everything_and_keeps_the_exit_code(child_env: dict[str, str]) -> None:
    program = """
    schedulers = [Scheduler(), Scheduler()]
    for scheduler in schedulers:
        scheduler.add(Job(name="a", task=wait)).start()
    sys.exit(6)
    """
    with start(program, child_env) as child:
        child.wait_for("(Ctrl-C stops everything)")
        child.wait_for("begun", 2)
        child.send(signal.SIGINT)
        code, _ = child.end()

    assert code == 6
    assert child.output.count("ended\n") == 2
    assert "Traceback" not in child.output


@pytest.mark.long
def test_a_second_ctrl_c_shortens_the_stop_and_a_third_leaves_the_wait_to_python(child_env: dict[str, str]) -> None:
    program = """
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=deaf, join="1h")).start()
    """
    with start(program, child_env) as child:
        child.wait_for("(Ctrl-C stops everything)")
        child.wait_for("begun")
        child.send(signal.SIGINT)
        child.wait_for("requested")
        child.send(signal.SIGINT)
        child.wait_for("a#1: did not stop within")
        code = child.end_by(signal.SIGINT)

    assert code == 0


@pytest.mark.long
def test_a_handler_that_exits_during_the_wait_counts_as_ctrl_c(child_env: dict[str, str]) -> None:
    program = """
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    scheduler = Scheduler()
    scheduler.add(Job(name="a", task=wait)).start()
    """
    with start(program, child_env) as child:
        child.wait_for("(Ctrl-C stops everything)")
        child.wait_for("begun")
        child.send(signal.SIGTERM)
        code, _ = child.end()

    assert code == 0
    assert child.output.endswith("ended\n")


@pytest.mark.long
def test_a_run_that_outlives_the_stop_at_exit_is_named_as_long_as_python_waits_for_it(
    child_env: dict[str, str],
) -> None:
    program = """
    scheduler = Scheduler(stop_at_exit=True)
    scheduler.add(Job(name="a", task=deaf, join="10ms")).start()
    """
    with start(program, child_env) as child:
        child.wait_for("a#1: did not stop within 10ms: currently at <string>:")
        child.wait_for("waits for 1 run: a#1")
        code = child.end_by(signal.SIGINT)

    assert code == 0
