"""Sends a message to a webhook: one POST with a JSON body, signed if there is a secret.

The few lines of HTTP are our own, since each step has to end by one deadline: with `http.client` each read has a
timeout of its own, and an endpoint that sends a byte now and then would hold the thread for hours. Only the status
counts; the body of a reply is not read. Redirects are not followed: a signed message goes where the settings say.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
from urllib.parse import urlsplit

from taskloom import __version__
from taskloom.clock import mono, wall
from taskloom.notify.transport import NotSent
from taskloom.text import duration, printable

__all__ = ["SIGNATURE", "TIMESTAMP", "WebhookTransport", "sign"]

TIMESTAMP, SIGNATURE = "Taskloom-Timestamp", "Taskloom-Signature"
# The head of a reply has no more bytes than these: otherwise it is not an answer to a webhook.
_MOST_HEAD = 64 << 10
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_LOCATION = re.compile(rb"\r?\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
# The other form, a date, is left out: the clocks of the two may differ.
_RETRY_AFTER = re.compile(rb"\r?\nretry-after:[ \t]*([0-9]{1,9})[ \t]*\r?\n", re.IGNORECASE)
# The errors of a client that may be over soon: a timeout, too early, too many requests.
_TEMPORARY = frozenset({408, 425, 429})
_ABORTED = "the program is ending"


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message: `v1=` and the HMAC-SHA256 of `TIMESTAMP.BODY`, in hexadecimal digits."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


class _NoReply(Exception):
    """The connection has ended too early."""


class WebhookTransport:
    """The webhook of one receiver. Certificates are verified as `ssl.create_default_context` does."""

    def __init__(self, url: str, secret: str = "") -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority = parts.netloc
        self._secret = secret
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._sock: socket.socket | None = None
        self._is_aborted = False

    def send(self, number: str, body: bytes, until: float) -> None:
        """Post the message. Raises NotSent unless the reply is 2xx and comes in time."""
        began = mono()
        try:
            self._post(self._request(number, body), until)
        except TimeoutError:
            raise self._failed(f"no answer within {duration(max(0.0, until - began), is_rounded=True)}") from None
        except ssl.SSLCertVerificationError as error:
            raise NotSent(f"its certificate is not valid: {printable(error.verify_message)}") from None
        except (OSError, UnicodeError) as error:
            raise self._failed(_words(error)) from None
        except _NoReply as error:
            raise self._failed(str(error)) from None

    def _failed(self, reason: str) -> NotSent:
        """Return the failure of a connection; an abort looks like one."""
        return NotSent(_ABORTED if self._is_aborted else reason)

    def abort(self) -> None:
        """Break the connection off, and make no other one."""
        self._is_aborted = True
        sock = self._sock
        if sock is not None:
            try:
                # The method of the plain socket: that of TLS would send its own goodbye, and wait.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass  # not connected yet, or closed by its own thread

    def _request(self, number: str, body: bytes) -> bytes:
        now = int(wall())
        headers = {
            "Host": self._authority,
            "User-Agent": f"taskloom/{__version__}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Taskloom-Notification": number,
            TIMESTAMP: str(now),
        }
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, now, body)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self._target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body

    def _post(self, request: bytes, until: float) -> None:
        with self._connect(until) as sock:
            self._watch(sock)
            try:
                if self._context is None:
                    _check(_exchange(sock, request, until))
                    return
                sock.settimeout(_left(until))
                with self._context.wrap_socket(sock, server_hostname=self._host, do_handshake_on_connect=False) as safe:
                    self._watch(safe)
                    safe.do_handshake()  # its timeout is for all of it
                    _check(_exchange(safe, request, until))
            finally:
                self._sock = None

    def _watch(self, sock: socket.socket) -> None:
        """Let `abort` find the socket. In this order: it sets the flag, and looks then."""
        self._sock = sock
        if self._is_aborted:
            raise NotSent(_ABORTED)

    def _connect(self, until: float) -> socket.socket:
        last: OSError = OSError("the host has no address")
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for index, (family, kind, protocol, _, address) in enumerate(found):
            # Each address gets its share: with broken IPv6, the first one may never answer.
            share = _left(until) / (len(found) - index)
            sock = socket.socket(family, kind, protocol)
            try:
                self._watch(sock)
                sock.settimeout(share)
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
        raise last


def _left(until: float) -> float:
    """Return how much time is left. Raises TimeoutError if none is."""
    left = until - mono()
    if left <= 0:
        raise TimeoutError
    return left


def _exchange(sock: socket.socket, request: bytes, until: float) -> bytes:
    """Send the request, and return the head of the final reply."""
    rest = memoryview(request)
    while rest:
        sock.settimeout(_left(until))
        rest = rest[sock.send(rest) :]
    read = b""
    while True:
        head, mark, after = read.partition(b"\r\n\r\n")
        if mark and not head.startswith(b"HTTP/1.1 1"):
            return head + b"\r\n"
        if mark:  # such as 103 Early Hints: the reply comes after it
            read = after
            continue
        if len(read) > _MOST_HEAD:
            raise NotSent("its reply is not HTTP")
        sock.settimeout(_left(until))
        more = sock.recv(4096)
        if not more:
            raise _NoReply("it closed the connection without a reply")
        read += more


def _check(head: bytes) -> None:
    """Raise NotSent unless the head is that of a reply of success."""
    found = _STATUS.match(head)
    if found is None:
        raise NotSent("its reply is not HTTP")
    status = int(found[1])
    if 200 <= status < 300:
        return
    said = printable((found[2] or b"").decode("latin-1").strip()[:80])
    words = f"HTTP {status} {said}".rstrip()
    if 300 <= status < 400:
        where = _LOCATION.search(head)
        host = printable(urlsplit(where[1].decode("latin-1")).netloc) if where is not None else ""
        raise NotSent(f"{words}: a redirect{host and f' to {host}'}, which is not followed", is_final=True)
    is_final = 400 <= status < 500 and status not in _TEMPORARY
    after = None if is_final else _RETRY_AFTER.search(head)
    raise NotSent(words, is_final=is_final, retry_after=float(after[1]) if after is not None else 0.0)


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(text[:1].lower() + text[1:])
