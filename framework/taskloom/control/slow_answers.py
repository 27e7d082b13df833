"""Makes long replies on a thread of its own, one at a time: no stop waits for a scrape or a list of a thousand jobs.

The thread of the server goes on with all other clients meanwhile. It begins with the first such request, since most
programs have none; if the system refuses it, the server's own thread makes the reply.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from taskloom.clock import mono
from taskloom.control.exchange import Answer, Deferred, Reply, Request
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.waker import Waker
from taskloom.text import to_json

__all__ = ["SlowAnswers", "SlowReply"]

_JSON = {"content-type": "application/json"}


class SlowReply(Deferred):
    """A reply that is being made on another thread."""

    def __init__(self, request: Request, failed: Reply) -> None:
        super().__init__()
        self.request = request
        self.failed = failed
        """The reply if it cannot be made."""

    @property
    def is_certain(self) -> bool:
        """Whether it comes by itself: yes, since it is being made."""
        return True


class SlowAnswers:
    """Calls `answer` for one request at a time. The server's thread calls all methods but `close`.

    `wake` is called after each reply, on the thread that has made it. `failed` is told what `answer` raises.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Request], Answer],
        *,
        wake: Callable[[], object],
        failed: Callable[[Request, BaseException], object],
    ) -> None:
        self._answer, self._wake, self._failed = answer, wake, failed
        self._thread = KeptThread(name, self._step, self._after_failure)
        self._is_started = self._is_over = False
        # Released when there is a request, when a reply that the thread waits for may be there, and at the end.
        self._waker = Waker()
        self._current: SlowReply | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a reply is being made."""
        return self._current is not None

    def begin(self, request: Request, failed: Reply) -> Answer:
        """Begin to make a reply, which is `failed` if `answer` raises. No other one may be under way."""
        if not self._ensure():
            return self._answer(request)
        reply = self._current = SlowReply(request, failed)
        self._waker.release()
        return reply

    def ensure(self) -> None:
        """Start another thread if an exception has ended this one."""
        if self._is_started:
            self._thread.ensure()

    def close(self, seconds: float) -> None:
        """Let the thread end, and wait for it for at most `seconds`. Idempotent; any thread may call it."""
        self._is_over = True
        self._waker.release()
        if self._is_started:
            self._thread.join(seconds)

    def _ensure(self) -> bool:
        """Start the thread, if that is still to be done; return False if the system refuses it."""
        if not self._is_started:
            try:
                self._thread.start()
            except (RuntimeError, MemoryError):
                return False
            self._is_started = True
        return True

    # -- on the thread

    def _step(self) -> bool:
        if self._current is None:  # otherwise an exception has ended the thread before this one
            self._waker.wait()
        reply = self._current
        if reply is not None:
            self._complete(reply, _with_text(self._made(reply.request)))
        return self._is_over

    def _after_failure(self, error: BaseException) -> None:
        reply = self._current
        if reply is not None:
            self._complete(reply, reply.failed)
            self._failed(reply.request, error)

    def _complete(self, reply: SlowReply, made: Reply) -> None:
        # First, as the server may begin the next one as soon as it is woken; it is woken also if the client has gone.
        self._current = None
        try:
            reply.complete(made)
        except BaseException:
            self._current = reply  # so that it is completed as failed
            raise
        self._wake()

    def _made(self, request: Request) -> Reply:
        """Return the reply; one that waits for the scheduler's thread is awaited until its own deadline."""
        answer = self._answer(request)
        if isinstance(answer, Deferred):
            answer.on_change = self._waker.release
            while (reply := answer.reply) is None:
                left = answer.deadline - mono()
                if left <= 0.0 or self._is_over:
                    answer.expire(inf)
                self._waker.wait(max(0.0, left))
            return reply
        if not isinstance(answer, Reply):
            raise TypeError("a stream is not a long reply")
        return answer


def _with_text(reply: Reply) -> Reply:
    if reply.text is not None or reply.content is not None:
        return reply
    return reply._replace(text=f"{to_json(reply.body)}\n", headers={**_JSON, **reply.headers})
