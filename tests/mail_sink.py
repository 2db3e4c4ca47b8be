"""A mail server for tests: it keeps each e-mail, and answers as it is told."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from stack.servers import LOOPBACK
from tests.processes import free_port

OK = "250 OK"


@dataclass(frozen=True)
class Mail:
    """One e-mail as it arrived, with the addresses of its envelope."""

    sender: str
    recipients: list[str]
    content: bytes
    is_encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


class MailSink:
    """Accepts e-mails with `answer`, and recipients with `answers`. `password` None: no login is offered."""

    def __init__(self, *, password: str | None = None) -> None:
        self.received: list[Mail] = []
        self.attempts = 0
        self.answer = OK
        self.answers: dict[str, str] = {}
        self.login_answer: str | None = None
        self.before_answer: Callable[[Mail], object] = lambda mail: None
        self.port = 0
        self._password = password

    async def handle_RCPT(  # noqa: N802 - a name of aiosmtpd
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get(address, OK)
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802 - a name of aiosmtpd
        self, server: Any, session: Any, envelope: Envelope
    ) -> str:
        user = session.auth_data
        mail = Mail(
            str(envelope.mail_from),
            [str(each) for each in envelope.rcpt_tos],
            cast(bytes, envelope.original_content),
            server.transport.get_extra_info("ssl_object") is not None,
            user.login.decode() if isinstance(user, LoginPassword) else None,
        )
        self.attempts += 1
        self.before_answer(mail)
        if self.answer == OK:
            self.received.append(mail)
        return self.answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Accepts the password alone."""
        is_right = isinstance(data, LoginPassword) and data.password.decode() == self._password
        return AuthResult(success=is_right, auth_data=data, handled=False)


@contextmanager
def mail_sink(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, password: str | None = None
) -> Iterator[MailSink]:
    """A server on a free port, with STARTTLS or TLS if a context is given, and a login if a password is."""
    sink = MailSink(password=password)
    sink.port = free_port()
    controller = Controller(
        sink,
        hostname=LOOPBACK,
        port=sink.port,
        ssl_context=tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=sink.authenticate if password is not None else None,
        auth_require_tls=starttls is not None,
    )
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
