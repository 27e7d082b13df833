from __future__ import annotations

import gc
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from taskloom.runners import stacks
from taskloom.runners.stacks import capture_stacks
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0
LONG = 60.0


class Standing:
    """A thread that stands somewhere until it is let go."""

    def __init__(self, stand: Callable[[Standing], object]) -> None:
        self.is_there = threading.Event()
        self.let_go = threading.Event()
        self.queue: queue.Queue[int] = queue.Queue()
        self.future: Future[int] = Future()
        self.token = CancelToken()
        self.thread = threading.Thread(target=stand, args=(self,))
        self.thread.start()
        assert self.is_there.wait(SOON)

    @property
    def ident(self) -> int:
        assert self.thread.ident is not None
        return self.thread.ident

    def place(self, function: str) -> str:
        """Wait until the innermost frame of our own is this function's, and return where it is said to stand."""
        while not (where := capture_stacks([self.ident], 0)[0].where).endswith(f" in {function}"):
            assert self.thread.is_alive(), where
        return where

    def leave(self) -> None:
        self.let_go.set()
        self.queue.put(1)
        self.future.set_result(1)
        self.token.wake()
        self.thread.join(SOON)


def line_of(text: str) -> int:
    """Return the line of this file that holds the text first."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def in_a_queue(self: Standing) -> None:
    self.is_there.set()
    self.queue.get(timeout=LONG)  # stands here: queue


def in_a_future(self: Standing) -> None:
    self.is_there.set()
    self.future.result(LONG)  # stands here: future


def in_a_token_wait(self: Standing) -> None:
    self.is_there.set()
    self.token.wait(LONG)  # stands here: token


@pytest.fixture
def standing() -> Iterator[Callable[[Callable[[Standing], object]], Standing]]:
    made: list[Standing] = []

    def make(stand: Callable[[Standing], object]) -> Standing:
        made.append(Standing(stand))
        return made[-1]

    yield make

    for each in made:
        each.leave()


@pytest.mark.parametrize(
    ("stand", "mark"),
    [(in_a_queue, "queue"), (in_a_future, "future"), (in_a_token_wait, "token")],
)
def test_the_place_is_the_tasks_own_line_even_inside_the_standard_library_or_taskloom(
    standing: Any, stand: Callable[[Standing], object], mark: str
) -> None:
    thread = standing(stand)
    line = line_of(f"stands here: {mark}")
    while (where := thread.place(stand.__name__)) != f"{__file__}:{line} in {stand.__name__}":
        pass  # it is still on its way from the line before

    assert where == f"{__file__}:{line} in {stand.__name__}"


def test_only_the_first_runs_have_whole_stacks(standing: Any) -> None:
    one, two = standing(in_a_queue), standing(in_a_queue)

    looked = capture_stacks([one.ident, two.ident], 1)

    assert "in in_a_queue" in looked[0].text
    assert looked[0].text.startswith("  File ")
    assert looked[1].text == ""
    assert looked[1].where.endswith(" in in_a_queue")


@pytest.mark.parametrize("ident", [None, 0, 1])
def test_a_missing_thread_has_no_place(ident: int | None) -> None:
    assert capture_stacks([ident], 1) == [("", "")]


def test_a_thread_without_task_code_is_shown_at_its_innermost_frame() -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    try:
        while not (where := capture_stacks([thread.ident], 0)[0].where).endswith(" in wait"):
            pass
    finally:
        event.set()
        thread.join(SOON)

    assert "threading.py:" in where


def test_the_standard_library_is_recognized_with_and_without_symbolic_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter that is reached through a symbolic link names its files so."""
    library = tmp_path / "python-3.11.7" / "lib"
    (library / "site-packages").mkdir(parents=True)
    (tmp_path / "python-3.11").symlink_to("python-3.11.7")
    linked = tmp_path / "python-3.11" / "lib"
    monkeypatch.setattr(stacks, "_LIBRARY", stacks._spellings(linked))
    monkeypatch.setattr(stacks, "_INSTALLED", stacks._spellings(linked / "site-packages"))

    theirs = [
        stacks._is_task_code(str(folder / name))
        for folder in (library, linked)
        for name in ("queue.py", "site-packages/acme/task.py")
    ]

    assert theirs == [False, True, False, True]


def test_a_capture_keeps_no_local_variable_of_a_task_alive() -> None:
    class Local:
        """Something big."""

    references: list[weakref.ref[Local]] = []
    is_there, let_go = threading.Event(), threading.Event()

    def stand() -> None:
        local = Local()
        references.append(weakref.ref(local))
        is_there.set()
        let_go.wait(SOON)

    thread = threading.Thread(target=stand)
    thread.start()
    assert is_there.wait(SOON)
    gc.disable()
    try:
        capture_stacks([thread.ident], 1)
        let_go.set()
        thread.join(SOON)
        alive = references[0]()
    finally:
        gc.enable()

    assert alive is None


@pytest.mark.parametrize("was_enabled", [True, False])
def test_a_capture_leaves_the_garbage_collector_as_it_was(was_enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if was_enabled else gc.disable)()
    try:
        capture_stacks([threading.get_ident()], 1)
        after = gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()

    assert after is was_enabled


def test_on_3_11_no_collection_can_begin_during_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it can deadlock (cpython#106883)."""
    seen: list[bool] = []
    real = sys._current_frames

    def current_frames() -> Any:
        seen.append(gc.isenabled())
        return real()

    monkeypatch.setattr(sys, "_current_frames", current_frames)
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))

    capture_stacks([threading.get_ident()], 0)

    assert seen == [False]
