"""Faults A1, A2, A11, A13: an exception or a value from a task ends its own run and affects no other."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.model import Outcome

SOON = 20.0
LONGEST = 64 * 1024

pytestmark = pytest.mark.usefixtures("neighbour")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


def huge(ctx: Any) -> None:
    raise ValueError("x" * 10_000_000)


def mute(ctx: Any) -> None:
    raise Mute


def group(ctx: Any) -> None:
    raise ExceptionGroup("both", [ValueError("left"), Mute()])


def cause_cycle(ctx: Any) -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    raise one


def exit_clean(ctx: Any) -> None:
    sys.exit()


def exit_zero(ctx: Any) -> None:
    raise SystemExit(0)


def exit_three(ctx: Any) -> None:
    raise SystemExit(3)


def exit_text(ctx: Any) -> None:
    raise SystemExit("bye")


def interrupt(ctx: Any) -> None:
    raise KeyboardInterrupt


def generator_exit(ctx: Any) -> None:
    raise GeneratorExit


def exit_from_finally(ctx: Any) -> None:
    try:
        raise ValueError("first")
    finally:
        raise SystemExit(3)


def recurse(ctx: Any) -> None:
    recurse(ctx)


def no_memory(ctx: Any) -> None:
    raise MemoryError


def allocate_too_much(ctx: Any) -> None:
    bytearray(1 << 60)


def give_coroutine(ctx: Any) -> object:
    async def work() -> None:
        """Do nothing."""

    return work()


def give_generator(ctx: Any) -> object:
    yield 1


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (huge, "ValueError", "xxx"),
        (mute, "Mute", "(its message cannot be read: ValueError)"),
        (group, "ExceptionGroup", "both (2 sub-exceptions)"),
        (cause_cycle, "ValueError", "one"),
        (exit_clean, "SystemExit", ""),
        (exit_zero, "SystemExit", "0"),
        (exit_three, "SystemExit", "3"),
        (exit_text, "SystemExit", "bye"),
        (interrupt, "KeyboardInterrupt", ""),
        (generator_exit, "GeneratorExit", ""),
        (exit_from_finally, "SystemExit", "3"),
        (recurse, "RecursionError", "maximum recursion depth exceeded"),
        (no_memory, "MemoryError", ""),
        (allocate_too_much, "MemoryError", ""),
        (give_coroutine, "TypeError", "run returned a coroutine, whose code was never executed; write a plain"),
        (give_generator, "TypeError", "run returned a generator, whose code was never executed; write a plain"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_an_escaping_exception_is_recorded_as_the_failure_of_its_run(
    scheduler: WatchedScheduler, run: Callable[[Any], object], kind: str, message: str
) -> None:
    job = scheduler.add_function("faulty", run)
    faulty = job.start()

    assert faulty.join(SOON)
    assert faulty.outcome is Outcome.FAILED
    assert faulty.error is not None
    assert faulty.error.type == kind
    assert faulty.error.message.startswith(message)
    assert len(faulty.error.message) <= LONGEST
    assert 0 < len(faulty.error.traceback) <= LONGEST
    assert job.start().join(SOON), "the job cannot be started again"


def test_a_local_variable_of_a_failed_task_is_freed_with_its_run(scheduler: WatchedScheduler) -> None:
    class Local:
        """An object that only the failed frame refers to."""

    references: list[weakref.ref[Local]] = []

    def fail(ctx: Any) -> None:
        local = Local()
        references.append(weakref.ref(local))
        raise ValueError(local)

    gc.disable()
    try:
        run = scheduler.add_function("faulty", fail).start()
        assert run.join(SOON)
        alive = references[0]()
    finally:
        gc.enable()

    assert alive is None
    assert run.error is not None


def test_an_exit_from_a_finalizer_affects_no_run(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself reports an exception from `__del__`; the run has succeeded."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: unraisable.append(report.exc_type))

    class ExitsWhenFreed:
        def __del__(self) -> None:
            raise SystemExit(3)

    def run(ctx: Any) -> None:
        ExitsWhenFreed()

    ended = scheduler.add_function("faulty", run).start()

    assert ended.join(SOON)
    assert (ended.outcome, unraisable) == (Outcome.SUCCEEDED, [SystemExit])


def test_a_huge_value_is_dropped_with_a_warning(scheduler: WatchedScheduler, caplog: pytest.LogCaptureFixture) -> None:
    ended = scheduler.add_function("faulty", lambda ctx: bytes(1 << 30)).start()

    assert ended.join(SOON)
    assert ended.outcome is Outcome.SUCCEEDED
    assert [record.getMessage() for record in caplog.records] == [
        "run returned a value of type bytes; it is ignored: a task returns None"
    ]


def test_a_task_that_lowers_the_recursion_limit_fails_alone(scheduler: WatchedScheduler) -> None:
    before = sys.getrecursionlimit()

    def lower(ctx: Any) -> None:
        sys.setrecursionlimit(60)
        recurse(ctx)

    run = scheduler.add_function("faulty", lower).start()
    try:
        assert run.join(SOON)
    finally:
        sys.setrecursionlimit(before)

    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert run.error.type == "RecursionError"


OUT_OF_MEMORY = """
    import resource, threading
    from tests.support.watched_scheduler import WatchedScheduler

    def allocate(ctx):
        kept = []
        while True:
            kept.append(bytearray(1 << 20))

    def wait(ctx):
        ctx.wait()

    with WatchedScheduler(log=False) as scheduler:
        good = scheduler.add_function("good", wait).start()
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
        bad = scheduler.add_function("bad", allocate).start()
        bad.join()
        print(bad.outcome.value, bad.error.type, good.is_alive())
    print(good.outcome.value, scheduler.finish().is_clean)
"""


def test_a_task_that_takes_all_memory_fails_alone(child_env: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OUT_OF_MEMORY)],
        env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "failed MemoryError True\ncancelled True\n"


SUDDEN_END = """
    import os, sys, threading
    from tests.support.watched_scheduler import WatchedScheduler

    def leave(ctx):
        {leave}

    scheduler = WatchedScheduler()
    file = os.open({path!r}, os.O_WRONLY | os.O_CREAT)
    scheduler.listen(lambda event: os.write(file, event.event.value.encode() + b"\\n"))
    scheduler.add_function("bad", leave).start().join()
"""


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        ("os._exit(3)", 3),
        ("os.abort()", -6),
        ("import faulthandler; faulthandler._sigsegv()", -11),
    ],
)
def test_a_task_that_ends_the_process_leaves_a_history_without_an_end_of_its_run(
    child_env: dict[str, str], tmp_path: Any, leave: str, code: int
) -> None:
    """Fault A8: the run's end cannot be recorded, and no event claims it."""
    path = tmp_path / "events"
    program = textwrap.dedent(SUDDEN_END).format(leave=leave, path=str(path))

    answer = subprocess.run(
        [sys.executable, "-c", program], env=child_env, capture_output=True, text=True, timeout=60, check=False
    )

    assert answer.returncode == code
    events = path.read_text().split()
    assert events == ["job_added", "queued", "started", "ready"][: len(events)]
