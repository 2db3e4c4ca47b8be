"""One attempt to send an e-mail: TLS, login, refusals, a server that hangs, several recipients."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from settings.smtp import Smtp
from tasks.notify import email_sending
from tasks.notify.cloud_events import alert_opened
from tasks.notify.email_sending import name_of
from tasks.notify.sending import Attempt
from tests.certificates import make_authority, make_certificate
from tests.mail_sink import mail_sink

PASSWORD = "a-secret-of-mail"
DATA = {"alert": "failure", "opened_at": "2026-11-30T10:00:00.000Z", "closed_at": None, "verdict": None}
EVENT = alert_opened("a" * 24, "CP-1", DATA, tenant=None, at=1.0)


def smtp_of(port: int, **changed: object) -> Smtp:
    given = {"host": "localhost", "port": port, "tls": "off", "sender": "ml@example.com"}
    return Smtp(**{**given, "recipients": ("a@example.com", "b@example.com"), **changed})  # type: ignore[arg-type]  # of several types


def send(smtp: Smtp, **options: object) -> Attempt:
    return email_sending.send(EVENT.event_id, EVENT.document(), smtp, **options)  # type: ignore[arg-type]  # passed on


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Of a server for localhost, of one for another host, and of a client that trusts their authority."""
    authority = make_authority(tmp_path_factory.mktemp("mail"))
    found = {}
    for name, addresses in (("server", "DNS:localhost"), ("other", "DNS:mail.example")):
        made = make_certificate(authority, name, addresses=addresses)
        found[name] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        found[name].load_cert_chain(made.certfile, made.keyfile)
    client = ssl.create_default_context(cafile=str(authority.certfile))
    return SimpleNamespace(**found, client=client)


@pytest.fixture(autouse=True)
def trusted(contexts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_sending, "tls_context", lambda: contexts.client)


def test_an_e_mail_reaches_all_recipients_in_one_session() -> None:
    with mail_sink() as sink:
        assert send(smtp_of(sink.port)).delivered
        (mail,) = sink.received
        assert (mail.sender, mail.recipients) == ("ml@example.com", ["a@example.com", "b@example.com"])
        assert (mail.is_encrypted, mail.user) == (False, None)
        assert mail.message_id == f"<{EVENT.event_id}@example.com>"
        # A recipient sees no other one.
        assert b"a@example.com" not in mail.content


@pytest.mark.owasp("API8", "e-mail is encrypted, logged in, and sent to a server with the right certificate")
@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_an_e_mail_is_sent_encrypted_with_a_login(mode: str, contexts: SimpleNamespace) -> None:
    with mail_sink(password=PASSWORD, **{mode: contexts.server}) as sink:
        assert send(smtp_of(sink.port, tls=mode, user="ml", password=PASSWORD)).delivered
        (mail,) = sink.received
        assert (mail.is_encrypted, mail.user) == (True, "ml")


@pytest.mark.owasp("API8", "e-mail is not sent to a server with the certificate of another host")
@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_a_server_with_the_certificate_of_another_host_gets_nothing(
    mode: str, contexts: SimpleNamespace
) -> None:
    with mail_sink(password=PASSWORD, **{mode: contexts.other}) as sink:
        attempt = send(smtp_of(sink.port, tls=mode, user="ml", password=PASSWORD))
        assert "CERTIFICATE_VERIFY_FAILED" in attempt.error
        assert (attempt.hopeless, sink.attempts) == (False, 0)


@pytest.mark.owasp("API8", "without STARTTLS no e-mail and no password is sent in clear")
def test_a_server_without_starttls_gets_nothing_in_clear() -> None:
    with mail_sink(password=PASSWORD) as sink:
        attempt = send(smtp_of(sink.port, tls="starttls", user="ml", password=PASSWORD))
        assert "STARTTLS" in attempt.error
        assert sink.attempts == 0


@pytest.mark.owasp("API8", "a refused password of e-mail is not shown")
def test_a_refused_login_is_tried_again_and_shows_no_password(contexts: SimpleNamespace) -> None:
    with mail_sink(password="another", starttls=contexts.server) as sink:
        attempt = send(smtp_of(sink.port, tls="starttls", user="ml", password=PASSWORD))
        assert attempt == Attempt(None, "the login was refused with 535")
        assert sink.attempts == 0


@pytest.mark.parametrize(
    ("answer", "hopeless"), [("451 4.7.1 try later", False), ("554 5.7.1 not\x07 this", True)]
)
def test_a_refusal_for_now_is_tried_again_and_one_for_ever_is_not(answer: str, hopeless: bool) -> None:
    with mail_sink() as sink:
        sink.answer = answer
        attempt = send(smtp_of(sink.port))
        assert (attempt.delivered, attempt.hopeless) == (False, hopeless)
        assert attempt.error == f"answered {answer}".replace("\x07", "")


@pytest.mark.parametrize(("answer", "hopeless"), [("450 later", False), ("550 unknown", True)])
def test_a_refused_recipient_keeps_no_other_from_the_e_mail(answer: str, hopeless: bool) -> None:
    noted: list[str] = []
    with mail_sink() as sink:
        sink.answers["b@example.com"] = answer
        attempt = send(smtp_of(sink.port), note=noted.extend)
        assert attempt.error == f"recipients refused: 1, with {answer[:3]}"
        assert attempt.hopeless == hopeless
        assert sink.received[0].recipients == ["a@example.com"]
        assert noted == [name_of("a@example.com")]
        sink.answers.clear()
        assert send(smtp_of(sink.port), reached=noted).delivered
        assert [each.recipients for each in sink.received] == [["a@example.com"], ["b@example.com"]]


def test_an_e_mail_without_any_recipient_that_is_taken_is_not_sent() -> None:
    with mail_sink() as sink:
        sink.answers = {"a@example.com": "550 unknown", "b@example.com": "450 later"}
        attempt = send(smtp_of(sink.port))
        assert (attempt.error, attempt.hopeless) == ("recipients refused: 2, with 450, 550", False)
        assert sink.attempts == 0


@contextmanager
def mute_server(first: bytes) -> Iterator[int]:
    """Says so much, and then one byte a tenth of a second: each read ends, and no answer does."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(first)
                    while not over.wait(0.1):
                        connection.sendall(b"2")
                except OSError:
                    return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.owasp("API4", "a mail server that hangs is given up after a deadline")
@pytest.mark.parametrize("mode", ["off", "starttls", "tls"])
@pytest.mark.parametrize("first", [b"", b"220 here\r\n"])
def test_a_server_that_hangs_is_given_up(mode: str, first: bytes) -> None:
    with mute_server(first) as port:
        attempt = send(smtp_of(port, host="127.0.0.1", tls=mode), timeout_s=0.5)
    assert not attempt.delivered
    assert not attempt.hopeless


def test_a_handshake_that_hangs_is_given_up() -> None:
    """After STARTTLS the socket is another object."""
    with mute_server(b"220 here\r\n250-here\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x03\x3f\xff") as port:
        attempt = send(smtp_of(port, host="127.0.0.1", tls="starttls"), timeout_s=0.5)
    assert attempt.error == "no answer within 0.5 s"


def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    attempt = send(smtp_of(port))
    assert (attempt.delivered, attempt.hopeless) == (False, False)
    assert "refused" in attempt.error


def test_a_worker_without_a_server_says_so() -> None:
    assert "SMTP_HOST" in send(Smtp()).error


def test_an_event_that_has_no_text_is_given_up() -> None:
    attempt = email_sending.send("event", b"{}", smtp_of(1))
    assert attempt.hopeless
    assert attempt.error.startswith("no text: ")
