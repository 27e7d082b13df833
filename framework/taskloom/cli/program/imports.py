"""Imports in a program: what an import of a plugin did to the signals, and what is imported before the first job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from taskloom.cli.program.signal_guard import SignalGuard, culprit_of
from taskloom.cli.resources import OutOfResources, advice_for
from taskloom.core.model import JobSpec
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import CatalogEntry, Kind

__all__ = ["ImportWatch", "import_for_runs", "prepare_for_processes"]

# How long an import on another thread waits until the main thread has set the signals again.
TAKE_BACK_SECONDS = 1.0


class ImportWatch:
    """Called after each import of a plugin, on the thread that imports it: see `Catalog`.

    `put` queues a call for the main thread, which alone can set signals. `warn` takes one sentence.
    """

    def __init__(
        self, guard: SignalGuard, put: Callable[[Callable[[], object]], object], warn: Callable[[str], object]
    ) -> None:
        self._guard = guard
        self._put = put
        self._warn = warn

    def __call__(self, kind: Kind, entry: CatalogEntry, error: BaseException | None) -> None:
        """Set the signals again. Raises OutOfResources if the import failed for lack of resources."""
        culprit = culprit_of(kind, entry)
        if error is not None and advice_for(error, at_start=True):
            raise OutOfResources(f"import {culprit}", error)
        if threading.current_thread() is threading.main_thread():
            self.take_back(culprit)
            return
        done = Latch()
        self._put(partial(self._take_back_and_open, culprit, done))
        # So the next import is compared with our own settings again. Bounded: the main thread may be about to end.
        done.wait(TAKE_BACK_SECONDS)

    def take_back(self, culprit: str) -> None:
        """Set the signals again, and warn of what `culprit` changed. Called by the main thread."""
        for sentence in self._guard.take_back(culprit):
            self._warn(sentence)

    def take_back_unseen(self) -> None:
        """Do the same where no import can be named; the same change is warned of once."""
        for sentence in self._guard.take_back_unseen():
            self._warn(sentence)

    def _take_back_and_open(self, culprit: str, done: Latch) -> None:
        self.take_back(culprit)
        done.open()


def import_for_runs(specs: Collection[JobSpec]) -> None:
    """Import what is otherwise imported when it is first used: jobs may use up memory and descriptors before that."""
    import_module("taskloom.runners.logs")
    import_module("taskloom.runners.stacks")
    if any(spec.runner.options.get("reuse") for spec in specs):
        import_module("taskloom.runners.thread_cache")
    prepare_for_processes(specs)


def prepare_for_processes(specs: Iterable[JobSpec]) -> None:
    """Import what runs in processes need, and raise the limit of open files, if there are any. Idempotent."""
    if any(spec.runner.name == "process" for spec in specs):
        from taskloom.runners.process.file_limit import raise_limit

        import_module("taskloom.runners.process.hub")
        raise_limit()
