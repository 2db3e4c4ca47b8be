"""The address of a request's client, and a limit of the requests that each address has open at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from werkzeug.wsgi import ClosingIterator

import metrics
from errors import TooManyFromAddress

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from a2wsgi.asgi_typing import HTTPScope

# A longer chain of proxies is read no further. Its client is then the last proxy that was read.
MOST_HOPS: Final = 32
# The longest text that can be an address: IPv6 with brackets, zone and port.
MOST_CHARS: Final = 64
HELD: Final = "evzone.held"
# A home or a rented machine is given a whole IPv6 network of this size.
IPV6_PREFIX_BITS: Final = 64


class ClientAddresses:
    """Finds the address of each request's client. Thread-safe; never raises for the text of a header.

    `trusted`: proxies whose `X-Forwarded-For` is believed. The header of any other peer is ignored: everybody
    can send one.
    """

    def __init__(self, trusted: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._trusted = trusted

    def of(self, peer: str, forwarded: str | None) -> str:
        """The client's address, or the empty text if the connection has none, as with a Unix socket.

        `forwarded` is `X-Forwarded-For`, several joined by commas. Each proxy appends its own peer there, so
        the client is the right-most address that is no trusted proxy. A malformed one ends the search: the
        last address that was read is the client's.
        """
        if not self._trusted and ":" not in peer:
            return peer
        found = _parsed(peer)
        if found is None:
            return ""
        hops = reversed(forwarded.rsplit(",", MOST_HOPS)) if forwarded else iter(())
        while self._is_proxy(found) and (hop := _parsed(next(hops, ""))) is not None:
            found = hop
        return str(found)

    def of_scope(self, scope: HTTPScope) -> str:
        """The client's address of an ASGI request."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self._trusted:
            return self.of(peer, None)
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return self.of(peer, b",".join(values).decode("latin-1"))

    def _is_proxy(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    return _address(text) if len(text) <= MOST_CHARS else None


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address as proxies write it: `1.2.3.4`, `1.2.3.4:5678`, `::1`, `[::1]`, `[::1]:5678`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])  # without the zone
    except ValueError:
        return None
    # A socket for both versions reports IPv4 clients like this.
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=4096)
def owner_of(address: str) -> str:
    """The part of an address by which its requests are counted: of IPv6 the network, `/64`."""
    if ":" not in address:
        return address
    return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))


class OpenRequests:
    """Bounds the requests that one address has open at once. Thread-safe. Holds open requests only.

    A request is open until its response has been sent or its client has disconnected.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count a request within the context. Raises `TooManyFromAddress` on entry.

        A request without an address is not counted.
        """
        if not address:
            yield
            return
        owner = owner_of(address)
        with self._lock:
            count = self._open.get(owner, 0)
            if count < self._most:
                self._open[owner] = count + 1
        if count >= self._most:
            metrics.REQUESTS_LIMITED.labels(limit="address").inc()
            raise TooManyFromAddress(f"This address has {self._most} requests open already.")
        try:
            yield
        finally:
            with self._lock:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]

    @property
    def addresses(self) -> int:
        """The number of addresses that have a request open."""
        return len(self._open)


def held_until_sent(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call a WSGI application that may enter contexts in the stack `environ[HELD]`.

    They are left when the response has been sent, or the client has disconnected.
    """
    with ExitStack() as held:
        environ[HELD] = held
        body = app(environ, start_response)
        return ClosingIterator(body, held.pop_all().close)
