"""The hooks that the program puts into the process that it shares with libraries. `run` and `drill` use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskloom.cli.program.child_owners import ChildOwners
from taskloom.cli.program.children import LeftChildren
from taskloom.cli.program.forks import ForkedChildren
from taskloom.cli.program.thread_owners import JOB_UNKNOWN, ThreadOwners
from taskloom.core.model import ErrorInfo
from taskloom.observe.console import Console
from taskloom.observe.streams import TextStream
from taskloom.runners.context import RunContext

__all__ = ["SharedProcess"]


class SharedProcess:
    """The hooks of one program. Create it before the program sets its signal handlers."""

    def __init__(self) -> None:
        self.forks = ForkedChildren()
        self._threads = ThreadOwners(self._log_exception)
        self._children = ChildOwners(self.forks.wait_if_refused)
        self._console: Console | None = None

    def watch_forks(self, *forget: Callable[[], object]) -> None:
        """Reset children that are forked from now on, and call `forget` there. Call it before plugins are imported."""
        self.forks.in_child(*forget, self._close_owners)
        self.forks.in_parent(self._children.record_fork)
        self.forks.install()

    def use(self, detach: Callable[[], object], console: Console, streams: Iterable[TextStream]) -> None:
        """Call `detach` in forked children, which have no output thread; attribute threads and children to jobs."""
        streams = tuple(streams)
        self.forks.in_child(detach, *(stream.forget for stream in streams))
        self.forks.replace_streams(streams)
        self._console = console
        self.take_back()

    def take_back(self) -> None:
        """Wrap again what plugins have replaced when they were imported."""
        self._threads.install()
        self._children.install()

    def left_children(self, own: Iterable[int] = ()) -> LeftChildren:
        """Return the view of the child processes that are left. `own`: processes of the program itself."""
        return LeftChildren(self._children, frozenset(own))

    def close(self) -> None:
        """Put everything back that can be put back. Idempotent."""
        self.forks.close()
        self._close_owners()

    def _close_owners(self) -> None:
        self._threads.close()
        self._children.close()

    def _log_exception(self, thread: str, owner: RunContext | None, error: ErrorInfo) -> None:
        if self._console is None:
            return
        whose = JOB_UNKNOWN if owner is None else f"started by run {owner.run_id}"
        head = f"exception in thread {thread} ({whose}): {error}"
        text = f"{head}\n{error.traceback}" if error.traceback and not error.is_explained else head
        self._console.log(text, level="ERROR", job="taskloom" if owner is None else owner.job)
