"""The rules that every task has to keep, as a pytest class: derive from it, define `make_task`, and run pytest.

class TestHeartbeat(TaskConformance):
    def make_task(self):
        return Heartbeat(every=0.01)
"""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskloom.catalog.params import TaskShape, inspect_task
from taskloom.clock import mono
from taskloom.runners.binding import Body
from taskloom.runners.cancellations import is_cancellation
from taskloom.runners.error_info import describe
from taskloom.runners.stacks import capture_stacks
from taskloom.task import Task
from taskloom.testing.context import FakeContext
from taskloom.testing.requirement import require
from taskloom.text import duration

__all__ = ["TaskConformance"]

# How often to check whether the task has polled: short, because each test waits for it.
CHECK_SECONDS = 0.002
# A task with `terminate` need not poll. It gets this long to reach its loop, and may be cancelled at any point of it.
SETTLE_SECONDS = 0.05


class TaskConformance(ABC):
    """Tests one task. The name of each test states what it checks, and its failure message what to fix.

    The task really runs, in its own thread, with a FakeContext; `make_task` has to provide the peers and files that it
    needs. A task that ends by itself in time passes, too, and so does a task that never polls but has a `terminate`
    which ends it. Each mistake fails one test: a test that needs a task which starts and stops passes if another test
    names why it does not.
    """

    starts_within: float = 5.0
    """Seconds that the task may take until its first poll, or its end."""
    stops_within: float = 1.0
    """Seconds that `run` may take to end after the cancel."""

    @abstractmethod
    def make_task(self) -> Task | Callable[..., object]:
        """Return the task, ready to run: an instance with its params, or a function (`functools.partial` binds)."""

    # -- its description

    def test_it_says_what_it_does(self) -> None:
        """`taskloom tasks NAME` and editors show the docstring. Anything that is not a task fails here."""
        shape = inspect_task(self.make_task())
        # functools.partial only binds parameters for this test: the plugin registers the function itself.
        bound = shape.target.func if isinstance(shape.target, functools.partial) else None
        doc = shape.doc or (bound.__doc__ if bound is not None else None) or ""
        require(doc.strip() != "", f"{shape.name} has no docstring; its first line is shown in lists of tasks")

    def test_every_param_says_what_it_means(self) -> None:
        """The params of a class have descriptions; a function or a constructor describes its own in the docstring."""
        shape = self._shape()
        if shape is None or not _declares_params(shape.target):
            return
        missing = [param.name for param in shape.params if not param.info.description]
        require(
            not missing,
            f"{shape.name}: params without a description: {', '.join(missing)}; write param(..., description=)",
        )

    def test_its_params_have_a_schema_and_take_the_values_of_this_task(self) -> None:
        """Params without a schema cannot be written in a job file."""
        shape = self._shape()
        if shape is not None:
            shape.json_schema()
            shape.bind({})[1].make()

    # -- how it stops

    def test_it_looks_whether_it_was_cancelled(self) -> None:
        """For a task that never polls it is unknown whether it works, or whether it would stop."""
        with self._running() as run:
            require(
                run is None or run.has_begun,
                f"did not poll within {duration(self.starts_within)}, {run.describe_place() if run else ''}; "
                "poll ctx.cancelled, or wait with ctx.wait",
            )

    def test_it_is_back_soon_after_the_cancel(self) -> None:
        with self._running() as run:
            if run is not None and run.has_begun:
                run.cancel("cancelled by the test")
                run.must_end(self.stops_within)

    def test_it_is_back_soon_when_it_is_cancelled_before_its_first_look(self) -> None:
        body = self._body()
        if body is None:
            return
        run = _ConformanceRun(body)
        run.cancel("before its first poll")
        run.start(self.stops_within)
        # A task that does not stop when it is cancelled later either is named by the test above.
        if not run.ended.wait(self.stops_within) and self._completed() is not None:
            run.must_end(self.stops_within)

    def test_it_leaves_no_thread_behind(self) -> None:
        run = self._completed()
        left = run.leaked_threads(self.stops_within) if run is not None else []
        require(not left, f"threads are still alive after the run: {', '.join(left)}; join them before `run` returns")

    # -- how it ends

    def test_it_ends_without_an_error_of_its_own(self) -> None:
        """After a cancel `run` returns or raises Cancelled; only a wake-up beside those of the context may raise."""
        run = self._completed()
        if run is None:
            return
        if run.has_failed:
            info = describe(run.error or SystemError())
            raise AssertionError(f"run raised {info}\n{info.traceback}")
        require(
            run.callbacks_returned.wait(self.stops_within),
            f"`terminate` or a callback did not return within {duration(self.stops_within)}; it must not block",
        )
        require(not run.ctx.callback_errors, f"a callback raised {run.ctx.callback_errors}")

    def test_it_does_not_raise_cancelled_before_it_was_cancelled(self) -> None:
        with self._running() as run:
            is_early = run is not None and run.ended.is_set() and run.error is not None and is_cancellation(run.error)
        require(not is_early, "run raised Cancelled though it was not cancelled")

    def test_it_returns_nothing(self) -> None:
        """A real run ignores a return value, with a warning."""
        run = self._completed()
        value = run.value if run is not None else None
        require(value is None, f"run returned {value!r:.80}; write results to a file, a queue or a counter")

    def test_it_runs_again_on_a_fresh_instance(self) -> None:
        """A restart is a new run of a new instance: nothing that the old run left may prevent it."""
        first = self._completed()
        if first is None or first.has_failed:
            return
        with self._running() as second:
            require(second is not None, "a second instance cannot be made")
            if second is None:
                return
            require(second.has_begun, f"a second run did not poll, {second.describe_place()}")
            second.cancel("cancelled by the test")
            second.must_end(self.stops_within, "a second run ")
        require(not second.has_failed, f"a second run raised {second.error!r}")

    # -- helpers

    def _shape(self) -> TaskShape | None:
        """Return the shape of the task; None if it is not a task, which `test_it_says_what_it_does` names."""
        try:
            return inspect_task(self.make_task())
        except Exception:  # noqa: BLE001 - see above
            return None

    def _body(self) -> Body | None:
        """Return a body to run; None if it cannot be made, which the test of the params names."""
        shape = self._shape()
        try:
            return shape.bind({})[1].make() if shape is not None else None
        except Exception:  # noqa: BLE001 - see above
            return None

    @contextmanager
    def _running(self) -> Iterator[_ConformanceRun | None]:
        """Yield a run that has begun, or that never polls; None if there is nothing to run. Cancel it afterwards."""
        body = self._body()
        if body is None:
            yield None
            return
        run = _ConformanceRun(body)
        run.start(self.starts_within)
        try:
            yield run
        finally:
            run.cancel("the test is over")
            if run.ended.wait(self.stops_within):  # else the run still uses the context
                run.ctx.close()

    def _completed(self) -> _ConformanceRun | None:
        """Run the task and cancel it; return the run, or None if it does not begin or does not end in time."""
        with self._running() as run:
            if run is None or not run.has_begun:
                return None
            run.cancel("cancelled by the test")
            return run if run.ended.wait(self.stops_within) else None


