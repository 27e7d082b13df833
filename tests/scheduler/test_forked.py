"""A host that forks: in the child, the parent's scheduler answers in words instead of waiting for its threads."""

from __future__ import annotations

import ast
import faulthandler
import os
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.child_programs import run_program
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import Job, Scheduler
from taskloom.errors import SchedulerForked

SOON = 20.0


def wait(ctx: Any) -> None:
    ctx.wait()


def in_a_forked_child(call: Callable[[], object]) -> str:
    """Return what the call does in a child: the `repr` of its result, or its exception. The child must end soon."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12 a fork beside threads warns
        child = os.fork()
    if child == 0:
        try:
            try:
                answer = repr(call())
            except BaseException as error:  # noqa: BLE001 - the answer of the child
                answer = f"{type(error).__name__}: {error}"
            os.write(writer, answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123 - a descriptor
        text = file.read().decode()
    os.waitpid(child, 0)
    return text


REFUSAL = (
    r"SchedulerForked: cannot use the scheduler of process \d+ in process \d+, which was forked from it: "
    r"make a Scheduler after the fork"
)

COMMANDS: dict[str, Callable[[Scheduler, Any, Any], object]] = {
    "add": lambda scheduler, job, run: scheduler.add(Job(name="late", task=wait)),
    "add_all": lambda scheduler, job, run: scheduler.add_all([Job(name="late", task=wait)]),
    "reload": lambda scheduler, job, run: scheduler.reload([]),
    "request_snapshot": lambda scheduler, job, run: scheduler.request_snapshot(print),
    "preview": lambda scheduler, job, run: scheduler.preview([]),
    "job": lambda scheduler, job, run: scheduler.job("a"),
    "start": lambda scheduler, job, run: scheduler.start(),
    "wait": lambda scheduler, job, run: scheduler.wait(),
    "request_stop": lambda scheduler, job, run: scheduler.request_stop(),
    "wait_stopped": lambda scheduler, job, run: scheduler.wait_stopped(),
    "stop_reason": lambda scheduler, job, run: scheduler.stop_reason,
    "hurry": lambda scheduler, job, run: scheduler.hurry(1.0),
    "listen": lambda scheduler, job, run: scheduler.listen(print),
    "stacks": lambda scheduler, job, run: scheduler.stacks(),
    "status": lambda scheduler, job, run: scheduler.status(),
    "job.start": lambda scheduler, job, run: job.start(),
    "job.arm": lambda scheduler, job, run: job.arm(),
    "job.restart": lambda scheduler, job, run: job.restart(),
    "job.reset": lambda scheduler, job, run: job.reset(),
    "job.stop": lambda scheduler, job, run: job.stop(),
    "job.status": lambda scheduler, job, run: job.status(),
    "run.cancel": lambda scheduler, job, run: run.cancel(),
    "run.join": lambda scheduler, job, run: run.join(),
}
ANSWERS: dict[str, tuple[Callable[[Scheduler, Any, Any], object], str]] = {
    "stop": (lambda scheduler, job, run: scheduler.stop().survivors, "()"),
    "with": (lambda scheduler, job, run: scheduler.__exit__(), "None"),
    "bug": (lambda scheduler, job, run: scheduler.bug, "None"),
    "run.is_alive": (lambda scheduler, job, run: run.is_alive(), "True"),
    "run.outcome": (lambda scheduler, job, run: run.outcome, "None"),
    "run.id": (lambda scheduler, job, run: run.id, "'a#1'"),
    "job.run": (lambda scheduler, job, run: job.run, "<Run a#1 alive>"),
}


def test_each_command_says_whose_scheduler_it_is(scheduler: WatchedScheduler) -> None:
    """All in one child: a fork of a process that has loaded every test takes long."""
    job = scheduler.add_function("a", wait)
    run = job.start()

    def refusals() -> dict[str, str]:
        faulthandler.dump_traceback_later(SOON, exit=True, file=2)  # shows the command that waits
        found = {}
        for name, command in COMMANDS.items():
            try:
                found[name] = repr(command(scheduler, job, run))
            except Exception as error:  # noqa: BLE001 - the answer of the command
                found[name] = f"{type(error).__name__}: {error}"
        return found

    answers = ast.literal_eval(in_a_forked_child(refusals))

    assert {name: answer for name, answer in answers.items() if not re.fullmatch(REFUSAL, answer)} == {}
    assert list(answers) == list(COMMANDS)
    assert all(f"scheduler of process {os.getpid()} " in answer for answer in answers.values())


@pytest.mark.parametrize("name", ANSWERS)
def test_what_needs_no_thread_answers_from_the_last_state(scheduler: WatchedScheduler, name: str) -> None:
    job = scheduler.add_function("a", wait)
    run = job.start()
    call, expected = ANSWERS[name]

    assert in_a_forked_child(lambda: call(scheduler, job, run)) == expected
    assert run.is_alive(), "nothing of this reaches the parent"


def test_closing_or_flushing_a_listener_of_the_parent_returns_at_once(scheduler: WatchedScheduler) -> None:
    listener = scheduler.listen(lambda event: None)

    assert in_a_forked_child(lambda: (listener.flush(None), listener.close(None), listener.close(None))) == (
        "(True, True, True)"
    )


def test_a_scheduler_made_after_the_fork_works(scheduler: WatchedScheduler) -> None:
    scheduler.add_function("a", wait).start()

    def use_another() -> object:
        with Scheduler() as own:
            own.add(Job(name="b", task=wait)).start()
            return [job.outcome for job in own.stop().jobs]

    assert in_a_forked_child(use_another) == "[<Outcome.CANCELLED: 'cancelled'>]"


def test_a_run_that_forks_can_use_its_context_in_the_child(scheduler: WatchedScheduler) -> None:
    answers: dict[str, str] = {}
    has_asked = threading.Event()

    def fork(ctx: Any) -> None:
        calls: dict[str, Callable[[], object]] = {
            "cancelled": lambda: ctx.cancelled,
            "wait a little": lambda: ctx.wait(0.001),
            "wait": ctx.wait,
            "sleep": lambda: ctx.sleep(float("inf")),
            "on_cancel": lambda: ctx.on_cancel(print) and None,
            "ready": ctx.ready,
            "count": lambda: ctx.count("n"),
            "fileno": lambda: ctx.fileno() >= 0,
            "job": lambda: ctx.job,
        }
        # As if another thread held it at the moment of the fork.
        with ctx._token._lock:
            for name, call in calls.items():
                answers[name] = in_a_forked_child(call)
        has_asked.set()
        ctx.wait()
        answers["after the cancel"] = in_a_forked_child(lambda: (ctx.cancelled, ctx.wait(), ctx.wait(5)))

    run = scheduler.add_function("a", fork).start()
    assert has_asked.wait(SOON)
    run.cancel()
    assert run.join(SOON)

    assert answers["after the cancel"] == "(True, True, True)"
    assert re.fullmatch(REFUSAL, answers.pop("wait"))
    assert re.fullmatch(REFUSAL, answers.pop("sleep"))
    assert answers == {
        "cancelled": "False",
        "wait a little": "False",
        "on_cancel": "None",
        "ready": "None",
        "count": "None",
        "fileno": "True",
        "job": "'a'",
        "after the cancel": "(True, True, True)",
    }


def test_a_child_that_returns_into_a_kept_thread_ends_and_runs_nothing_of_the_parents(
    child_env: dict[str, str],
) -> None:
    """As if, at the moment of the fork, another thread held the cache's lock and other runs were queued."""
    program = """
    import os, threading, warnings
    from taskloom import Job, Scheduler
    from taskloom.runners.thread import ThreadRunner

    warnings.simplefilter("ignore", DeprecationWarning)
    runner = ThreadRunner()
    REUSE = {"thread": {"reuse": True}}

    def queued(ctx):
        print("queued work ran in", "the parent" if os.getpid() == parent else "the child", flush=True)

    def fork(ctx):
        cache = runner._cache
        held, let_go = threading.Event(), threading.Event()

        def hold():
            with cache._lock:
                cache._queue.append("work of the parent")
                held.set()
                let_go.wait()
                cache._queue.clear()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            return
        let_go.set()
        holder.join()
        print("child:", os.waitpid(pid, 0)[1], flush=True)

    parent = os.getpid()
    with Scheduler(runners={"thread": runner}) as scheduler:
        scheduler.add(Job(name="a", task=fork, daemon=True, runner=REUSE)).start().join()
        scheduler.add(Job(name="b", task=queued, daemon=True, runner=REUSE)).start().join()
    """

    answer = run_program(program, child_env)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "child: 0\nqueued work ran in the parent\n"


