"""TaskConformance passes good tasks of every style, and for each of its tests there is a bad task that fails it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskloom import AsyncContext, Cancelled, Context, Duration, Task, param, waiting
from taskloom.testing import TaskConformance

# Ends the tasks that ignore their cancel, after the test.
released = threading.Event()


@pytest.fixture(autouse=True)
def end_stuck_tasks() -> Iterator[None]:
    released.clear()

    yield

    released.set()
    for thread in threading.enumerate():
        if thread.name in ("conformance", "conformance-cancel", "left behind"):
            thread.join(10)


class Waiting(Task):
    """Wait in a loop."""

    every: Duration = param(default=0.01, description="time between two polls")

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


class AsyncWaiting(Task):
    """Wait in a loop, in a coroutine."""

    every: Duration = param(default=0.01, description="time between two polls")

    async def run(self, ctx: AsyncContext) -> None:
        await ctx.to_thread(abs, 1)
        while not await ctx.wait(self.every):
            ctx.count("beats")


async def listen(ctx: AsyncContext, every: Duration = 0.01) -> None:
    """Await something else than the context until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())


class Patient(TaskConformance):
    """Time limits long enough for a busy machine; time does not matter here."""

    starts_within = stops_within = 20.0


class TestWaiting(Patient):
    def make_task(self) -> Task:
        return Waiting(every=0.005)


class TestClassic(Patient):
    def make_task(self) -> Task:
        return Classic()


class Collector(Task):
    """Count datagrams: the recipe of docs/writing-tasks.md, which never polls."""

    port: int = param(0, ge=0, le=65535, description="UDP port to listen on; 0 picks a free one")
    _running: bool = True

    def run(self, ctx: Context) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", self.port))
            sock.settimeout(0.02)
            while self._running:
                try:
                    sock.recv(65536)
                except TimeoutError:
                    continue
                ctx.count("received")

    def terminate(self) -> None:
        self._running = False


class Constructed(Task):
    """Collect until it is terminated: the recipe with a constructor."""

    def __init__(self, port: int = 0) -> None:
        self._running = True

    def run(self, ctx: Context) -> None:
        while self._running:
            released.wait(0.001)

    def terminate(self) -> None:
        self._running = False


class Reader(Task):
    """Read datagrams: the recipe that ends a call that blocks without a timeout."""

    _running: bool = True
    _sock: socket.socket | None = None

    def run(self, ctx: Context) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            self._sock = sock
            while self._running:
                sock.recv(65536)

    def terminate(self) -> None:
        self._running = False
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class TestCollector(Patient):
    def make_task(self) -> Task:
        return Collector()


class TestReader(Patient):
    def make_task(self) -> Task:
        return Reader()


class TestConstructed(Patient):
    def make_task(self) -> Any:
        return Constructed


class TestQuick(Patient):
    def make_task(self) -> Task:
        return Quick()


class TestFunctionThatWaitsForAQueue(Patient):
    def make_task(self) -> Callable[..., object]:
        return functools.partial(pump, source=queue.Queue())


class TestAsyncWaiting(Patient):
    def make_task(self) -> Task:
        return AsyncWaiting(every=0.005)


class TestAsyncFunction(Patient):
    def make_task(self) -> Callable[..., object]:
        return listen


# -- tasks that are bad in one way each


class Unpolled(Task):
    """Never poll, and have a terminate that has no effect."""

    def run(self, ctx: Context) -> None:
        released.wait()

    def terminate(self) -> None:
        """Do nothing."""


class Blocking(Task):
    """Have a terminate that blocks."""

    def run(self, ctx: Context) -> None:
        ctx.wait()

    def terminate(self) -> None:
        released.wait()


class Broken(Task):
    """Raise at once."""

    def run(self, ctx: Context) -> None:
        raise RuntimeError("broken from the start")


class Unmakeable(Task):
    """Raise in the constructor."""

    def __init__(self, size: int = 0) -> None:
        raise RuntimeError("cannot be made")

    def run(self, ctx: Context) -> None:
        ctx.wait()


class Silent(Task):
    def run(self, ctx: Context) -> None:
        ctx.wait()


class Undescribed(Task):
    """Take params without a description."""

    limit: int = param(default=0)
    every: float = 1.0

    def run(self, ctx: Context) -> None:
        ctx.wait()


class Unwritable(Task):
    """Take a param whose value the schema refuses."""

    limit: int = param(default=0, ge=0, description="a limit")

    def run(self, ctx: Context) -> None:
        ctx.wait()


class Deaf(Task):
    """Never poll."""

    def run(self, ctx: Context) -> None:
        released.wait()


class Stubborn(Task):
    """Poll, and ignore the cancel."""

    def run(self, ctx: Context) -> None:
        while not released.wait(0.001):
            self.seen = ctx.cancelled


class Swallowing(Task):
    """Catch even Cancelled in its retry loop."""

    def run(self, ctx: Context) -> None:
        while not released.is_set():
            try:
                ctx.sleep(0.001)
            except BaseException:  # noqa: BLE001 - the error that this task demonstrates
                released.wait(0.001)


