"""The runner `dask`."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.clock import mono
from taskloom.runners import Emit, RunHandle, RunOrder, Stack

if TYPE_CHECKING:
    from taskloom.runners.dask.attachment import Attachment
    from taskloom.runners.dask.connection import Connect, Connection, Listener
    from taskloom.runners.dask.handle import DaskHandle
    from taskloom.runners.dask.options import Cluster
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["DaskRunner", "connect_by_dask"]

STACK_SECONDS = 0.18
"""Less than the time for the stacks of a stop."""


class DaskRunner:
    """Starts each run on a worker of a Dask cluster. The thread of a cluster is made for its first run.

    Nothing of Dask is imported before that, and then on that thread.
    """

    kills = needs_reference = True

    def __init__(self, connect: Connect | None = None) -> None:
        self.record_bug: Callable[[BaseException], object] = _record_nothing
        """Called with an exception that has struck one of its threads. The scheduler sets it."""
        self._connect = connect or connect_by_dask
        self._attachments: dict[Cluster, Attachment] = {}
        # Those that take no more runs: their thread was ended by an exception, or no declared job uses their cluster.
        self._former: list[Attachment] = []
        # The sessions of this program: the core knows their runs, so that a new session does not wait for them.
        self._sessions: set[str] = set()
        # Held while a run is given to its attachment, so that no second one is made and none is left meanwhile.
        self._choosing = allocate_lock()
        self._is_closed = False

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """Return what is wrong with the options of a job."""
        from taskloom.runners.dask.options import check_options

        return check_options(options)

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> DaskHandle:
        """Start the run; never blocks. Raises RuntimeError if the threads of its cluster cannot be started."""
        from taskloom.runners.dask.options import DaskOptions

        if self._is_closed:
            raise RuntimeError("cannot start a run on a cluster: the runner was closed")
        options = DaskOptions.of(order.options)
        with self._choosing:
            return self._attachment(options.cluster).start(order, options, token, emit)

    def _attachment(self, cluster: Cluster) -> Attachment:
        from taskloom.runners.dask.attachment import Attachment

        found = self._attachments.get(cluster)
        if found is not None and found.has_ended:
            self._former.append(found)
            found = None
        if found is None:
            found = self._attachments[cluster] = Attachment(cluster, self._connect, self._record, self._sessions)
        return found

    def retain(self, options: Iterable[Mapping[str, Any]]) -> None:
        """Leave each cluster that none of these options uses, as soon as no run is left there. Never blocks."""
        from taskloom.runners.dask.options import DaskOptions

        used = {DaskOptions.of(each).cluster for each in options}
        with self._choosing:
            for cluster in self._attachments.keys() - used:
                self._former.append(self._attachments[cluster])  # first: an interrupt must not lose it
                self._attachments.pop(cluster).close()
            self._former = [each for each in self._former if not each.join(0.0)]

    def _record(self, error: BaseException) -> None:
        self.record_bug(error)

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return where the runs currently are. Takes a fifth of a second if one does not answer."""
        from taskloom.runners.dask.handle import DaskHandle
        from taskloom.runners.process.stack_requests import StackSlot

        asked = [(handle, StackSlot()) for handle in handles if isinstance(handle, DaskHandle)]
        for handle, slot in asked:
            if not handle.ask_stack(slot):
                slot.answered.open()
        until = mono() + STACK_SECONDS
        for _, slot in asked:
            slot.answered.wait(max(0.0, until - mono()))
        return [_stack_of(handle, slot.stack, number < texts) for number, (handle, slot) in enumerate(asked)]

    def close(self) -> None:
        """Let the threads end with the last run. Never blocks."""
        self._is_closed = True
        for attachment in self._all():
            attachment.close()

    def join(self, timeout: float) -> bool:
        """After `close`, wait until the threads have ended; return False after `timeout` seconds."""
        until = mono() + timeout
        joined = [attachment.join(max(0.0, until - mono())) for attachment in self._all()]
        return all(joined)

    def leave_behind(self) -> None:
        """Called in a forked child: let no connection of the parent live on there."""
        attachments, self._is_closed = self._all(), True
        self._attachments, self._former = {}, []
        for attachment in attachments:
            attachment.leave_behind()

    def _all(self) -> list[Attachment]:
        return [*self._former, *self._attachments.values()]


def connect_by_dask(cluster: Cluster, listener: Listener) -> Connection:
    """Return a connection by Dask's own client. Raises CannotAttach if the extra is not installed."""
    from taskloom.runners.dask.extra import INSTALL, why_unusable
    from taskloom.runners.dask.hello import CannotAttach

    why = why_unusable()
    if why:
        raise CannotAttach(f"cannot use runner dask: {why}; {INSTALL}")
    try:
        if cluster.scheduler is None:
            from taskloom.runners.dask.local_cluster import LocalCluster

            return LocalCluster(cluster, listener)
        from taskloom.runners.dask.dask_client import DaskClient

        return DaskClient(cluster, listener)
    except ImportError as error:
        raise CannotAttach(f"cannot use runner dask: cannot import Dask: {error}; {INSTALL}") from None


def _stack_of(handle: DaskHandle, stack: Stack | None, with_text: bool) -> Stack:
    if stack is not None:
        return stack if with_text else Stack(stack.where, "")
    place = handle.whereabouts
    if place is None or not handle.is_alive():
        return Stack("", "")
    return Stack(f"worker {place.worker} on {place.host}, pid {place.pid or 'unknown'} (no answer)", "")


def _record_nothing(_: BaseException) -> None:
    """Record nothing: outside of a scheduler the end of the run says what has happened."""
