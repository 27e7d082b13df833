from __future__ import annotations

import threading

import pytest

from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch

SOON = 20.0


def test_an_exception_costs_one_step_and_the_same_thread_goes_on() -> None:
    threads: list[int] = []
    failed: list[BaseException] = []

    def step() -> bool:
        threads.append(threading.get_ident())
        if len(threads) == 2:
            raise MemoryError
        return len(threads) == 3

    kept = KeptThread("kept", step, failed.append)
    kept.start()
    kept.join(SOON)

    assert not kept.is_alive()
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert [type(error) for error in failed] == [MemoryError]


def test_another_thread_takes_its_place_if_the_failure_cannot_be_counted() -> None:
    names: list[str] = []

    def step() -> bool:
        names.append(threading.current_thread().name)
        if len(names) == 1:
            raise ValueError
        return True

    def failed(error: BaseException) -> None:
        raise MemoryError

    kept = KeptThread("kept", step, failed)
    kept.start()
    kept.join(SOON)

    assert names == ["kept", "kept"]
    assert not kept.is_alive()


def test_if_no_thread_can_be_started_the_next_call_of_ensure_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    is_done = Latch()
    steps: list[None] = []

    def step() -> bool:
        steps.append(None)
        if len(steps) == 1:
            raise ValueError
        is_done.open()
        return True

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def failed(error: BaseException) -> None:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        raise MemoryError

    kept = KeptThread("kept", step, failed)
    kept.start()
    kept.join(SOON)
    assert not is_done.is_open
    monkeypatch.undo()

    assert kept.wait_for(is_done, SOON)
    kept.join(SOON)
