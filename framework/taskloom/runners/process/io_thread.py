"""The one thread that reads and writes the pipes and sockets of all runs in processes.

It waits with epoll for descriptors, messages of other threads and deadlines, and hands each to the member that it is
for. A member never blocks. Messages come first: a stop is not delayed by the output of a thousand runs.

An exception may strike any line here. `_current` is the member that is being worked for; it is still set when the next
step begins after a strike, and then that member is told, which ends its run. All others go on. Descriptors that were
ready still are, and a message leaves the queue after it was processed.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Protocol

from taskloom.clock import mono
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["DescriptorsClosed", "IoThread", "Member", "Ready"]

Ready = Callable[[int, float], None]
"""Called with the events of epoll and the monotonic second when a descriptor is ready."""
# One wait returns this number of events; those of more descriptors come with the next one.
_MOST_EVENTS = 256
# A wait is this much longer than asked for, since epoll counts in whole milliseconds.
_MILLISECOND = 0.001
# While runs are there, it is looked this often whether a task has closed all descriptors of the program, as daemons do:
# nothing would wake the thread then.
_CHECK_SECONDS = 2.0


class Member(Protocol):
    """Something that the thread works for: one run, or a thing that all runs have in common.

    Only the IO thread calls it.
    """

    due: float
    """The deadline for which the member is in the heap, in monotonic seconds; kept by the thread."""

    def next_timer(self) -> float:
        """Return when `on_timer` is to be called, in monotonic seconds; inf for never."""

    def on_timer(self, now: float) -> None:
        """Called when the deadline has come."""

    def struck(self, error: BaseException) -> None:
        """Called when an exception has struck the work for this member. Called again if it strikes this call."""


class DescriptorsClosed(OSError):
    """A task has closed all descriptors of the program, as daemons do: nothing is known of the runs any more."""


class _NoWakeup:
    """Takes the place of the descriptor when the thread has ended."""

    def set(self) -> None:
        """Wake no thread."""

    def clear(self) -> None:
        """Do nothing."""


class IoThread:
    """The thread, its descriptors, messages and deadlines.

    `post`, `close` and `join` are for any thread, all else for the IO thread itself. `is_over`: asked after `close`
    whether nothing is left to do.
    """

    def __init__(self, is_over: Callable[[], bool], record_bug: Callable[[BaseException], object]) -> None:
        self._is_over = is_over
        self._record_bug = record_bug
        self._epoll = select.epoll()
        self._wakeup: WakeupFd | _NoWakeup = WakeupFd()
        self._wakeup_number = self._wakeup.fileno()
        self._epoll.register(self._wakeup_number, select.EPOLLIN)
        self._identity = OwnDescriptor(self._wakeup_number)
        self._ready: dict[int, tuple[Member, Ready]] = {}
        self._messages: deque[tuple[Member, Callable[..., object], tuple[Any, ...]]] = deque()
        self._heap: list[tuple[float, int, Member]] = []
        # If two deadlines are equal, the older one comes first, and members are not compared.
        self._numbers = count()
        self._current: Member | None = None
        self._error: BaseException | None = None
        self._closed_by_others: list[select.epoll] = []
        # Whether a step has begun and not ended.
        self._is_interrupted = False
        self._is_closed = False
        self._has_ended = Latch()
        self._thread = KeptThread("taskloom-processes", self._step, self._failed)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self._thread.start()

    @property
    def is_started(self) -> bool:
        """Whether the thread was started."""
        return self._thread.ident is not None

    # -- for any thread

    def post(self, member: Member, function: Callable[..., object], *arguments: Any) -> None:
        """Have the function called on the IO thread; never blocks. The member is told if that raises."""
        self._messages.append((member, function, arguments))
        self._wake()
        self._thread.ensure()

    def close(self) -> None:
        """Let the thread end once nothing is left to do; never blocks."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        """Have the thread look for messages. If a task has closed its descriptor, it looks within 2 seconds."""
        if self._identity.is_ours():
            self._wakeup.set()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the thread has ended."""
        return self._has_ended.wait(timeout)

    def leave_behind(self) -> None:
        """Close our descriptors, without a word to the kernel about those that the parent watches.

        Called in a forked child, where the thread does not exist.
        """
        self._messages.clear()
        self._ready.clear()
        self._epoll.close()
        wakeup, self._wakeup = self._wakeup, _NoWakeup()
        if isinstance(wakeup, WakeupFd):
            os.close(wakeup.fileno())
            wakeup.forget()

    # -- for members

    def watch(self, descriptor: int, events: int, member: Member, ready: Ready) -> None:
        """Call `ready` when the descriptor has any of these events, or was hung up."""
        is_new = descriptor not in self._ready
        if not is_new:
            try:
                self._epoll.modify(descriptor, events)
            except FileNotFoundError:
                is_new = True  # a task has closed the file that had this number before
        if is_new:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = member, ready

    def unwatch(self, descriptor: int) -> None:
        """Forget the descriptor; before it is closed. Idempotent."""
        if self._ready.pop(descriptor, None) is not None:
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                pass  # closed by a task that closes all descriptors

    def set_timer(self, member: Member) -> None:
        """Put the next deadline of the member into the heap, if it has changed."""
        due = member.next_timer()
        if due != member.due:
            member.due = due
            if due != inf:
                heappush(self._heap, (due, next(self._numbers), member))

    # -- the loop

    def _step(self) -> bool:
        """Wait once and do what there is; return True when all is over."""
        if self._current is not None or self._error is not None:
            self._handle_strike()
        # After a strike nothing is waited for: what it has interrupted may be all that is left to do.
        timeout = 0 if self._is_interrupted else self._timeout()
        self._is_interrupted = True
        try:
            events = self._epoll.poll(timeout, _MOST_EVENTS)
            if not events and not self._identity.is_ours():
                raise DescriptorsClosed
        except (OSError, ValueError):
            self._replace_descriptors()
            return False
        if any(descriptor == self._wakeup_number for descriptor, _ in events):
            self._wakeup.clear()  # before the messages are taken: one that comes later sets it again
        self._take_messages()
        now = mono()
        for descriptor, mask in events:
            found = self._ready.get(descriptor)
            if found is not None:  # else it is the wake-up, or was closed meanwhile
                self._work(found[0], found[1], mask, now)
        self._take_timers()
        if self._is_closed and not self._messages and self._is_over():
            self._epoll.close()
            # Another thread that is just setting it keeps the descriptor open for that long.
            self._wakeup = _NoWakeup()
            self._has_ended.open()
            return True
        self._is_interrupted = False
        return False

    def _work(self, member: Member, function: Callable[..., object], *arguments: Any) -> None:
        self._current = member
        function(*arguments)
        self.set_timer(member)
        self._current = None

    def _take_messages(self) -> None:
        # As many as there are now: what they lead to comes after the descriptors that are ready.
        for _ in range(len(self._messages)):
            self._work(self._messages[0][0], self._take_message)

    def _take_message(self) -> None:
        _, function, arguments = self._messages[0]
        try:
            function(*arguments)
        finally:
            self._messages.popleft()

    def _take_timers(self) -> None:
        now = mono()
        # As many as there are now: a deadline that is due again at once waits for the descriptors that are ready.
        for _ in range(len(self._heap)):
            if not self._heap or self._heap[0][0] > now:
                break
            due, _number, member = self._heap[0]
            if member.due == due:
                self._work(member, self._take_timer, member, now)
            else:
                heappop(self._heap)  # it has another deadline by now

    def _take_timer(self, member: Member, now: float) -> None:
        heappop(self._heap)
        member.due = inf  # so that the next deadline is put into the heap
        member.on_timer(now)

    def _timeout(self) -> float:
        while self._heap and self._heap[0][2].due != self._heap[0][0]:
            heappop(self._heap)
        if self._messages:
            return 0
        # Without a descriptor that is watched no task can have closed one.
        longest = _CHECK_SECONDS if self._ready else -1
        if not self._heap:
            return longest
        due = max(0.0, self._heap[0][0] - mono() + _MILLISECOND)
        return min(due, longest) if self._ready else due

    # -- strikes

    def _replace_descriptors(self) -> None:
        """Make new ones: a task has closed all descriptors of the program, those of the runs included.

        The old objects are kept: they would close numbers that belong to other files by now.
        """
        members = {id(member): member for member, _ in self._ready.values()}
        self._closed_by_others.append(self._epoll)
        if isinstance(self._wakeup, WakeupFd):
            self._wakeup.forget()
        self._ready.clear()
        self._epoll = select.epoll()
        self._wakeup = WakeupFd()
        self._wakeup_number = self._wakeup.fileno()
        self._epoll.register(self._wakeup_number, select.EPOLLIN)
        self._identity = OwnDescriptor(self._wakeup_number)
        for member in members.values():
            member.struck(DescriptorsClosed())
            self.set_timer(member)

    def _failed(self, error: BaseException) -> None:
        """Keep the error for the next step, which tells the member that was worked for."""
        self._error = error

    def _handle_strike(self) -> None:
        """Tell the member that was worked for, if any was, and record the error."""
        error = self._error or MemoryError("an exception struck the IO thread")
        member = self._current
        if member is not None:
            member.struck(error)
            member.due = inf  # what the heap has of it is unknown
            self.set_timer(member)
        self._current = self._error = None
        self._record_bug(error)
