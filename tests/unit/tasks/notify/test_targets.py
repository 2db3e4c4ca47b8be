"""Which URLs and addresses events are sent to."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from tasks.notify import sending
from tasks.notify.targets import TargetRefused, addresses_of, parse_target
from tests.processes import settings_for
from tests.webhook_sink import webhook_sink

SETTINGS = settings_for()
OPEN = dataclasses.replace(SETTINGS, webhook_allow_private=True)
PRODUCTION = dataclasses.replace(SETTINGS, environment="production")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com", ("https", "example.com", 443, "/", "example.com")),
        ("https://Example.com:8443/a/b?c=d", ("https", "example.com", 8443, "/a/b?c=d", "example.com:8443")),
        ("http://example.com:80/", ("http", "example.com", 80, "/", "example.com")),
        ("https://[2606:4700::1111]:444/x", ("https", "2606:4700::1111", 444, "/x", "[2606:4700::1111]:444")),
        ("https://1.1.1.1/", ("https", "1.1.1.1", 443, "/", "1.1.1.1")),
    ],
)
def test_a_public_url_is_accepted(url: str, parts: tuple[str, str, int, str, str]) -> None:
    found = parse_target(url, SETTINGS)
    assert (found.scheme, found.host, found.port, found.path, found.host_header) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hooks",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///hooks",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:x/",
        "https://[::1/",
        "https://exam ple.com/",
        "https://example.com/\r\nX-Injected: 1",
        "https://exämple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/" + "x" * 2_000,
    ],
)
def test_what_is_no_url_for_events_is_refused(url: str) -> None:
    for settings in (SETTINGS, OPEN):
        with pytest.raises(TargetRefused):
            parse_target(url, settings)


@pytest.mark.owasp("API8", "in production events are sent by https alone")
def test_production_wants_https() -> None:
    with pytest.raises(TargetRefused, match="https"):
        parse_target("http://example.com/", PRODUCTION)
    assert parse_target("https://example.com/", PRODUCTION)
    both = dataclasses.replace(PRODUCTION, webhook_allow_private=True)
    assert parse_target("http://10.0.0.1/", both).host == "10.0.0.1"


PRIVATE_HOSTS = [
    *("localhost", "LOCALHOST.", "a.localhost", "metadata.google.internal", "printer.local"),
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "0"),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe"),
    *("198.18.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.192"),
    *("[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::1]"),
    *("[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]", "[::127.0.0.1]", "[2001:db8::1]"),
]


@pytest.mark.owasp("API7", "webhooks at private and loopback addresses are refused in every spelling")
@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_a_private_host_is_refused_early(host: str) -> None:
    with pytest.raises(TargetRefused, match="not public"):
        parse_target(f"https://{host}/hooks", SETTINGS)
    assert parse_target(f"https://{host}/hooks", OPEN)


@pytest.mark.owasp("API7", "a name that leads to a private address is refused after its resolution")
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "fd00:ec2::254"],
)
def test_a_name_with_any_private_address_is_refused(address: str) -> None:
    target = parse_target("https://example.com/", SETTINGS)
    with pytest.raises(TargetRefused):
        addresses_of(target, SETTINGS, lambda host, port: ["1.1.1.1", address])
    assert addresses_of(target, OPEN, lambda host, port: [address]) == [address]
    assert addresses_of(target, SETTINGS, lambda host, port: ["1.1.1.1"]) == ["1.1.1.1"]


@pytest.mark.owasp("API7", "the address that was checked is the one connected to (DNS rebinding)")
def test_a_name_is_resolved_once_and_its_checked_address_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resolver names a public address first, and a private one to whoever asks again."""
    answers = iter([["192.0.2.7"], ["127.0.0.1"]])
    connected: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        connected.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("tasks.notify.targets.refuse_private", lambda address: None)
    attempt = sending.post(
        "http://rebinding.example/", b"{}", {}, SETTINGS, resolver=lambda host, port: next(answers)
    )
    assert connected == [("192.0.2.7", 80)]
    assert attempt.error.startswith("ConnectionRefusedError")


@pytest.mark.owasp(
    "API7", "a webhook that was added before is refused when its name leads to a private address"
)
def test_nothing_is_sent_to_a_name_that_leads_to_a_private_address() -> None:
    with webhook_sink() as sink:
        attempt = sending.post(
            f"http://rebinding.example:{sink.port}/", b"{}", {}, SETTINGS, resolver=lambda *_: ["127.0.0.1"]
        )
        assert attempt == sending.Attempt(None, "refused: The address is not public.")
        assert sink.received == []


def test_the_host_header_is_that_of_the_url() -> None:
    with webhook_sink() as sink:
        url = f"http://hooks.example:{sink.port}/a?b=c"
        attempt = sending.post(url, b"{}", {}, OPEN, resolver=lambda *_: ["127.0.0.1"])
        assert (attempt.delivered, attempt.status) == (True, 204)
        (received,) = sink.received
        assert received.headers["host"] == f"hooks.example:{sink.port}"
        assert received.path == "/a?b=c"
