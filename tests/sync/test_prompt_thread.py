"""Threads whose start ends by a known time, even if they get no memory for their first frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from taskloom.runners.run_thread import PromptRunThread
from taskloom.sync import prompt_thread
from taskloom.sync.prompt_thread import PromptThread


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_thread, "START_SECONDS", 0.05)


class Stillborn(PromptThread):
    """Ends before it can say that it has begun, as a thread without memory for its first frame does."""

    def _bootstrap(self) -> None:
        pass


class Late(PromptRunThread):
    """Begins when it is let go."""

    def __init__(self, target: Callable[[], object]) -> None:
        super().__init__(target=target)
        self.go = threading.Event()
        self.over = threading.Event()

    def _bootstrap(self) -> None:
        self.go.wait()
        super()._bootstrap()  # type: ignore[misc]  # of threading.Thread since Python 3.0
        self.over.set()


@pytest.fixture
def late() -> Iterator[tuple[Late, list[str]]]:
    executed: list[str] = []
    thread = Late(lambda: executed.append("target"))
    yield thread, executed
    thread.go.set()
    assert thread.over.wait(60)


def test_a_thread_executes_its_target() -> None:
    executed: list[str] = []
    thread = PromptThread(target=lambda: executed.append(threading.current_thread().name), name="prompt")

    thread.start()
    thread.join()

    assert executed == ["prompt"]


def test_a_thread_that_never_begins_is_an_error() -> None:
    thread = Stillborn()

    with pytest.raises(RuntimeError, match="can't start new thread: it has not begun within"):
        thread.start()

    threading._limbo.pop(thread)  # type: ignore[attr-defined]  # where threading keeps it for ever


def test_a_thread_that_begins_after_all_does_not_execute_its_target(late: tuple[Late, list[str]]) -> None:
    thread, executed = late
    with pytest.raises(RuntimeError):
        thread.start()

    thread.go.set()
    assert thread.over.wait(60)

    assert executed == []


def test_a_thread_that_begins_just_in_time_executes_its_target(
    late: tuple[Late, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, executed = late
    monkeypatch.setattr(prompt_thread, "START_SECONDS", 60.0)
    threading.Timer(0.01, thread.go.set).start()

    thread.start()
    thread.join()

    assert executed == ["target"]
