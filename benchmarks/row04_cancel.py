"""Row 4: a blocked job is cancelled: the time until it notices."""

from __future__ import annotations

import socket
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable

from harness import Case, Claim, Figures, Role, Row
from meters import percentile

from taskloom import Cancelled, Context, Job, Scheduler
from taskloom.waiting import accept, recv

# Long enough for the job to fall asleep, short enough that its processor enters no deeper sleep state.
BLOCKED_SECONDS = 0.003

Block = Callable[[Context], object]


class _Times:
    """When the job noticed the cancellation and when it was joined, after the request; in microseconds."""

    def __init__(self) -> None:
        self.saw_at = 0.0
        self.seen: list[float] = []
        self.joined: list[float] = []

    def take(self, cancel: Callable[[], object], join: Callable[[], object]) -> None:
        time.sleep(BLOCKED_SECONDS)
        asked = time.perf_counter()
        cancel()
        join()
        joined = time.perf_counter()
        self.seen.append((self.saw_at - asked) * 1e6)
        self.joined.append((joined - asked) * 1e6)

    def figures(self) -> Figures:
        return {
            "seen_us": percentile(self.seen, 0.5),
            "seen_p99_us": percentile(self.seen, 0.99),
            "joined_us": percentile(self.joined, 0.5),
        }


def _taskloom(times: int, block: Block) -> Figures:
    taken = _Times()

    def blocked(ctx: Context) -> None:
        try:
            block(ctx)
        except Cancelled:
            pass
        taken.saw_at = time.perf_counter()

    with Scheduler() as scheduler:
        job = scheduler.add(Job(name="blocked", task=blocked))
        for _ in range(times):
            run = job.start()
            taken.take(run.cancel, run.join)
    return taken.figures()


def token_wait(times: int) -> Figures:
    return _taskloom(times, lambda ctx: ctx.wait())


def token_recv(times: int) -> Figures:
    mine, other = socket.socketpair()
    with mine, other:
        return _taskloom(times, lambda ctx: recv(ctx, mine, 4096))


def token_accept(times: int) -> Figures:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _taskloom(times, lambda ctx: accept(ctx, server))


def _threads(times: int, make: Callable[[], tuple[Callable[[], object], Callable[[], object]]]) -> Figures:
    """Measure threads that block in the first of the two callables that are made, and are woken by the second."""
    taken = _Times()

    def blocked(block: Callable[[], object]) -> None:
        block()
        taken.saw_at = time.perf_counter()

    for _ in range(times):
        block, wake = make()
        thread = threading.Thread(target=blocked, args=(block,))
        thread.start()
        taken.take(wake, thread.join)
    return taken.figures()


def event_wait(times: int) -> Figures:
    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        event = threading.Event()
        return event.wait, event.set

    return _threads(times, make)


def bare_lock(times: int) -> Figures:
    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        lock = allocate_lock()
        lock.acquire()
        return lock.acquire, lock.release

    return _threads(times, make)


def recv_shutdown(times: int) -> Figures:
    pairs: list[tuple[socket.socket, socket.socket]] = []

    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        while pairs:
            for end in pairs.pop():
                end.close()
        mine, other = socket.socketpair()
        pairs.append((mine, other))
        return lambda: mine.recv(4096), lambda: mine.shutdown(socket.SHUT_RDWR)

    return _threads(times, make)


def polling(times: int) -> Figures:
    """Check a flag every 100 ms, like loops written by hand."""
    asked: list[None] = []

    def block() -> None:
        while not asked:
            time.sleep(0.1)
        asked.clear()

    return _threads(max(1, times // 20), lambda: (block, lambda: asked.append(None)))


ROW = Row(
    number=4,
    title="a blocked job cancelled: until it notices",
    cases=[
        Case("taskloom, ctx.wait", Role.PRODUCT, token_wait),
        Case("taskloom, waiting.recv", Role.PRODUCT, token_recv),
        Case("taskloom, waiting.accept", Role.PRODUCT, token_accept),
        Case("Event.wait", Role.PEER, event_wait),
        Case("recv woken by shutdown()", Role.PEER, recv_shutdown),
        Case("a flag polled each 100 ms", Role.PEER, polling),
        Case("bare lock", Role.LIMIT, bare_lock),
    ],
    figures={"seen_us": "us p50", "seen_p99_us": "us p99", "joined_us": "us p50"},
    claims=[
        Claim("taskloom, ctx.wait", "seen_us", "Event.wait", hold=2.0, aim=1.2),
        Claim("taskloom, waiting.recv", "seen_us", "Event.wait", hold=4.0, aim=2.5),
        Claim("taskloom, waiting.accept", "seen_us", "Event.wait", hold=4.0, aim=2.5),
    ],
    full=400,
    quick=100,
    tiny=3,
    is_pinned=True,
)
