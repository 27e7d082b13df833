"""The kit passes good tasks of every style, and each of its checks is failed by a task that is bad in just that way."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskloom import Cancelled, Context, Duration, Task, param, waiting
from taskloom.testing import TaskConformance

# Lets the tasks that ignore their cancel go, once their test is over.
released = threading.Event()


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    released.clear()

    yield

    released.set()
    for thread in threading.enumerate():
        if thread.name in ("conformance", "left behind"):
            thread.join(10)


class Waiting(Task):
    """Wait again and again."""

    every: Duration = param(default=0.01, description="time between two looks")

    def run(self, ctx: Context) -> None:
        while not ctx.wait(self.every):
            ctx.count("beats")


class Classic(Task):
    """Stop by `terminate`, as the classic recipe does."""

    _running: bool = True

    def run(self, ctx: Context) -> None:
        if ctx.cancelled:
            return
        self._wake = threading.Event()
        while self._running:
            self._wake.wait(0.01)

    def terminate(self) -> None:
        self._running = False


class Quick(Task):
    """End at once."""

    def run(self, ctx: Context) -> None:
        ctx.log.info("done")


def pump(ctx: Context, source: queue.Queue[int], every: Duration = 0.01) -> None:
    """Take items from a queue until cancelled, which raises Cancelled."""
    while True:
        waiting.get(ctx, source)


class Patient(TaskConformance):
    """The time is no matter here, and the machine may be busy."""

    starts_within = stops_within = 20.0


class TestWaiting(Patient):
    def make_task(self) -> Task:
        return Waiting(every=0.005)


class TestClassic(Patient):
    def make_task(self) -> Task:
        return Classic()


class TestQuick(Patient):
    def make_task(self) -> Task:
        return Quick()


class TestFunctionThatWaitsForAQueue(Patient):
    def make_task(self) -> Callable[..., object]:
        return functools.partial(pump, source=queue.Queue())


# -- bad in one way each


class Silent(Task):
    def run(self, ctx: Context) -> None:
        ctx.wait()


class Undescribed(Task):
    """Take a parameter that nobody explains."""

    limit: int = param(default=0)
    every: float = 1.0

    def run(self, ctx: Context) -> None:
        ctx.wait()


class Unwritable(Task):
    """Take what no job file can hold."""

    limit: int = param(default=0, ge=0, description="a limit")

    def run(self, ctx: Context) -> None:
        ctx.wait()


class Deaf(Task):
    """Never look."""

    def run(self, ctx: Context) -> None:
        released.wait()


class Stubborn(Task):
    """Look, and go on."""

    def run(self, ctx: Context) -> None:
        while not released.wait(0.001):
            self.seen = ctx.cancelled


class Swallowing(Task):
    """Catch even Cancelled in its retry loop."""

    def run(self, ctx: Context) -> None:
        while not released.is_set():
            try:
                ctx.sleep(0.001)
            except BaseException:  # noqa: BLE001 - the mistake that is shown
                released.wait(0.001)


class LateStarter(Task):
    """Take a cancel that came before its first look for none."""

    def run(self, ctx: Context) -> None:
        if ctx.cancelled:
            released.wait()
        ctx.wait()


class Littering(Task):
    """Leave a thread behind."""

    def run(self, ctx: Context) -> None:
        threading.Thread(target=released.wait, name="left behind", daemon=True).start()
        ctx.wait()


class Failing(Task):
    """Raise when cancelled."""

    def run(self, ctx: Context) -> None:
        ctx.wait()
        raise RuntimeError("the cancel surprised it")


class BadCallback(Task):
    """Register a callback that raises."""

    def run(self, ctx: Context) -> None:
        ctx.on_cancel(lambda: 1 / 0)
        ctx.wait()


class Eager(Task):
    """Raise Cancelled on its own."""

    def run(self, ctx: Context) -> None:
        raise Cancelled


class Returning(Task):
    """Return a result."""

    def run(self, ctx: Context) -> None:
        return 42  # type: ignore[return-value]


class Remembering(Task):
    """Keep something for its next run."""

    was_run = False

    def run(self, ctx: Context) -> None:
        if Remembering.was_run:
            raise RuntimeError("cannot run twice")
        Remembering.was_run = True
        ctx.wait()


BAD: list[tuple[Callable[[], Any], str, str]] = [
    (Silent, "test_it_has_a_docstring", "Silent has no docstring"),
    (Undescribed, "test_every_param_has_a_description", "params without a description: limit, every"),
    (lambda: Unwritable(limit=-1), "test_its_params_have_a_schema_that_accepts_this_task", "limit"),
    (
        Deaf,
        "test_it_polls_for_cancellation",
        r"did not poll within 0.2 s, currently at .*test_c",
    ),
    (Stubborn, "test_it_ends_soon_after_the_cancel", r"did not end within 0.2 s of the cancel, currently at .* in run"),
    (Swallowing, "test_it_ends_soon_after_the_cancel", r"did not end within 0.2 s of the cancel"),
    (LateStarter, "test_it_ends_soon_if_cancelled_before_its_first_poll", "did not end within 0.2 s of the cancel"),
    (Littering, "test_it_leaves_no_thread_running", "still alive after the run: left behind"),
    (Failing, "test_it_ends_without_an_error", "RuntimeError: the cancel surprised it"),
    (BadCallback, "test_it_ends_without_an_error", "a callback raised .*ZeroDivisionError"),
    (Eager, "test_it_raises_cancelled_only_after_the_cancel", "run raised Cancelled though it was not cancelled"),
    (Returning, "test_it_returns_nothing", "run returned 42"),
    (Remembering, "test_it_runs_again_on_a_new_instance", "a second run raised RuntimeError"),
    (lambda: 42, "test_it_has_a_docstring", "42 is neither a Task class nor a function"),
]


@pytest.mark.parametrize(("make", "check", "complaint"), BAD, ids=[f"{check} {text:.20}" for _, check, text in BAD])
def test_a_bad_task_fails_its_check_in_words(make: Callable[[], Any], check: str, complaint: str) -> None:
    # Short only where the time has to run out: a busy machine is slow, and nothing else may fail on it.
    has_to_run_out = "0.2 s" in complaint

    class Conformance(TaskConformance):
        starts_within = 0.2 if make is Deaf else 20.0
        stops_within = 0.2 if has_to_run_out else 1.0 if make is Littering else 20.0

        def make_task(self) -> Any:
            return make()

    with pytest.raises(Exception, match=complaint):
        getattr(Conformance(), check)()


def test_every_check_is_failed_by_some_bad_task() -> None:
    checks = {name for name in vars(TaskConformance) if name.startswith("test_")}

    assert checks == {check for _, check, _ in BAD}


def test_an_error_after_the_cancel_is_excused_where_terminate_may_have_caused_it() -> None:
    class Woken(Failing):
        """Raise when woken by `terminate`."""

        def terminate(self) -> None:
            """Do what makes `run` fail."""

    class Conformance(TaskConformance):
        def make_task(self) -> Task:
            return Woken()

    Conformance().test_it_ends_without_an_error()


def test_without_make_task_there_is_nothing_to_check() -> None:
    with pytest.raises(TypeError, match="make_task"):
        type("Empty", (TaskConformance,), {})()
