"""The client's address behind proxies that are trusted and others, and the count of open requests."""

from __future__ import annotations

from contextlib import ExitStack
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import TooManyFromAddress
from web.http.addresses import HELD, ClientAddresses, OpenRequests, held_until_sent, owner_of

PROXIES = ClientAddresses((ip_network("10.0.0.0/8"), ip_network("::1"), ip_network("127.0.0.1")))
NO_PROXY = ClientAddresses(())


@pytest.mark.owasp("API4", "a forged X-Forwarded-For changes no client's address")
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Only a proxy's header is believed.
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.1.2.3", None, "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("::1", "203.0.113.9", "203.0.113.9"),
        # The client wrote the left part itself.
        ("10.1.2.3", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "192.0.2.1,203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.1.2.3", "10.4.4.4, 10.5.5.5", "10.4.4.4"),
        # As proxies write it.
        ("10.1.2.3", "203.0.113.9:4711", "203.0.113.9"),
        ("10.1.2.3", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.1.2.3", "[2001:db8::7]", "2001:db8::7"),
        ("10.1.2.3", "2001:DB8:0::7", "2001:db8::7"),
        ("10.1.2.3", "fe80::7%eth0", "fe80::7"),
        ("::ffff:10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"),
        # Malformed ones end the search.
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9, nonsense", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9, , 10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", "203.0.113.999", "10.1.2.3"),
        ("10.1.2.3", "1" * 5000, "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9, " + "10.0.0.1, " * 40 + "10.0.0.2", "10.0.0.1"),
        # A Unix socket has no address.
        ("", "203.0.113.9", ""),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy(
    peer: str, forwarded: str | None, client: str
) -> None:
    assert PROXIES.of(peer, forwarded) == client


def test_without_proxies_the_peer_is_the_client() -> None:
    assert NO_PROXY.of("10.1.2.3", "203.0.113.9") == "10.1.2.3"
    assert NO_PROXY.of("::ffff:10.1.2.3", "203.0.113.9") == "10.1.2.3"
    assert NO_PROXY.of("", "203.0.113.9") == ""


@given(st.text(max_size=200), st.text(alphabet="0123456789.:,[]% af\x00é", max_size=200))
def test_any_header_gives_an_address(peer: str, forwarded: str) -> None:
    for found in (PROXIES.of(peer, forwarded), PROXIES.of("10.1.2.3", forwarded), NO_PROXY.of(peer, None)):
        owner_of(found)


def test_both_ways_in_find_the_same_address() -> None:
    scope: Any = {"client": ("10.1.2.3", 4711), "headers": [(b"x-forwarded-for", b"192.0.2.1")]}
    assert PROXIES.of_scope(scope) == "192.0.2.1"
    scope["headers"].append((b"x-forwarded-for", b"203.0.113.9"))
    assert PROXIES.of_scope(scope) == PROXIES.of("10.1.2.3", "192.0.2.1,203.0.113.9") == "203.0.113.9"
    assert NO_PROXY.of_scope(scope) == "10.1.2.3"
    scope["client"] = None
    assert NO_PROXY.of_scope(scope) == ""


def test_an_ipv6_network_counts_as_one() -> None:
    assert owner_of("2001:db8:1:2:3::4") == owner_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert owner_of("2001:db8:1:3::4") != owner_of("2001:db8:1:2::4")
    assert owner_of("203.0.113.9") == "203.0.113.9"


def test_an_address_has_so_many_requests_open_and_others_are_free() -> None:
    requests = OpenRequests(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(requests.one("203.0.113.9"))
        for _ in range(3):
            with pytest.raises(TooManyFromAddress), requests.one("203.0.113.9"):
                pass
        held.enter_context(requests.one("203.0.113.8"))
        assert requests.addresses == 2
    assert requests.addresses == 0
    with requests.one("203.0.113.9"):
        assert requests.addresses == 1


def test_a_request_without_an_address_is_not_counted() -> None:
    requests = OpenRequests(1)
    with requests.one(""), requests.one(""):
        assert requests.addresses == 0


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_is_held_is_left_when_the_answer_is_closed_or_fails(is_closed: bool) -> None:
    requests = OpenRequests(1)

    def app(environ: dict[str, Any], _: Any) -> list[bytes]:
        environ[HELD].enter_context(requests.one("203.0.113.9"))
        if not is_closed:
            raise ValueError
        return [b"part"]

    if is_closed:
        body: Any = held_until_sent(app, {}, None)  # type: ignore[arg-type]  # it is only passed on
        assert requests.addresses == 1
        assert list(body) == [b"part"]
        body.close()
    else:
        with pytest.raises(ValueError):  # noqa: PT011  # raised above
            held_until_sent(app, {}, None)  # type: ignore[arg-type]  # it is only passed on
    assert requests.addresses == 0
