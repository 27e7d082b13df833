"""What every task has to do, as a pytest class: derive from it, say how your task is made, and run pytest.

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

# How often it is looked whether the task has got going: short, because each test waits for it.
LOOK_SECONDS = 0.002


class TaskConformance(ABC):
    """Checks one task; the name of each test says what it checks, and its failure says what to mend.

    The task really runs, in a thread of its own, with a FakeContext: peers and files that it needs are up to
    `make_task`. A task that ends by itself within the time passes too.
    """

    starts_within: float = 5.0
    """Seconds: how long the task may take until it first looks at its context, or ends."""
    stops_within: float = 1.0
    """Seconds from the cancel until `run` has to be back."""

    @abstractmethod
    def make_task(self) -> Task | Callable[..., object]:
        """Return the task, ready to run: an instance with its params, or a function (`functools.partial` binds)."""

    # -- what it says of itself

    def test_it_says_what_it_does(self) -> None:
        """`taskloom tasks NAME` and the editor show the docstring."""
        shape = self._shape()
        # functools.partial only binds here: the plugin offers the function behind it.
        bound = shape.target.func if isinstance(shape.target, functools.partial) else None
        doc = shape.doc or (bound.__doc__ if bound is not None else None) or ""
        _demand(doc.strip() != "", f"{shape.name} has no docstring; its first line is what people see listed")

    def test_every_param_says_what_it_means(self) -> None:
        """A class describes its params; those of a function are described by its docstring."""
        shape = self._shape()
        silent = [param.name for param in shape.params if not param.info.description] if _is_class(shape) else []
        _demand(not silent, f"{shape.name}: without a description: {', '.join(silent)}; write param(..., description=)")

    def test_its_params_have_a_schema_and_take_the_values_of_this_task(self) -> None:
        """What cannot be described cannot be written in a job file."""
        shape = self._shape()
        shape.json_schema()
        shape.bind({})

    # -- how it stops

    def test_it_looks_whether_it_was_cancelled(self) -> None:
        """Nobody can tell how a task that never looks is doing, or whether it would stop."""
        with self._running():
            pass

    def test_it_is_back_soon_after_the_cancel(self) -> None:
        with self._running() as trial:
            trial.cancel_and_join(self.stops_within)

    def test_it_is_back_soon_when_it_is_cancelled_before_its_first_look(self) -> None:
        trial = _Trial(self._body())
        trial.ctx.cancel("before its first look")
        trial.thread.start()
        trial.cancel_and_join(self.stops_within)

    def test_it_leaves_no_thread_behind(self) -> None:
        with self._running() as trial:
            trial.cancel_and_join(self.stops_within)
        left = trial.threads_left(self.stops_within)
        _demand(not left, f"threads are still alive after the run: {', '.join(left)}; join them before `run` returns")

    # -- how it ends

    def test_it_ends_without_an_error_of_its_own(self) -> None:
        """After a cancel `run` returns, or raises Cancelled; another exception may only be its wake-up's doing."""
        with self._running() as trial:
            trial.cancel_and_join(self.stops_within)
        is_excused = trial.body.terminate is not None or trial.ctx.token.callback_ran
        error = trial.error
        if error is not None and not isinstance(error, Cancelled) and not (is_excused and isinstance(error, Exception)):
            raise AssertionError(f"run raised {describe(error)}\n{describe(error).traceback}")
        _demand(not trial.ctx.callback_errors, f"a callback raised {trial.ctx.callback_errors}")

    def test_it_does_not_raise_cancelled_before_it_was_cancelled(self) -> None:
        with self._running() as trial:
            was_back = trial.back.is_set()
        _demand(not (was_back and isinstance(trial.error, Cancelled)), "run raised Cancelled, and nobody had asked")

    def test_it_returns_nothing(self) -> None:
        """A result has no reader: the value is ignored with a warning."""
        with self._running() as trial:
            trial.cancel_and_join(self.stops_within)
        _demand(trial.value is None, f"run returned {trial.value!r:.80}; write results to a file, a queue or a counter")

    def test_it_runs_again_on_a_fresh_instance(self) -> None:
        """A restart is a new run: nothing of the old one may be in its way."""
        for _ in range(2):
            with self._running() as trial:
                trial.cancel_and_join(self.stops_within)
            _demand(
                trial.error is None or isinstance(trial.error, Cancelled) or trial.body.terminate is not None,
                f"a second run raised {trial.error!r}",
            )

    # -- behind the tests

    def _shape(self) -> TaskShape:
        return inspect_task(self.make_task())

    def _body(self) -> Body:
        """Make a body the way a runner does."""
        return self._shape().bind({})[1].make()

    @contextmanager
    def _running(self) -> Iterator[_Trial]:
        """Give a run that has begun its work; it is back before the test goes on."""
        trial = _Trial(self._body())
        trial.thread.start()
        try:
            _demand(
                trial.got_going(self.starts_within),
                f"did not look at its context within {duration(self.starts_within)}, {trial.place()}; "
                "poll ctx.cancelled, or wait with ctx.wait",
            )
            yield trial
        finally:
            trial.ctx.cancel("the test is over")
            trial.back.wait(self.stops_within)
            trial.close()


class _Trial:
    """One run in a thread. A daemon: a task that does not stop must not hold the test suite."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.ctx = FakeContext(job="conformance")
        self.back = threading.Event()
        self.value: object = None
        self.error: BaseException | None = None
        self._others = set(threading.enumerate())
        self.thread = threading.Thread(target=self._run, name="conformance", daemon=True)
        if body.terminate is not None:
            self.ctx.on_cancel(body.terminate)

    def _run(self) -> None:
        try:
            self.value = self.body.run(self.ctx)
        except BaseException as error:  # noqa: BLE001 - whatever escapes from the task is what is judged
            self.error = error
        finally:
            self.back.set()

    def got_going(self, within: float) -> bool:
        """Wait until it has looked at its context, or is back."""
        limit = mono() + within
        while not (self.ctx.polls or self.back.is_set()):
            if mono() > limit:
                return False
            self.back.wait(LOOK_SECONDS)
        return True

    def cancel_and_join(self, within: float) -> None:
        """Ask it to stop, and fail, naming the place, if it is not back in time."""
        self.ctx.cancel("a test cancels")
        _demand(self.back.wait(within), f"was not back {duration(within)} after the cancel, {self.place()}")

    def threads_left(self, within: float) -> list[str]:
        """Name the threads that came with the run and are still alive after so many seconds."""
        mine = [thread for thread in threading.enumerate() if thread not in self._others]
        for thread in mine:
            thread.join(within)
        return sorted(thread.name for thread in mine if thread.is_alive())

    def place(self) -> str:
        """Say where it stands."""
        (stack,) = capture_stacks([self.thread.ident], texts=0)
        return f"it stands at {stack.where}" if stack.where else "it stands nowhere"

    def close(self) -> None:
        """Give back what the context holds; a thread that is still alive keeps it."""
        if self.back.is_set():
            self.ctx.close()


def _is_class(shape: TaskShape) -> bool:
    return isinstance(shape.target, type)


def _demand(is_so: bool, complaint: str) -> None:
    if not is_so:
        raise AssertionError(complaint)
