"""One attempt to deliver an event: a signed POST to a checked address.

The signature is that of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. The standard's HTTP client
follows no redirect and reads no proxy from the environment. Both could lead to an unchecked address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Final

from settings import VERSION, Settings
from tasks.notify.cloud_events import CONTENT_TYPE
from tasks.notify.targets import Resolver, Target, TargetRefused, addresses_of, parse_target, resolve
from tasks.notify.webhook_store import SECRET_PREFIX

# From the first look at DNS to the end of the answer.
TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 1_024
MAX_ERROR_CHARS: Final = 200
USER_AGENT: Final = f"evzone-ml-service/{VERSION}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt. `status` is that of the answer, None without one.

    `error` is empty if the event was delivered. It never has parts of the secret or the answer's body.
    `hopeless`: a further attempt would fail too.
    """

    status: int | None
    error: str = ""
    hopeless: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the target has accepted the event."""
        return not self.error

    @property
    def unwanted(self) -> bool:
        """Whether the target wants no more events."""
        return self.status == HTTPStatus.GONE


def signed_headers(secret: str, event_id: str, body: bytes, *, at: float) -> dict[str, str]:
    """The headers of Standard Webhooks. `at` in epoch seconds. Raises `ValueError` for a damaged secret."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    timestamp = str(int(at))
    signed = hmac.new(key, b".".join((event_id.encode(), timestamp.encode(), body)), hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    settings: Settings,
    *,
    resolver: Resolver = resolve,
    timeout_s: float = TIMEOUT_S,
) -> Attempt:
    """Send a body once. Blocks for `timeout_s`, and longer only while the system resolves a name.

    Raises nothing for a target that is refused, unreachable, slow or wrong.
    """
    deadline = time.monotonic() + timeout_s
    try:
        target = parse_target(url, settings)
        sock = connect_first(target, addresses_of(target, settings, resolver), deadline)
    except TargetRefused as error:
        return Attempt(None, f"refused: {error}")
    except (OSError, ValueError) as error:
        return Attempt(None, described(error))
    # A time-out of the socket bounds each read, and an answer may come byte by byte.
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end, (sock,))
    timer.daemon = True
    timer.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        return _exchange(sock, target, body, headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            return Attempt(None, f"no answer within {timeout_s:g} s")
        return Attempt(None, described(error))
    finally:
        timer.cancel()
        sock.close()


def connect_first(target: Target, addresses: Sequence[str], deadline: float) -> socket.socket:
    """A connection to the first of these addresses that accepts one. TLS for https is not yet negotiated.

    Raises `OSError`. Blocks until `deadline` (`time.monotonic()`) at most.
    """
    failed: OSError = TimeoutError("timed out")
    for address in addresses:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        try:
            sock = socket.create_connection((address, target.port), timeout=left_s)
        except OSError as error:
            failed = error
            continue
        if target.scheme == "http":
            return sock
        # The certificate must be that of the name, although the address is connected to.
        return tls_context().wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
    raise failed


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies certificates by the system's authorities, or those of `SSL_CERT_FILE`."""
    return ssl.create_default_context()


def _exchange(sock: socket.socket, target: Target, body: bytes, headers: Mapping[str, str]) -> Attempt:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = sock
    sent = {
        "Host": target.host_header,
        "User-Agent": USER_AGENT,
        "Content-Type": CONTENT_TYPE,
        "Accept-Encoding": "identity",
        "Connection": "close",
        **headers,
    }
    connection.request("POST", target.path, body, sent)
    answer = connection.getresponse()
    answer.read(MAX_ANSWER_BYTES)
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Attempt(answer.status)
    return Attempt(answer.status, f"answered {answer.status}")


def end(sock: socket.socket) -> None:
    """End a connection, so that the thread that reads or writes wakes. Raises nothing."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def described(error: Exception) -> str:
    """An error in one line, for people."""
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