class _ConformanceRun:
    """One run in a thread: a daemon thread, so that a task that does not stop does not hold up the test suite."""

    def __init__(self, body: Body) -> None:
        self.ctx = FakeContext(job="conformance")
        self.ended = threading.Event()
        self.callbacks_returned = threading.Event()
        """Set once all callbacks of the cancel have returned."""
        self.has_begun = False
        """Whether it has polled or ended, or has `terminate` and was entered."""
        self.value: object = None
        self.error: BaseException | None = None
        self._body = body
        self._was_cancelled = False
        self._entered = threading.Event()
        self._others = set(threading.enumerate())
        self._thread = threading.Thread(target=self._run, name="conformance", daemon=True)
        self.ctx.token.enter(body.terminate)

    @property
    def has_failed(self) -> bool:
        """Return whether an exception escaped that a wake-up does not excuse."""
        error = self.error
        if error is None or is_cancellation(error):
            return False
        return not (self._was_cancelled and self.ctx.token.wakeup_may_raise and isinstance(error, Exception))

    def start(self, within: float) -> None:
        """Start the run and wait until it has begun or ended, at most `within` seconds."""
        self._thread.start()
        if self._body.terminate is not None:
            self._entered.wait(within)
            within = SETTLE_SECONDS
        limit = mono() + within
        while not (self.ctx.polls or self.ended.is_set()) and mono() < limit:
            self.ended.wait(CHECK_SECONDS)
        self.has_begun = bool(self.ctx.polls) or self.ended.is_set() or self._body.terminate is not None

    def cancel(self, reason: str) -> None:
        """Cancel the run. The callbacks are called on another thread, as in a real run: one that blocks is named."""
        if self.ctx.token.is_requested:
            return
        self._was_cancelled = not self.ended.is_set()
        threading.Thread(target=self._cancel, args=(reason,), name="conformance-cancel", daemon=True).start()
        while not self.ctx.token.is_requested:
            self.callbacks_returned.wait(CHECK_SECONDS)

    def must_end(self, within: float, whose: str = "") -> None:
        """Raise AssertionError, with the line where the run is, if it does not end within `within` seconds."""
        is_over = self.ended.wait(within)
        require(is_over, f"{whose}did not end within {duration(within)} of the cancel, {self.describe_place()}")

    def leaked_threads(self, within: float) -> list[str]:
        """Return the names of threads that began during the run and are still alive after `within` seconds each."""
        self.callbacks_returned.wait(within)
        started = [thread for thread in threading.enumerate() if thread not in self._others]
        started = [thread for thread in started if thread.name != "conformance-cancel"]
        for thread in started:
            thread.join(within)
        return sorted(thread.name for thread in started if thread.is_alive())

    def describe_place(self) -> str:
        """Return where the run is, for a message."""
        (stack,) = capture_stacks([self._thread.ident], texts=0)
        return f"currently at {stack.where}" if stack.where else "currently in no Python code"

    def _run(self) -> None:
        self._entered.set()
        try:
            self.value = self._body.run(self.ctx)
        except BaseException as error:  # noqa: BLE001 - the tests check whatever escapes from the task
            self.error = error
        finally:
            self.ended.set()

    def _cancel(self, reason: str) -> None:
        try:
            self.ctx.cancel(reason)
        finally:
            self.callbacks_returned.set()


def _declares_params(target: object) -> bool:
    """Return whether the params are attributes of a class, which `param` describes."""
    return isinstance(target, type) and bool(getattr(getattr(target, "__dataclass_params__", None), "init", False))
