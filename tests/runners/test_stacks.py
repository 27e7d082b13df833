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

from taskloom.runners import loop_stacks, stacks
from taskloom.runners.stacks import capture_stacks
from taskloom.sync.cancel_token import CancelToken

SOON = 20.0
LONG = 60.0


class BlockedThread:
    """A thread that blocks at a known place until it is released."""

    def __init__(self, body: Callable[[BlockedThread], object]) -> None:
        self.has_begun = threading.Event()
        self.let_go = threading.Event()
        self.queue: queue.Queue[int] = queue.Queue()
        self.future: Future[int] = Future()
        self.token = CancelToken()
        self.thread = threading.Thread(target=body, args=(self,))
        self.thread.start()
        assert self.has_begun.wait(SOON)

    @property
    def ident(self) -> int:
        assert self.thread.ident is not None
        return self.thread.ident

    def place(self, function: str) -> str:
        """Wait until the thread is in this function, and return the reported place."""
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
    """Return the number of the first line of this file that contains the text."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def in_a_queue(self: BlockedThread) -> None:
    self.has_begun.set()
    self.queue.get(timeout=LONG)  # blocks here: queue


def in_a_future(self: BlockedThread) -> None:
    self.has_begun.set()
    self.future.result(LONG)  # blocks here: future


def in_a_token_wait(self: BlockedThread) -> None:
    self.has_begun.set()
    self.token.wait(LONG)  # blocks here: token


@pytest.fixture
def block_thread() -> Iterator[Callable[[Callable[[BlockedThread], object]], BlockedThread]]:
    made: list[BlockedThread] = []

    def make(body: Callable[[BlockedThread], object]) -> BlockedThread:
        made.append(BlockedThread(body))
        return made[-1]

    yield make

    for each in made:
        each.leave()


@pytest.mark.parametrize(
    ("body", "mark"),
    [(in_a_queue, "queue"), (in_a_future, "future"), (in_a_token_wait, "token")],
)
def test_the_place_is_the_tasks_own_line_even_inside_the_standard_library_or_taskloom(
    block_thread: Any, body: Callable[[BlockedThread], object], mark: str
) -> None:
    thread = block_thread(body)
    line = line_of(f"blocks here: {mark}")
    while (where := thread.place(body.__name__)) != f"{__file__}:{line} in {body.__name__}":
        pass  # it has not come there yet

    assert where == f"{__file__}:{line} in {body.__name__}"


def test_only_the_first_runs_have_whole_stacks(block_thread: Any) -> None:
    one, two = block_thread(in_a_queue), block_thread(in_a_queue)

    captured = capture_stacks([one.ident, two.ident], 1)

    assert "in in_a_queue" in captured[0].text
    assert captured[0].text.startswith("  File ")
    assert captured[1].text == ""
    assert captured[1].where.endswith(" in in_a_queue")


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
    """An interpreter that is started through a symbolic link has file names with that link."""
    library = tmp_path / "python-3.11.7" / "lib"
    (library / "site-packages").mkdir(parents=True)
    (tmp_path / "python-3.11").symlink_to("python-3.11.7")
    linked = tmp_path / "python-3.11" / "lib"
    monkeypatch.setattr(stacks, "_LIBRARY", stacks._spellings(linked))
    monkeypatch.setattr(stacks, "_INSTALLED", stacks._spellings(linked / "site-packages"))

    are_task_code = [
        stacks._is_task_code(str(folder / name))
        for folder in (library, linked)
        for name in ("queue.py", "site-packages/acme/task.py")
    ]

    assert are_task_code == [False, True, False, True]


def test_a_capture_keeps_no_local_variable_of_a_task_alive() -> None:
    class Local:
        """An object that must not be kept."""

    references: list[weakref.ref[Local]] = []
    has_begun, let_go = threading.Event(), threading.Event()

    def body() -> None:
        local = Local()
        references.append(weakref.ref(local))
        has_begun.set()
        let_go.wait(SOON)

    thread = threading.Thread(target=body)
    thread.start()
    assert has_begun.wait(SOON)
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
    """It could deadlock (cpython#106883), and a step to the caller's frame could crash (cpython#99110)."""
    seen: list[tuple[str, bool]] = []
    real_frames, real_lines, real_text = sys._current_frames, loop_stacks.thread_lines, stacks._text

    def current_frames() -> Any:
        seen.append(("frames", gc.isenabled()))
        return real_frames()

    def thread_lines(innermost: Any) -> Any:
        seen.append(("lines", gc.isenabled()))
        return real_lines(innermost)

    def text(lines: Any) -> str:
        seen.append(("text", gc.isenabled()))
        return real_text(lines)

    monkeypatch.setattr(sys, "_current_frames", current_frames)
    monkeypatch.setattr(stacks, "thread_lines", thread_lines)
    monkeypatch.setattr(stacks, "_text", text)
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))

    capture_stacks([threading.get_ident()], 1)

    assert seen == [("frames", False), ("lines", False), ("text", True)]  # to read the files of the code may take long
