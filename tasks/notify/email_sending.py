"""One attempt to send an e-mail: a session with the server of `SMTP_HOST`, within a deadline."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Final

from settings.smtp import Smtp
from tasks.notify.email_text import email_of, plain
from tasks.notify.sending import Attempt, connect_first, described, end, tls_context
from tasks.notify.targets import Target, resolve

# Of a whole session, from the first look at DNS to the end of the last answer.
TIMEOUT_S: Final = 15.0
OK: Final = 250
# 251 and 252: the server forwards, or does not check, an address and takes the e-mail.
TAKEN: Final = (250, 251, 252)
PERMANENT: Final = 500


def send(
    event_id: str,
    body: bytes,
    smtp: Smtp,
    *,
    reached: Sequence[str] = (),
    note: Callable[[list[str]], None] = lambda names: None,
    timeout_s: float = TIMEOUT_S,
) -> Attempt:
    """Send the e-mail of an event or a digest once, to those who do not have it yet.

    `reached` are the `name_of` recipients who have it. If only a part of the others gets it, `note` is called
    with all who have it. Blocks for `timeout_s`, and longer only while the system resolves a name. Raises the
    errors of `note` alone.
    """
    if not smtp.wanted:
        return Attempt(None, "SMTP_HOST is not set for this worker; remove the target to end e-mails")
    try:
        message = email_of(event_id, body, smtp)
    except Exception as error:  # of an event of another release
        return Attempt(None, f"no text: {described(error)}", hopeless=True)
    deadline = time.monotonic() + timeout_s
    try:
        target = Target("http", smtp.host, smtp.port, "/")  # http: no TLS yet
        sock = connect_first(target, resolve(smtp.host, smtp.port), deadline)
    except OSError as error:
        return Attempt(None, described(error))
    # TLS takes the socket over, so the timer has a descriptor of its own.
    handle = sock.dup()
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end, (handle,))
    timer.daemon = True
    timer.start()
    rest = [each for each in smtp.recipients if name_of(each) not in reached]
    try:
        if smtp.tls == "tls":
            sock = tls_context().wrap_socket(sock, server_hostname=smtp.host)
        with closing(_Session(sock, smtp)) as session:
            _log_in(session, smtp)
            refused = _deliver(session, message, rest, smtp)
    except smtplib.SMTPResponseException as error:
        return _refusal(error)
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        if time.monotonic() >= deadline:
            return Attempt(None, f"no answer within {timeout_s:g} s")
        return Attempt(None, described(error))
    finally:
        timer.cancel()
        handle.close()
        sock.close()
    if refused and len(refused) < len(rest):
        note([*reached, *(name_of(each) for each in rest if each not in refused)])
    return _of_recipients(refused)


def name_of(recipient: str) -> str:
    """Stands for a recipient in Redis, where no address is kept."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


class _Session(smtplib.SMTP):
    """A session on a socket that is connected already. Raises `smtplib.SMTPException` or `OSError`."""

    def __init__(self, sock: socket.socket, smtp: Smtp) -> None:
        self._connected = sock
        # Without a name of its own it would look up this host's, without a deadline.
        domain = smtp.sender.rpartition("@")[2]
        super().__init__(smtp.host, smtp.port, local_hostname=domain, timeout=TIMEOUT_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._connected


def _log_in(session: _Session, smtp: Smtp) -> None:
    """Encrypt and log in, as the settings ask for. Never goes on without TLS."""
    if smtp.tls == "starttls":
        session.starttls(context=tls_context())
    session.ehlo_or_helo_if_needed()
    if smtp.user:
        session.login(smtp.user, smtp.password)


def _deliver(session: _Session, message: bytes, recipients: list[str], smtp: Smtp) -> dict[str, int]:
    """Send to all recipients that the server takes. Returns the codes of those that it refuses."""
    refused: dict[str, int] = {}
    if not recipients:
        return refused
    code, text = session.mail(smtp.sender)
    if code != OK:
        raise smtplib.SMTPSenderRefused(code, text, smtp.sender)
    for each in recipients:
        code, _ = session.rcpt(each)
        if code not in TAKEN:
            refused[each] = code
    if len(refused) < len(recipients):
        code, text = session.data(message)
        if code != OK:
            raise smtplib.SMTPDataError(code, text)
    with suppress(OSError):
        session.quit()
    return refused


def _refusal(error: smtplib.SMTPResponseException) -> Attempt:
    """A refusal of the session, the login, the sender or the content. The last two may be for ever.

    A wrong password is no fault of the e-mail. Its answer is not shown: it may repeat what was sent.
    """
    code = error.smtp_code
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Attempt(None, f"the login was refused with {code}")
    said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
    is_final = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError) and code >= PERMANENT
    return Attempt(None, plain(f"answered {code} {said}"), hopeless=is_final)


def _of_recipients(refused: dict[str, int]) -> Attempt:
    if not refused:
        return Attempt(None)
    codes = sorted({*refused.values()})
    error = f"recipients refused: {len(refused)}, with {', '.join(map(str, codes))}"
    return Attempt(None, error, hopeless=codes[0] >= PERMANENT)