def test_a_child_of_a_child_still_names_the_process_that_made_the_scheduler(scheduler: WatchedScheduler) -> None:
    answer = in_a_forked_child(lambda: in_a_forked_child(scheduler.start))

    assert f"scheduler of process {os.getpid()} " in answer


def test_the_error_has_both_process_ids() -> None:
    error = SchedulerForked(1, 2)

    assert (error.parent, error.child) == (1, 2)


HOST = """
    import multiprocessing, os, sys, warnings
    from taskloom import Job, Scheduler

    warnings.simplefilter("ignore", DeprecationWarning)

    def wait(ctx):
        ctx.wait()

    def child():
        print("child", flush=True)
        if {own}:
            own = Scheduler(stop_at_exit=True)
            own.add(Job(name="own", task=lambda ctx: (ctx.wait(), print("own ended", flush=True)) and None)).start()

    scheduler = Scheduler(stop_at_exit=True)
    scheduler.add(Job(name="a", task=wait)).start()
"""
FORKS = {
    "exit": "pid = os.fork(); pid or (child(), sys.exit(3)); status = os.waitpid(pid, 0)[1] >> 8",
    "multiprocessing": (
        "p = multiprocessing.get_context('fork').Process(target=child); p.start(); p.join(); status = p.exitcode + 3"
    ),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("fork", FORKS)
def test_a_child_that_exits_leaves_the_parents_scheduler_alone_and_stops_its_own(
    child_env: dict[str, str], fork: str, own: bool
) -> None:
    program = (
        HOST.format(own=own)
        + f"""
    {FORKS[fork]}
    print(status, scheduler.job("a").run.is_alive(), flush=True)
    """
    )

    answer = run_program(program, child_env)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == ("child\nown ended\n" if own else "child\n") + "3 True\n"
