"""Debian's Redis with TLS and a user with few rights: the whole service works, and the user can do no more.

The user is the one of docs/operations.md.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from kombu import Connection
from redis import Redis, ResponseError
from redis.exceptions import ConnectionError

from settings import ROOT
from stack.servers import redis_command
from tasks.storage.redis_connection import connect
from tests.certificates import Certificate, make_authority, make_certificate
from tests.host.programs import require
from tests.processes import settings_for
from tests.services import RunningServer
from tests.stacks import Stack, stack_in

pytestmark = pytest.mark.host

PASSWORD: Final = "password-of-the-service"
# The service asks for the policy of eviction, and goes on without an answer.
REFUSED_BY_DESIGN: Final = {"config|get"}


def documented_user() -> list[str]:
    """The words of `ACL SETUSER …` in docs/operations.md."""
    page = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"^ACL SETUSER (?:.*\\\n)*.*$", page, re.MULTILINE)
    assert found is not None
    words = shlex.split(found[0].replace("\\\n", " ").replace("PASSWORD", PASSWORD))
    return words[2:]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def redis(authority: Certificate) -> Iterator[RunningServer]:
    """A server that speaks TLS alone. Its administrator is the default user, without a password."""
    program = require("redis-server", "redis-server")
    certificate = make_certificate(authority, "redis")

    def command(port: int, folder: Path) -> list[str]:
        tls = {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": str(certificate.certfile),
            "tls-key-file": str(certificate.keyfile),
            "tls-ca-cert-file": str(authority.certfile),
            "tls-auth-clients": "no",
        }
        words = [word for name, value in tls.items() for word in (f"--{name}", value)]
        return [program, *redis_command(port, folder)[1:], *words]

    def answers(port: int) -> bool:
        with administrator(port, authority) as admin:
            try:
                return bool(admin.ping())
            except ConnectionError:
                return False

    url = f"rediss://evzone-ml:{PASSWORD}@localhost:{{port}}/0"
    with RunningServer(command, answers, url) as server:
        with administrator(server.port, authority) as admin:
            admin.execute_command("ACL", "SETUSER", *documented_user())
        yield server


def administrator(port: int, authority: Certificate) -> Redis:
    return Redis(host="localhost", port=port, ssl=True, ssl_ca_certs=str(authority.certfile))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stack_in(tmp_path) as stack:
        yield stack


@pytest.mark.owasp("API8", "the service works over TLS as a Redis user with few rights")
@pytest.mark.timeout(400)
def test_the_whole_service_works_as_a_user_with_few_rights(
    stack: Stack, redis: RunningServer, authority: Certificate
) -> None:
    stack.environment |= {"REDIS_URL": redis.url, "REDIS_SSL_CAFILE": str(authority.certfile)}
    stack.start()
    stack.wait_until_said("Service is ready")
    shown = stack.run("demo", timeout_s=150)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    with administrator(redis.port, authority) as admin:
        denied: list[dict[str, Any]] = admin.acl_log()
    assert {entry["object"] for entry in denied} <= REFUSED_BY_DESIGN, denied


def test_the_user_can_do_no_more(redis: RunningServer, authority: Certificate) -> None:
    settings = settings_for(redis.url, REDIS_SSL_CAFILE=str(authority.certfile))
    with connect(settings.redis_url) as client:
        assert client.ping()
        for command in (
            ("GET", "another:key"),
            ("SET", "another:key", "1"),
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("CONFIG", "GET", "*"),
            ("CONFIG", "SET", "dir", "/tmp"),  # noqa: S108 - refused
            ("ACL", "LIST"),
            ("SHUTDOWN",),
            ("MONITOR",),
            ("PUBLISH", "another channel", "1"),
            ("EVAL", "return redis.call('GET', 'another:key')", "0"),
        ):
            with pytest.raises(ResponseError, match=r"permission|can't access"):
                client.execute_command(*command)


@pytest.mark.owasp("API8", "a Redis whose certificate another authority has signed is refused")
def test_a_server_of_another_authority_is_refused(redis: RunningServer, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    for given in ({"REDIS_SSL_CAFILE": str(other.certfile)}, {}):
        url = settings_for(redis.url, **given).redis_url
        with connect(url) as client, pytest.raises(ConnectionError, match="certificate verify failed"):
            client.ping()
        with Connection(url) as kombu, pytest.raises(ConnectionError, match="certificate verify failed"):
            kombu.connect()


def test_the_name_of_the_server_counts(redis: RunningServer, authority: Certificate) -> None:
    named_otherwise = redis.url.replace("localhost", "127.0.0.2")
    settings = settings_for(named_otherwise, REDIS_SSL_CAFILE=str(authority.certfile))
    with connect(settings.redis_url) as client, pytest.raises(ConnectionError, match=r"127\.0\.0\.2"):
        client.ping()
