"""One attempt: signature, time-out, size of the answer."""

from __future__ import annotations

import base64
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tasks.notify import sending
from tasks.notify.cloud_events import Event, event_id, job_ended
from tests.certificates import make_authority, make_certificate
from tests.processes import settings_for
from tests.webhook_sink import webhook_sink

OPEN = dataclasses.replace(settings_for(), webhook_allow_private=True)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.mark.owasp("API8", "webhooks are signed as Standard Webhooks says")
def test_a_receiver_can_verify_the_signature() -> None:
    body = '{"unit": "µ"}'.encode()
    headers = sending.signed_headers(SECRET, "job_1", body, at=time.time())
    assert Webhook(SECRET).verify(body, headers) == {"unit": "µ"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers | {"webhook-id": "job_2"})
    late = sending.signed_headers(SECRET, "job_1", body, at=time.time() - 600)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, late)


def test_a_damaged_secret_is_an_error() -> None:
    with pytest.raises(ValueError, match="base64"):
        sending.signed_headers("whsec_%", "job_1", b"", at=0)


@pytest.mark.parametrize(
    ("status", "delivered", "unwanted"),
    [(200, True, False), (202, True, False), (204, True, False), (299, True, False)]
    + [(status, False, status == 410) for status in (301, 307, 400, 404, 410, 429, 500, 503)],
)
def test_an_answer_of_2xx_alone_is_a_delivery(status: int, delivered: bool, unwanted: bool) -> None:
    with webhook_sink() as sink:
        sink.status, sink.headers = status, {"Location": sink.url}
        attempt = sending.post(sink.url, b"{}", {"webhook-id": "x"}, OPEN)
        assert (attempt.status, attempt.delivered, attempt.unwanted) == (status, delivered, unwanted)
        assert len(sink.received) == 1
        assert sink.received[0].headers["content-type"] == "application/cloudevents+json"


@contextmanager
def talking(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """The URL of a server that handles its only connection by `talk`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(10)
        assert not thread.is_alive()


def until_closed(connection: socket.socket, piece: bytes, pause_s: float) -> int:
    """Send pieces until the other side is gone. Returns the number of bytes."""
    sent = 0
    while True:
        try:
            connection.sendall(piece)
        except OSError:
            return sent
        sent += len(piece)
        time.sleep(pause_s)


@pytest.mark.owasp("API10", "a receiver that answers byte by byte is left after the time-out")
def test_an_answer_byte_by_byte_does_not_outlast_the_time_out() -> None:
    with talking(lambda connection: until_closed(connection, b"H", 0.05)) as url:
        attempt = sending.post(url, b"{}", {}, OPEN, timeout_s=1)
    assert attempt == sending.Attempt(None, "no answer within 1 s")


@pytest.mark.owasp("API10", "of a receiver's answer at most 1 kB is read")
def test_an_endless_answer_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent: list[int] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        sent.append(until_closed(connection, chunk, 0))

    with talking(talk) as url:
        assert sending.post(url, b"{}", {}, OPEN) == sending.Attempt(200)
    assert sent


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1_000, b"\x16\x03\x01\x02"]
)
def test_an_answer_that_is_none_is_an_error(answer: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(65_536):
            pass

    with talking(talk) as url:
        attempt = sending.post(url, b"{}", {}, OPEN)
    assert attempt.status is None
    assert attempt.error


@pytest.mark.owasp("API7", "a receiver's certificate must be that of the name, and of a known authority")
@pytest.mark.parametrize(
    ("name", "known", "error"),
    [
        ("hooks.example", True, ""),
        ("other.example", True, "SSLCertVerificationError"),
        ("hooks.example", False, "SSLCertVerificationError"),
    ],
)
def test_the_certificate_must_be_that_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: bool, error: str
) -> None:
    authority = make_authority(tmp_path)
    certificate = make_certificate(authority, "receiver", addresses="DNS:hooks.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate.certfile, certificate.keyfile)
    trusting = ssl.create_default_context(cafile=str(authority.certfile) if known else None)
    monkeypatch.setattr(sending, "tls_context", lambda: trusting)
    names: list[str | None] = []
    serving.sni_callback = lambda connection, asked, context: names.append(asked)

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), serving.wrap_socket(connection, server_side=True) as secure:
            asked = b""
            while not asked.endswith(b"{}"):
                asked += secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with talking(talk) as url:
        target = url.replace("http://127.0.0.1", f"https://{name}")
        attempt = sending.post(target, b"{}", {}, OPEN, resolver=lambda *_: ["127.0.0.1"])
    assert names == [name]
    assert attempt.error.partition(":")[0] == error


def test_a_handshake_that_does_not_go_on_is_left_after_the_time_out() -> None:
    with talking(lambda connection: until_closed(connection, b"\x16", 0.05)) as url:
        attempt = sending.post(url.replace("http:", "https:"), b"{}", {}, OPEN, timeout_s=1)
    assert attempt.error


def test_a_target_that_accepts_and_says_nothing_is_left_after_the_time_out() -> None:
    with talking(lambda connection: list(iter(lambda: connection.recv(65_536), b""))) as url:
        attempt = sending.post(url, b"{}", {}, OPEN, timeout_s=0.5)
    assert attempt == sending.Attempt(None, "no answer within 0.5 s")


def test_an_event_is_a_cloud_event() -> None:
    job = {
        "job_id": "j",
        "kind": "failure",
        "status": "SUCCEEDED",
        "total": 3,
        "done": 3,
        "failed": 1,
        "created_at": "2026-11-30T10:00:00.000Z",
        "started_at": "2026-11-30T10:00:01.000Z",
        "finished_at": "2026-11-30T10:00:02.000Z",
        "tenant_id": "acme",
        "errors": [{"detail": "charger EVZ-1"}],
    }
    made = job_ended(job, at=1_800_000_000.0)
    again = job_ended(job, at=1_800_000_001.0)
    assert made.event_id == again.event_id
    assert b"EVZ-1" not in made.document()


def test_ids_differ_by_cause_and_have_no_dots() -> None:
    ids = {event_id("a", "x", None), event_id("a", "x", ""), event_id("a", "xy"), event_id("b", "x", "y")}
    assert len(ids) == 4
    assert not any("." in each for each in ids)
    assert Event("id", "job.ended", 0, "s", {}).tenant is None
