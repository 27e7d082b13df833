"""Checked values are bound to bodies: a fresh instance for each run, and no data shared between runs."""

from __future__ import annotations

import dataclasses
import queue
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from taskloom.catalog.params import ParamErrors, inspect_task
from taskloom.runners.error_info import describe
from taskloom.task import Context, Duration, Task, param


class Peer(BaseModel):
    host: str


class Beat(Task):
    times: int
    every: Duration = param(default="5s")
    words: list[str] = param(default=["boom"])
    peers: list[Peer] = []

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Classic(Task):
    """Has a hand-written constructor, as in every textbook."""

    def __init__(self, n: int) -> None:
        self.n, self._running = n, True

    def run(self, ctx: Context) -> None:
        """Do nothing."""

    def terminate(self) -> None:
        self._running = False


def test_each_run_gets_a_fresh_instance_and_lists_of_its_own() -> None:
    given = {"times": 1, "words": ["a"], "peers": [{"host": "h"}]}
    shape = inspect_task(Beat)

    binding = shape.binding(shape.validate(given))
    first, second = (binding.make().run.__self__ for _ in range(2))  # type: ignore[attr-defined]

    assert first is not second
    assert first.words == second.words == ["a"]
    assert first.words is not second.words
    assert first.peers[0] is not second.peers[0]
    assert binding.make().terminate is None


def test_the_body_of_a_function_gets_its_values_by_name() -> None:
    seen: list[object] = []

    def note(ctx: Context, word: str, items: list[int]) -> None:
        items.append(1)
        seen.append((ctx, word, items))

    binding = inspect_task(note).bind({"word": "w", "items": []})[1]
    binding.make().run("context")  # type: ignore[arg-type]
    binding.make().run("context")  # type: ignore[arg-type]

    assert seen == [("context", "w", [1]), ("context", "w", [1])]


def test_terminate_belongs_to_the_instance_of_the_run() -> None:
    binding = inspect_task(Classic).bind({"n": 1})[1]

    body, other = binding.make(), binding.make()
    assert body.terminate is not None
    body.terminate()

    assert binding.has_terminate
    assert body.run.__self__._running is False  # type: ignore[attr-defined]
    assert other.run.__self__._running is True  # type: ignore[attr-defined]


def test_the_values_of_an_instance_are_its_params() -> None:
    make: Any = Beat  # the type says that `every` is a float, and a job file's text is taken too

    values, binding = inspect_task(make(times=2, every="10ms", words=["x"])).bind({})

    assert values["every"] == 0.01
    assert binding.make().run.__self__.words == ["x"]  # type: ignore[attr-defined]


def test_the_values_of_an_instance_are_checked_like_any_other() -> None:
    make: Any = Beat

    with pytest.raises(ParamErrors) as caught:
        inspect_task(make(times="2")).validate({})

    assert str(caught.value) == "cannot use '2' as times; expected an integer"


def test_an_instance_with_a_constructor_of_its_own_is_copied_for_each_run() -> None:
    original = Classic(5)

    binding = inspect_task(original).bind({})[1]
    first, second = (binding.make().run.__self__ for _ in range(2))  # type: ignore[attr-defined]

    assert first is not second is not original
    assert (first.n, second.n) == (5, 5)


def test_params_beside_an_instance_are_refused() -> None:
    with pytest.raises(ParamErrors) as caught:
        inspect_task(Classic(5)).validate({"n": 6})

    assert str(caught.value) == "cannot take params beside an instance of Classic, which holds its own"


def test_runs_share_objects_that_are_not_data() -> None:
    def drain(ctx: Context, source: queue.Queue[int], done: Any = None) -> None:
        """Do nothing."""

    shared: queue.Queue[int] = queue.Queue()

    values, binding = inspect_task(drain).bind({"source": shared, "done": print})

    assert values["source"] is shared
    assert binding.make().run.keywords["source"] is shared  # type: ignore[attr-defined]


def test_an_initvar_is_a_parameter_too() -> None:
    class Opened(Task):
        path: dataclasses.InitVar[str]
        size: int = 0

        def __post_init__(self, path: str) -> None:
            self.opened = path

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    binding = inspect_task(Opened).bind({"path": "p"})[1]

    assert binding.make().run.__self__.opened == "p"  # type: ignore[attr-defined]


class Refusal:
    """What the validator of `refusing` raises."""

    error: BaseException = ValueError()

    @classmethod
    def raise_it(cls, size: int) -> int:
        if size == 0:  # the default
            return size
        raise cls.error


def refusing(ctx: Context, size: Annotated[int, AfterValidator(Refusal.raise_it)] = 0) -> None:
    """Do nothing."""


@pytest.mark.parametrize("error", [SystemExit(0), RuntimeError("token abc"), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_validator_raises_is_an_error_of_the_params(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    shape = inspect_task(refusing)
    monkeypatch.setattr(Refusal, "error", error)

    with pytest.raises(ParamErrors) as caught:
        shape.validate({"size": 3})

    assert str(caught.value) == f"cannot check the params of refusing: a validator raised {type(error).__name__}"


def test_a_validator_without_memory_is_not_an_error_of_the_params(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refusal, "error", MemoryError())

    with pytest.raises(MemoryError):
        inspect_task(refusing).validate({"size": 3})


class Failing(Task):
    n: int = 1

    def __post_init__(self) -> None:
        raise OSError("no disk")

    def run(self, ctx: Context) -> None:
        """Do nothing."""

    def terminate(self) -> None:
        """Do nothing."""


class FailingClassic(Task):
    def __init__(self, n: int = 1) -> None:
        raise OSError("no disk")

    async def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.mark.parametrize("task", [Failing, FailingClassic])
def test_the_traceback_of_a_constructor_has_no_frame_of_ours(task: type[Task]) -> None:
    binding = inspect_task(task).binding({"n": 1})

    with pytest.raises(OSError, match="no disk") as caught:
        binding.make()

    info = describe(caught.value)
    assert info.traceback.endswith("OSError: no disk\n")
    assert "params.py" not in info.traceback
    assert "in __" in info.traceback
