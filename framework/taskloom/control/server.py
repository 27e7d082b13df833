"""The control server: one thread that serves all clients, and sleeps while there are none.

It has to work when nothing else does: beside tasks that hold the GIL, with no descriptor and no memory left, while
everything stops. So it imports nothing after its start, waits for no client, and gives up the GIL only in a few system
calls for each request: beside ten busy threads each of them costs about 50 ms. Long replies alone are made by a second
thread, without which it does, too.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from math import ceil, inf

from taskloom.clock import mono
from taskloom.control.endpoint_keeper import EndpointKeeper
from taskloom.control.exchange import Answer, Request
from taskloom.control.listening import Listening
from taskloom.control.log_once import Log, LogOnce
from taskloom.control.peer import Peers, is_trusted_peer, peer_of
from taskloom.control.reserve import Reserve
from taskloom.control.session import Session, refuse_one_more
from taskloom.control.slow_answers import SlowAnswers
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.wakeup_fd import WakeupFd
from taskloom.text import error_text

__all__ = ["CLIENTS", "Server"]

CLIENTS = 64
# After an accept that the system has refused, and after a failure of the loop itself.
PAUSE_SECONDS = 0.1
# The pause after failures that follow each other grows up to this.
LONGEST_PAUSE_SECONDS = 1.0

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server:
    """Serves requests at an endpoint with `answer`, from `start` until `close`.

    `log` gets what went wrong. The requests for which `is_slow` returns True are answered one at a time, on another
    thread: a stop waits for none of many clients that list ten thousand jobs. `peers` names the
    process of a client: only our own user and root are served. At most `clients` are served at once.
    Raises OSError if there is no descriptor for it.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        endpoint: Listening,
        *,
        log: Log,
        is_slow: Callable[[Request], bool] = lambda _: False,
        peers: Peers = peer_of,
        clients: int = CLIENTS,
    ) -> None:
        self._answer = answer
        self._is_slow = is_slow
        self._endpoint = endpoint
        self._log = LogOnce(log)
        self._peers = peers
        self._most = clients
        self._uid = os.geteuid()
        self._poll = select.poll()
        self._wakeup = WakeupFd()
        self._reserve = Reserve()
        # By the descriptor of its socket; what each descriptor is polled for.
        self._sessions: dict[int, Session] = {}
        self._polled: dict[int, int] = {}
        # Sessions that other threads have woken.
        self._woken: deque[Session] = deque()
        # Connections from listeners of this process, and what each is called.
        self._guests: deque[tuple[_socket.socket, str]] = deque()
        # Sessions with a slow request, in the order in which these came.
        self._postponed: deque[Session] = deque()
        self._slow = SlowAnswers(
            f"taskloom-{endpoint.kind}-long", answer, wake=self._wake_thread, failed=self._log_failure
        )
        # The one that is being handled: dropped if an exception strikes.
        self._current: Session | None = None
        self._keeper = EndpointKeeper(endpoint, self._log)
        self._accept_again_at = -inf
        self._failures = 0
        # The monotonic second until which the last replies may be sent; None before `close`.
        self._end: float | None = None
        # Whether the thread has seen that.
        self._is_ending = False
        self._is_ended = Latch()
        self.wakeups = 0
        """How often the thread has woken up. For tests."""
        self._thread = KeptThread(f"taskloom-{endpoint.kind}", self._step, self._after_failure)
        self._is_started = False

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system refuses it."""
        self._thread.start()
        self._is_started = True

    def connect(self, via: str) -> socket.socket:
        """Return one end of a new connection, for another listener of this process; `via` names it in logs.

        Any thread may call it. Raises OSError if there is no descriptor, or if the server has ended.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._guests.append((_socket.socket(fileno=ours.detach()), via))
        self._wake_up()
        self._thread.ensure()
        if self._is_ended.is_open:  # it may have emptied the queue before
            theirs.close()
            raise OSError(errno.ESHUTDOWN, "the control server has ended")
        return theirs

    def close(self, seconds: float, *, replies_within: float | None = None) -> bool:
        """Send the replies that are complete, within `seconds`, and end; return whether it ended by itself.

        `replies_within`: how long it sends replies, if that is less than the thread may need to end. Idempotent. Any
        thread but its own may call it.
        """
        if not self._is_started:
            self._release()
        if self._end is None:
            self._end = mono() + (seconds if replies_within is None else replies_within)
        self._wake_up()
        self._thread.ensure()
        end = mono() + seconds
        is_ended = self._is_ended.wait(seconds)
        # A reply that is still being made now is of no use to anyone: its client is gone.
        self._slow.close(0.0 if self._slow.is_busy else max(0.0, end - mono()))
        if is_ended:
            self._thread.join(seconds)
        else:
            self._endpoint.close()  # the thread is held up; no client may find the socket any more
        return is_ended

    def forget(self) -> None:
        """Close all descriptors that a forked child has inherited. Called there, on its only thread."""
        self._endpoint.forget()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._reserve.close()
        try:
            os.close(self._wakeup.fileno())
        except OSError:
            pass  # a task has closed it

    # -- the loop

    def _step(self) -> bool:
        """Wait for something to do, and do it; return True at the end."""
        if self._end is None and self._keeper.is_lost():
            self._make_anew({}, mono())
        # Both before the poll: what has arrived until the end is read, by one poll that does not wait.
        is_ending = self._end is not None
        is_first_of_end, self._is_ending = is_ending and not self._is_ending, is_ending
        self._update_poll()
        ready = self._poll.poll(0 if is_first_of_end else self._timeout())
        self.wakeups += 1
        now = mono()
        events = dict(ready)
        if any(found & select.POLLNVAL for found in events.values()):
            self._make_anew(events, now)
        if events.pop(self._wakeup.fileno(), 0):
            self._wakeup.clear()
        self._handle_woken(now)
        self._admit_guests(now)
        watch = self._endpoint.watch
        if watch is not None and events.pop(watch.fileno(), 0):
            watch.clear()
            self._keeper.folder_changed(now)
        is_listener_ready = events.pop(self._endpoint.listener.fileno(), 0)
        for descriptor, found in events.items():
            session = self._sessions.get(descriptor)
            if session is not None:
                self._with(session, lambda session=session, found=found: session.handle(found, now))  # type: ignore[misc]
        if is_listener_ready:
            self._accept_all(now)
        self._answer_slow(now)
        self._expire(mono())
        self._failures = 0
        return is_ending and self._is_finished(mono())

    def _update_poll(self) -> None:
        """Poll each descriptor for what is of interest now."""
        wanted = {descriptor: session.interest for descriptor, session in self._sessions.items()}
        wanted[self._wakeup.fileno()] = select.POLLIN
        if self._end is None:
            if self._accept_again_at <= mono() and self._endpoint.is_listening:
                wanted[self._endpoint.listener.fileno()] = select.POLLIN
            if self._endpoint.watch is not None:
                wanted[self._endpoint.watch.fileno()] = select.POLLIN
        for descriptor in self._polled.keys() - wanted.keys():
            self._poll.unregister(descriptor)
            del self._polled[descriptor]
        for descriptor, mask in wanted.items():
            if self._polled.get(descriptor) != mask:
                self._poll.register(descriptor, mask)
                self._polled[descriptor] = mask

    def _timeout(self) -> int | None:
        """Return the milliseconds until something is due; None for ever."""
        if self._woken or self._guests or (self._postponed and not self._slow.is_busy):
            return 0
        deadlines = [session.deadline for session in self._sessions.values()]
        deadlines.append(self._keeper.check_at if self._end is None else self._end)
        if self._end is None and self._accept_again_at > mono():
            deadlines.append(self._accept_again_at)
        first = min(deadlines)
        return None if first == inf else max(0, ceil((first - mono()) * 1000))

    def _handle_woken(self, now: float) -> None:
        for _ in range(len(self._woken)):
            session = self._woken.popleft()
            if not session.is_over:
                self._with(session, lambda session=session: session.advance(now))  # type: ignore[misc]

    def _answer_slow(self, now: float) -> None:
        """Have one slow request answered, unless another one is."""
        self._slow.ensure()
        if self._postponed and not self._slow.is_busy:
            session = self._postponed.popleft()
            self._with(session, lambda: session.answer_postponed(now, self._slow))

    def _expire(self, now: float) -> None:
        for session in [each for each in self._sessions.values() if each.deadline <= now]:
            self._with(session, lambda session=session: session.expire(now))  # type: ignore[misc]
        if self._keeper.check_at <= now and self._end is None:
            self._keeper.check(now)

    def _with(self, session: Session, work: Callable[[], object]) -> None:
        """Do something with a session, and close its socket if it is over."""
        self._current = session
        work()
        self._current = None
        if session.is_over:
            self._close(session)

    def _close(self, session: Session) -> None:
        descriptor = session.sock.fileno()
        if self._sessions.pop(descriptor, None) is None:
            return
        if self._polled.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
        if session.is_on_reserve and session.is_open:
            self._reserve.take_back(session.sock)
            self._accept_again_at = -inf
        else:
            session.close()

    def _wake(self, session: Session) -> None:
        """Handle the session soon. Any thread may call it; never blocks."""
        self._woken.append(session)
        self._wake_thread()

    def _wake_thread(self) -> None:
        """End the wait of the thread, and replace one that an exception has ended. Any thread may call it."""
        self._wake_up()
        self._thread.ensure()

    def _wake_up(self) -> None:
        """End the wait of the thread. Never blocks, raises nothing."""
        try:
            self._wakeup.set()
        except OSError:  # a task has closed it
            self._endpoint.knock()

    # -- new clients

    def _accept_all(self, now: float) -> None:
        for _ in range(CLIENTS):
            if not self._accept(now):
                return

    def _accept(self, now: float) -> bool:
        """Accept one client; return False if there is none, or if the system refuses it."""
        is_on_reserve = False
        while True:
            try:
                descriptor, _ = self._endpoint.listener._accept()  # type: ignore[attr-defined]
                break
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                if is_on_reserve:
                    self._refill()
                return False
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR and self._free_descriptor():
                    is_on_reserve = True
                    continue
                # Never at once again: the listener stays readable, and the thread would spin.
                self._accept_again_at = now + PAUSE_SECONDS
                if not self._endpoint.is_listening:
                    self._make_anew({}, now)
                elif error.errno not in _NO_DESCRIPTOR:
                    reason = f"cannot accept a {self._endpoint.kind} connection: {error_text(error)}"
                    self._log.warn_once(("accept", error.errno), reason)
                    self._keeper.hasten(now)
                return False
        sock = _socket.socket(self._endpoint.listener.family, _socket.SOCK_STREAM, 0, descriptor)
        self._admit(sock, now, is_on_reserve=is_on_reserve)
        if not is_on_reserve:
            self._refill()
        return True

    def _admit(self, sock: _socket.socket, now: float, *, is_on_reserve: bool, via: str = "") -> None:
        """Serve the client, or close its socket: before a byte is read if it is another user."""
        try:
            caller = self._peers(sock)._replace(via=via)
            is_trusted = is_trusted_peer(caller.uid, self._uid)
        except OSError:
            is_trusted = False
        else:
            if not is_trusted:
                self._log.warn_once(("peer", caller.uid), f"refused a control connection of {caller}: another user")
        if not is_trusted or not self._has_room(now):
            if is_trusted:
                refuse_one_more(sock, self._most)
            if is_on_reserve:
                self._reserve.take_back(sock)
            else:
                sock.close()
            return
        session = Session(
            sock,
            caller,
            now,
            answer=self._answer,
            failed=self._log_failure,
            wake=self._wake,
            postpone=self._postponed.append,
            is_slow=self._is_slow,
            is_last=is_on_reserve,
        )
        self._sessions[sock.fileno()] = session
        # Most clients have sent their request already: one system call less than to poll for it.
        self._with(session, lambda: session.handle(select.POLLIN, now))

    def _admit_guests(self, now: float) -> None:
        for _ in range(len(self._guests)):
            sock, via = self._guests.popleft()
            if self._is_ending:
                sock.close()
            else:
                self._admit(sock, now, is_on_reserve=False, via=via)

    def _has_room(self, now: float) -> bool:
        """Return whether one more client can be served; the one that is idle longest makes room."""
        if len(self._sessions) < self._most:
            return True
        idle = [(each.idle_since, descriptor) for descriptor, each in self._sessions.items() if each.idle_since]
        if not idle:
            return False
        _, descriptor = min(idle)
        session = self._sessions[descriptor]
        session.drop()
        self._close(session)
        return True

    def _free_descriptor(self) -> bool:
        """Make one descriptor available; return False if that is not possible."""
        if self._reserve.free():
            return True
        # A client that follows the log would hold the reserve for ever. It can resume where it was.
        waiting = [each for each in self._sessions.values() if each.is_on_reserve and each.is_waiting]
        if not waiting:
            return False
        waiting[0].drop()
        self._close(waiting[0])
        return self._reserve.free()

    def _refill(self) -> None:
        try:
            on_loan = sum(each.is_on_reserve for each in self._sessions.values())
            self._reserve.refill(on_loan)
        except OSError:
            pass  # still none left; the next accept tries again

    # -- the socket file

    def _make_anew(self, events: dict[int, int], now: float) -> None:
        """Make again what a task has closed, as `os.closerange` does. `events`: what was found by `poll`."""
        what = f"the {self._endpoint.kind} socket"
        closed = f"a task has closed descriptors of {what}; they are made again, and its clients are lost"
        self._log.warn_once("closed", closed)
        if events.pop(self._wakeup.fileno(), 0) & select.POLLNVAL or not self._wakeup.is_open():
            self._wakeup.forget()
            self._wakeup = WakeupFd()
        if self._endpoint.watch is not None:
            events.pop(self._endpoint.watch.fileno(), 0)
        events.pop(self._endpoint.listener.fileno(), 0)
        try:
            self._reserve.renew()
        except OSError:
            pass  # no descriptor is free
        self._keeper.check(now)
        self._accept_again_at = -inf

    # -- failures

    def _after_failure(self, error: BaseException) -> None:
        """Go on after an exception that is our own fault, or a lack of memory. Called by the thread."""
        session, self._current = self._current, None
        if session is not None:
            session.drop()
            self._close(session)
        self._failures += 1
        # Not at once: a lack of memory passes, and a bug must not take a whole processor.
        pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * self._failures)
        self._log.failure(f"the {self._endpoint.kind} server", error)
        if self._end is not None and mono() >= self._end:
            self._end = 0.0
        select.poll().poll(pause * 1000)

    def _log_failure(self, request: Request, error: BaseException) -> None:
        self._log.failure(f"{request.method} {request.path}", error)

    # -- the end

    def _is_finished(self, now: float) -> bool:
        """Return whether all that can be sent is sent, or the time is over; then close everything."""
        if self._endpoint.is_listening:
            self._accept_all(now)  # those that have connected before the end are answered
        is_due = bool(self._woken) or any(session.is_due for session in self._sessions.values())
        if is_due and now < (self._end or 0.0):
            return False
        for session in self._sessions.values():
            session.expire_reply(now)
        self._release()
        return True

    def _release(self) -> None:
        """Close everything; idempotent."""
        self._endpoint.close()
        for session in list(self._sessions.values()):
            session.drop()
            session.is_on_reserve = False
            self._close(session)
        while self._guests:
            self._guests.popleft()[0].close()
        self._reserve.close()
        self._is_ended.open()
