"""One POST to a real server on this machine: what is sent, and what counts as sent."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.webhook_server import HANG, WebhookServer, reply

from taskloom.clock import mono, wall
from taskloom.notify.transport import NotSent
from taskloom.notify.webhook import WebhookTransport, sign

OK = reply("204 No Content")


def send(url: str, secret: str = "", seconds: float = 20.0, body: bytes = b'{"a": 1}') -> str:
    """Send a message; return why it was not sent, or ""."""
    try:
        WebhookTransport(url, secret).send("abc.1", body, mono() + seconds)
    except NotSent as error:
        return f"{error}{' (final)' if error.is_final else ''}"
    return ""


def test_a_message_is_posted_as_json_with_its_id() -> None:
    with WebhookServer([OK]) as server:
        assert send(server.url) == ""

    [posted] = server.posted
    assert (posted.line, posted.body) == ("POST /hook?x=1 HTTP/1.1", b'{"a": 1}')
    assert posted.headers["Host"] == f"127.0.0.1:{server.port}"
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["Taskloom-Notification"] == "abc.1"
    assert "Taskloom-Signature" not in posted.headers


def test_a_secret_signs_the_time_and_the_body() -> None:
    before = int(wall())
    with WebhookServer([OK]) as server:
        assert send(server.url, "s3cret") == ""

    [posted] = server.posted
    stamp = posted.headers["Taskloom-Timestamp"]
    expected = hmac.new(b"s3cret", f"{stamp}.".encode() + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["Taskloom-Signature"] == f"v1={expected}"
    assert before <= int(stamp) <= wall()


def test_the_example_of_the_page_takes_what_is_signed_and_nothing_else() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "notifications.md").read_text()
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    is_genuine = names["is_genuine"]
    with WebhookServer([OK]) as server:
        send(server.url, "s3cret")
        send(server.url)
    signed, unsigned = server.posted
    old = {"Taskloom-Timestamp": "1", "Taskloom-Signature": sign("s3cret", 1, signed.body)}

    assert is_genuine(b"s3cret", signed.headers, signed.body)
    assert not is_genuine(b"s3cret", signed.headers, signed.body + b" ")
    assert not is_genuine(b"another", signed.headers, signed.body)
    assert not is_genuine(b"s3cret", signed.headers | {"Taskloom-Timestamp": "x"}, signed.body)
    assert not is_genuine(b"s3cret", old, signed.body), "it may be a replay"
    assert not is_genuine(b"s3cret", unsigned.headers, unsigned.body)


def test_a_signature_is_that_of_the_time_and_the_body_and_no_other() -> None:
    assert len({sign("a", 1, b"x"), sign("b", 1, b"x"), sign("a", 2, b"x"), sign("a", 1, b"y")}) == 4


@every_case(
    ("answer", "reason"),
    [
        (reply("200 OK"), ""),
        (reply("202 Accepted"), ""),
        (b"HTTP/1.0 200\r\n\r\n", ""),
        (reply("103 Early Hints") + OK, ""),
        (reply("500 Oh dear"), "HTTP 500 Oh dear"),
        (reply("503 Busy"), "HTTP 503 Busy"),
        (reply("429 Slow down"), "HTTP 429 Slow down"),
        (reply("404 Not Found"), "HTTP 404 Not Found (final)"),
        (reply("401 \x1b[31mred"), "HTTP 401 \\x1b[31mred (final)"),
        (reply("302 Found", "Location: https://other.example/x?token=1\r\n"),
         "HTTP 302 Found: a redirect to other.example, which is not followed (final)"),
        (reply("304 Same"), "HTTP 304 Same: a redirect, which is not followed (final)"),
        (b"hello\r\n\r\n", "its reply is not HTTP"),
        (b"x" * 100_000, "its reply is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "it closed the connection without a reply"),
    ],
)  # fmt: skip
def test_only_2xx_counts_as_sent(answer: bytes, reason: str) -> None:
    with WebhookServer([answer]) as server:
        assert send(server.url) in {reason, "connection reset by peer" if len(answer) > 1000 else reason}
        assert len(server.posted) == 1


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        ("429 Slow down", "Retry-After: 30\r\n", 30.0),
        ("503 Busy", "retry-after:7\r\n", 7.0),
        ("429 Slow down", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 0.0),
        ("429 Slow down", "Retry-After: -5\r\n", 0.0),
        ("429 Slow down", "", 0.0),
        ("404 Not Found", "Retry-After: 30\r\n", 0.0),
    ],
)
def test_an_endpoint_can_say_when_it_wants_the_next_try(status: str, header: str, seconds: float) -> None:
    with WebhookServer([reply(status, header)]) as server, pytest.raises(NotSent) as raised:
        WebhookTransport(server.url).send("abc.1", b"{}", mono() + 20.0)

    assert raised.value.retry_after == seconds


def test_a_reply_of_any_size_is_cut_off() -> None:
    with WebhookServer([b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000_000]) as server:
        assert send(server.url) == ""


def test_a_connection_that_is_reset_is_said() -> None:
    def reset() -> None:
        client, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset)
        thread.start()
        reason = send(f"http://127.0.0.1:{listener.getsockname()[1]}/", body=b"x" * 1_000_000)
        thread.join()

    assert reason in {"connection reset by peer", "broken pipe"}


def test_an_address_that_never_answers_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full, WebhookServer([OK]) as server, ExitStack() as clients:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than its queue takes: further ones are not answered
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        addresses = [(*kind, full.getsockname()), (*kind, ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)

        assert send(server.url, seconds=6.0) == ""


def test_an_ipv6_address_is_written_in_brackets() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("LOUD: this machine has no IPv6 on its loopback interface")
    with listener, WebhookServer([OK], listener=listener) as server:
        assert send(f"http://[::1]:{server.port}/hook") == ""

    assert server.posted[0].headers["Host"] == f"[::1]:{server.port}"


def test_an_endpoint_that_does_not_answer_ends_with_its_time() -> None:
    with WebhookServer([HANG]) as server:
        assert send(server.url, seconds=0.2) == "no answer within 200ms"


def test_an_endpoint_that_sends_a_byte_now_and_then_ends_with_its_time() -> None:
    is_over = threading.Event()

    def trickle() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not is_over.wait(0.01):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle)
        thread.start()
        reason = send(f"http://127.0.0.1:{listener.getsockname()[1]}", seconds=0.3)
        is_over.set()
        thread.join()

    assert reason == "no answer within 300ms"


def test_a_port_at_which_nothing_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"

    assert send(url) == "connection refused"


def test_an_abort_ends_a_send_and_all_later_ones() -> None:
    with WebhookServer([HANG]) as server:
        transport = WebhookTransport(server.url)
        reasons: list[str] = []

        def send_for_long() -> None:
            try:
                transport.send("abc.1", b"{}", mono() + 60)
            except NotSent as error:
                reasons.append(str(error))

        thread = threading.Thread(target=send_for_long)
        thread.start()
        server.wait(lambda posted: len(posted) == 1)
        transport.abort()
        thread.join()
        with pytest.raises(NotSent, match="the program is ending"):
            transport.send("abc.2", b"{}", mono() + 60)

    assert reasons == ["the program is ending"]
    assert len(server.posted) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "pair.pem", "-out", "c.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    with (folder / "pair.pem").open("a") as file:
        file.write((folder / "c.pem").read_text())
    return folder / "pair.pem"


@contextmanager
def tls_server(certificate: Path) -> Iterator[WebhookServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with WebhookServer([OK], context) as server:
        yield server


def test_a_certificate_that_is_not_trusted_gets_nothing(certificate: Path) -> None:
    with tls_server(certificate) as server:
        reason = send(server.url)

    assert reason == "its certificate is not valid: self-signed certificate"
    assert server.posted == []


def test_a_trusted_certificate_gets_the_message(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tls_server(certificate) as server:
        assert send(server.url) == ""
        assert send(server.url.replace("127.0.0.1", "localhost")).startswith("its certificate is not valid: ")

    assert len(server.posted) == 1


def test_a_server_that_does_not_speak_tls_is_said() -> None:
    with WebhookServer([OK]) as server:
        reason = send(server.url.replace("http:", "https:"), seconds=0.5)

    assert reason
    assert server.posted == []
