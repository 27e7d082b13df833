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
from taskloom.errors import Cancelled
from taskloom.runners.binding import Body
from taskloom.runners.error_info import describe
from taskloom.runners.stacks import capture_stacks
from taskloom.task import Task
from taskloom.testing.context import FakeContext
from taskloom.text import duration

__all__ = ["TaskConformance"]

# How often to check whether the task has polled: short, because each test waits for it.
CHECK_SECONDS = 0.002


class TaskConformance(ABC):
    """Tests one task. The name of each test states what it checks, and its failure message what to fix.

    The task really runs, in its own thread, with a FakeContext; `make_task` has to provide the peers and files that it
    needs. A task that ends by itself in time passes, too.
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
        """`taskloom tasks NAME` and editors show the docstring."""
        shape = self._shape()
        # functools.partial only binds parameters for this test: the plugin registers the function itself.
        bound = shape.target.func if isinstance(shape.target, functools.partial) else None
        doc = shape.doc or (bound.__doc__ if bound is not None else None) or ""
        _require(doc.strip() != "", f"{shape.name} has no docstring; its first line is shown in lists of tasks")

    def test_every_param_says_what_it_means(self) -> None:
        """The params of a class have descriptions; those of a function are described in its docstring."""
        shape = self._shape()
        params = shape.params if isinstance(shape.target, type) else ()
        missing = [param.name for param in params if not param.info.description]
        _require(
            not missing,
            f"{shape.name}: params without a description: {', '.join(missing)}; write param(..., description=)",
        )

    def test_its_params_have_a_schema_and_take_the_values_of_this_task(self) -> None:
        """Params without a schema cannot be written in a job file."""
        shape = self._shape()
        shape.json_schema()
        shape.bind({})

    # -- how it stops

    def test_it_looks_whether_it_was_cancelled(self) -> None:
        """For a task that never polls it is unknown whether it works, or whether it would stop."""
        with self._running():
            pass

    def test_it_is_back_soon_after_the_cancel(self) -> None:
        with self._running() as run:
            run.cancel_and_join(self.stops_within)

    def test_it_is_back_soon_when_it_is_cancelled_before_its_first_look(self) -> None:
        run = _ConformanceRun(self._body())
        run.ctx.cancel("before its first poll")
        run.thread.start()
        run.cancel_and_join(self.stops_within)

    def test_it_leaves_no_thread_behind(self) -> None:
        with self._running() as run:
            run.cancel_and_join(self.stops_within)
        left = run.leaked_threads(self.stops_within)
        _require(not left, f"threads are still alive after the run: {', '.join(left)}; join them before `run` returns")

    # -- how it ends

    def test_it_ends_without_an_error_of_its_own(self) -> None:
        """After a cancel `run` returns or raises Cancelled; only `terminate` or a callback may cause another error."""
        with self._running() as run:
            run.cancel_and_join(self.stops_within)
        is_excused = run.body.terminate is not None or run.ctx.token.callback_ran
        error = run.error
        if error is not None and not isinstance(error, Cancelled) and not (is_excused and isinstance(error, Exception)):
            raise AssertionError(f"run raised {describe(error)}\n{describe(error).traceback}")
        _require(not run.ctx.callback_errors, f"a callback raised {run.ctx.callback_errors}")

    def test_it_does_not_raise_cancelled_before_it_was_cancelled(self) -> None:
        with self._running() as run:
            had_ended = run.ended.is_set()
        _require(
            not (had_ended and isinstance(run.error, Cancelled)), "run raised Cancelled though it was not cancelled"
        )

    def test_it_returns_nothing(self) -> None:
        """A real run ignores a return value, with a warning."""
        with self._running() as run:
            run.cancel_and_join(self.stops_within)
        _require(run.value is None, f"run returned {run.value!r:.80}; write results to a file, a queue or a counter")

    def test_it_runs_again_on_a_fresh_instance(self) -> None:
        """A restart is a new run of a new instance: nothing that the old run left may prevent it."""
        for _ in range(2):
            with self._running() as run:
                run.cancel_and_join(self.stops_within)
            _require(
                run.error is None or isinstance(run.error, Cancelled) or run.body.terminate is not None,
                f"a second run raised {run.error!r}",
            )

    # -- helpers

    def _shape(self) -> TaskShape:
        return inspect_task(self.make_task())

    def _body(self) -> Body:
        return self._shape().bind({})[1].make()

    @contextmanager
    def _running(self) -> Iterator[_ConformanceRun]:
        """Yield a run that has polled once; cancel it and wait for its end afterwards."""
        run = _ConformanceRun(self._body())
        run.thread.start()
        try:
            _require(
                run.wait_for_poll(self.starts_within),
                f"did not poll within {duration(self.starts_within)}, {run.describe_place()}; "
                "poll ctx.cancelled, or wait with ctx.wait",
            )
            yield run
        finally:
            run.ctx.cancel("the test is over")
            if run.ended.wait(self.stops_within):  # else the run still uses the context
                run.ctx.close()


class _ConformanceRun:
    """One run in a thread: a daemon thread, so that a task that does not stop does not hold up the test suite."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.ctx = FakeContext(job="conformance")
        self.ended = threading.Event()
        self.value: object = None
        self.error: BaseException | None = None
        self._others = set(threading.enumerate())
        self.thread = threading.Thread(target=self._run, name="conformance", daemon=True)
        if body.terminate is not None:
            self.ctx.on_cancel(body.terminate)

    def _run(self) -> None:
        try:
            self.value = self.body.run(self.ctx)
        except BaseException as error:  # noqa: BLE001 - the tests check whatever escapes from the task
            self.error = error
        finally:
            self.ended.set()

    def wait_for_poll(self, within: float) -> bool:
        """Wait until the run has polled or ended; return whether it has within `within` seconds."""
        limit = mono() + within
        while not (self.ctx.polls or self.ended.is_set()):
            if mono() > limit:
                return False
            self.ended.wait(CHECK_SECONDS)
        return True

    def cancel_and_join(self, within: float) -> None:
        """Cancel the run. Raises AssertionError, with the line where the run is, if it does not end in time."""
        self.ctx.cancel("cancelled by the test")
        _require(
            self.ended.wait(within), f"did not end within {duration(within)} of the cancel, {self.describe_place()}"
        )

    def leaked_threads(self, within: float) -> list[str]:
        """Return the names of threads that began during the run and are still alive after `within` seconds each."""
        started = [thread for thread in threading.enumerate() if thread not in self._others]
        for thread in started:
            thread.join(within)
        return sorted(thread.name for thread in started if thread.is_alive())

    def describe_place(self) -> str:
        """Return where the run is, for a message."""
        (stack,) = capture_stacks([self.thread.ident], texts=0)
        return f"currently at {stack.where}" if stack.where else "currently in no Python code"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