class LateStarter(Task):
    """Ignore a cancel that came before its first poll."""

    def run(self, ctx: Context) -> None:
        if ctx.cancelled:
            released.wait()
        ctx.wait()


class Littering(Task):
    """Leave a thread running."""

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
    """Raise Cancelled without a cancel."""

    def run(self, ctx: Context) -> None:
        raise Cancelled


class Returning(Task):
    """Return a result."""

    def run(self, ctx: Context) -> None:
        return 42  # type: ignore[return-value]


class Remembering(Task):
    """Fail in its second run."""

    was_run = False

    def run(self, ctx: Context) -> None:
        if Remembering.was_run:
            raise RuntimeError("cannot run twice")
        Remembering.was_run = True
        ctx.wait()


BAD: list[tuple[Callable[[], Any], str, str]] = [
    (Silent, "test_it_says_what_it_does", "Silent has no docstring"),
    (Undescribed, "test_every_param_says_what_it_means", "params without a description: limit, every"),
    (lambda: Unwritable(limit=-1), "test_its_params_have_a_schema_and_take_the_values_of_this_task", "limit"),
    (
        Deaf,
        "test_it_looks_whether_it_was_cancelled",
        r"did not poll within 200ms, currently at .*test_c",
    ),
    (
        Stubborn,
        "test_it_is_back_soon_after_the_cancel",
        r"did not end within 200ms of the cancel, currently at .* in run",
    ),
    (Swallowing, "test_it_is_back_soon_after_the_cancel", r"did not end within 200ms of the cancel"),
    (
        LateStarter,
        "test_it_is_back_soon_when_it_is_cancelled_before_its_first_look",
        "did not end within 200ms of the cancel",
    ),
    (
        Unpolled,
        "test_it_is_back_soon_after_the_cancel",
        r"did not end within 200ms of the cancel, currently at .* in run",
    ),
    (Blocking, "test_it_ends_without_an_error_of_its_own", "`terminate` or a callback did not return within 200ms"),
    (Broken, "test_it_ends_without_an_error_of_its_own", "run raised RuntimeError: broken from the start"),
    (
        lambda: Unmakeable,
        "test_its_params_have_a_schema_and_take_the_values_of_this_task",
        "cannot be made",
    ),
    (Littering, "test_it_leaves_no_thread_behind", "still alive after the run: left behind"),
    (Failing, "test_it_ends_without_an_error_of_its_own", "RuntimeError: the cancel surprised it"),
    (BadCallback, "test_it_ends_without_an_error_of_its_own", "a callback raised .*ZeroDivisionError"),
    (
        Eager,
        "test_it_does_not_raise_cancelled_before_it_was_cancelled",
        "run raised Cancelled though it was not cancelled",
    ),
    (Returning, "test_it_returns_nothing", "run returned 42"),
    (Remembering, "test_it_runs_again_on_a_fresh_instance", "a second run raised RuntimeError"),
    (lambda: 42, "test_it_says_what_it_does", "42 is neither a Task class nor a function"),
]


@pytest.mark.parametrize(("make", "check", "message"), BAD, ids=[f"{check} {text:.20}" for _, check, text in BAD])
def test_a_bad_task_fails_its_test_with_this_message(make: Callable[[], Any], check: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        getattr(conformance_of(make, message), check)()


def conformance_of(make: Callable[[], Any], message: str) -> TaskConformance:
    # Short only if the time limit must expire: on a busy machine a short limit could fail any other test.
    must_expire = "200ms" in message

    class Conformance(TaskConformance):
        starts_within = 0.2 if make is Deaf else 20.0
        stops_within = 0.2 if must_expire else 1.0 if make is Littering else 20.0

        def make_task(self) -> Any:
            return make()

    return Conformance()


# Each of the other tests of a task that does not stop waits for a time limit: one such task is enough every day.
ONE_BY_ONE = [
    pytest.param(
        *row, id=f"{row[1]} {row[2]:.20}", marks=[pytest.mark.long] * ("200ms" in row[2] and row[0] is not Deaf)
    )
    for row in BAD
]


@pytest.mark.parametrize(("make", "check", "message"), ONE_BY_ONE)
def test_one_mistake_fails_one_test(make: Callable[[], Any], check: str, message: str) -> None:
    failed: list[str] = []

    for name in (name for name in vars(TaskConformance) if name.startswith("test_")):
        if name != check:
            Remembering.was_run = False
            try:
                getattr(conformance_of(make, message), name)()
            except Exception as error:  # noqa: BLE001 - whatever fails
                failed.append(f"{name}: {error}")

    assert failed == []


def test_there_is_a_bad_task_for_every_test() -> None:
    checks = {name for name in vars(TaskConformance) if name.startswith("test_")}

    assert checks == {check for _, check, _ in BAD}


def test_an_error_after_the_cancel_is_allowed_if_terminate_may_have_caused_it() -> None:
    class Woken(Failing):
        """Raise when woken by `terminate`."""

        def terminate(self) -> None:
            """Do what makes `run` fail."""

    class Conformance(TaskConformance):
        def make_task(self) -> Task:
            return Woken()

    Conformance().test_it_ends_without_an_error_of_its_own()


def test_a_class_without_make_task_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="make_task"):
        type("Empty", (TaskConformance,), {})()
