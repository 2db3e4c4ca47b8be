"""Targets of webhooks: which URLs are accepted, and which addresses are connected to.

An administrator names the URL, but this service's network may reach more than the administrator. So private,
loopback and link-local addresses are refused, among them those of cloud metadata. The address is checked
after the host name is resolved, and exactly this address is connected to. A name that leads elsewhere a
moment later changes nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from settings import Settings

MAX_URL_CHARS: Final = 2_000
PORTS: Final = {"http": 80, "https": 443}
MAX_PORT: Final = 65_535
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
# IPv6 networks that hide an IPv4 address, and the number of bits to its right.
_HIDES_IPV4: Final = (
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::/96"), 0),
)
# Not all releases of Python count them as private. Local NAT64, Teredo, discard, documentation, site-local:
_PRIVATE_IPV6: Final = tuple(
    map(IPv6Network, ("64:ff9b:1::/48", "2001::/32", "100::/64", "3fff::/20", "5f00::/16", "fec0::/10"))
)
# IETF protocol assignments, where one cloud has its metadata, and relays of 6to4:
_PRIVATE_IPV4: Final = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]


class TargetRefused(Exception):
    """Raised for a URL or an address that no event is sent to. The message is for the administrator."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of an accepted URL. `path` includes the query string."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The value of the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, settings: Settings) -> Target:
    """The parts of a URL. Resolves no name. Raises `TargetRefused` with the reason."""
    if len(url) > MAX_URL_CHARS or not _PRINTABLE.fullmatch(url):
        raise TargetRefused(f"Must be a URL of at most {MAX_URL_CHARS} printable ASCII characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise TargetRefused("Must be a URL like https://example.com/hooks.") from None
    if parts.scheme not in PORTS or not host or "\\" in url:
        raise TargetRefused("Must be a URL like https://example.com/hooks.")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("Must have no user name or password.")
    if parts.fragment:
        raise TargetRefused("Must have no fragment.")
    if parts.scheme == "http" and settings.production and not settings.webhook_allow_private:
        raise TargetRefused("Must begin with https: events would cross the network unencrypted.")
    if port == 0:
        raise TargetRefused("The port must be 1 to 65535.")
    target = Target(
        parts.scheme,
        host,
        port or PORTS[parts.scheme],
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
    if not settings.webhook_allow_private:
        _refuse_plain_names(host)
    return target


def _refuse_plain_names(host: str) -> None:
    """Refuse addresses and names that are private without a look at DNS, for an early answer."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        raise TargetRefused("The host is not public.")
    address = _literal(name)
    if address is not None:
        refuse_private(address)


def _literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that resolvers accept, such as 127.1 or 0x7f000001."""
    try:
        return ip_address(host.split("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def refuse_private(address: Address) -> None:
    """Raise `TargetRefused` unless an address is public, with every IPv4 address that it hides."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            refuse_private(address.ipv4_mapped)
            return
        for network, shift in _HIDES_IPV4:
            if address in network:
                refuse_private(IPv4Address((int(address) >> shift) & 0xFFFF_FFFF))
        if any(address in network for network in _PRIVATE_IPV6):
            raise TargetRefused("The address is not public.")
    elif any(address in network for network in _PRIVATE_IPV4):
        raise TargetRefused("The address is not public.")
    if not address.is_global or address.is_multicast:
        raise TargetRefused("The address is not public.")


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, in the system's order. Raises `OSError`. Blocks for the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def addresses_of(target: Target, settings: Settings, resolver: Resolver = resolve) -> Sequence[str]:
    """The addresses of a target, resolved now. Connect to these, and resolve no name again.

    Raises `TargetRefused` if any of them is private, unless `WEBHOOK_ALLOW_PRIVATE` is set. Raises `OSError`
    if the name cannot be resolved.
    """
    found = resolver(target.host, target.port)
    if not found:
        raise OSError("The host has no address.")
    if not settings.webhook_allow_private:
        for each in found:
            refuse_private(ip_address(each.split("%")[0]))
    return found
