"""Keys made by the command count in every process, and end when they are revoked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import orjson
import pytest
from redis import Redis

from settings import Limits
from tasks.storage.api_keys import KEYS_KEY, KeyStore, StoredKey
from tests.api_keys import created, run, status, wait_for
from tests.processes import Web, environment, wait_until
from tests.services import RunningServer, start_redis

RELOAD = "/api/v1/models/reload"
# The second after many wrong keys, which a test sends that waits for a key to count.
NO_KEY = (401, 429)


@pytest.fixture(scope="module")
def redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def web(redis: RunningServer) -> Iterator[Web]:
    with Web(environment(redis.url)) as web:
        yield web


@pytest.mark.owasp("API2", "a revoked key is refused by all processes")
def test_a_key_counts_until_it_is_revoked(redis: RunningServer, web: Web) -> None:
    key = created(redis, "--role", "read")
    prefix, key_id, secret = key.split("_", 2)
    assert (prefix, len(key_id), len(secret)) == ("evz", 8, 43)
    wait_for(web, key, 200)
    assert status(web, key, RELOAD, method="POST") == 403
    assert run(redis, "revoke", key_id).returncode == 0
    wait_for(web, key, *NO_KEY)
    again = run(redis, "revoke", key_id)
    assert (again.returncode, again.stderr) == (
        1,
        f"web.keys: there is no key {key_id}; `list` has the ids\n",
    )


@pytest.mark.owasp("API1", "a key made for a tenant acts for no other")
def test_a_key_of_a_tenant_acts_for_no_other(redis: RunningServer, web: Web) -> None:
    one = created(redis, "--role", "predict", "--tenant", "acme")
    two = created(redis, "--role", "read", "--tenant", "acme", "--tenant", "volt")
    wait_for(web, one, 200)
    wait_until(lambda: status(web, two, tenant="volt") == 200, what="the second key")
    assert status(web, one, tenant="volt") == 403
    assert status(web, two) == 422
    assert status(web, one, RELOAD, method="POST") == 403


@pytest.mark.owasp("API2", "Redis, lists and logs hold no key")
def test_only_the_hash_of_a_key_is_stored_and_listed(redis: RunningServer, web: Web) -> None:
    key = created(redis, "--role", "predict", "--role", "read", "--expires", "90d")
    secret = key.split("_", 2)[2]
    with Redis.from_url(redis.url) as client:
        held = b"".join(client.hvals(KEYS_KEY))
    listed = run(redis, "list").stdout
    assert secret.encode() not in held
    assert secret not in listed
    (line,) = [line for line in listed.splitlines() if line.startswith(key.split("_")[1])]
    assert "a test" in line
    assert "predict,read" in line
    assert secret not in web.log()


@pytest.mark.owasp("API2", "keys can be rotated and expire")
def test_a_rotated_key_goes_on_for_a_while(redis: RunningServer, web: Web) -> None:
    old = created(redis, "--role", "read", "--tenant", "acme")
    done = run(redis, "rotate", old.split("_")[1], "--keep-old", "1m")
    new = done.stdout.strip()
    wait_for(web, new, 200)
    assert status(web, old) == 200
    assert status(web, new, tenant="volt") == 403
    with Redis.from_url(redis.url) as client:
        record = orjson.loads(client.hget(KEYS_KEY, old.split("_")[1]) or b"")
        assert time.time() < record["expires_at"] <= time.time() + 60
        client.hset(KEYS_KEY, record["key_id"], orjson.dumps(record | {"expires_at": time.time()}))
    wait_for(web, old, *NO_KEY)
    assert status(web, new) == 200


def test_limits_are_listed_and_go_with_the_rights(redis: RunningServer) -> None:
    key = created(redis, "--role", "predict", "--limit", "readings_per_second=100", "--limit", "jobs=5")
    none = created(redis, "--role", "predict")
    new = run(redis, "rotate", key.split("_")[1]).stdout.strip()
    listed = {line.split()[0]: line for line in run(redis, "list").stdout.splitlines()}
    for limited in (key, new):
        assert listed[limited.split("_")[1]].endswith("  readings_per_second=100,jobs=5")
    assert listed[none.split("_")[1]].endswith("  none")
    with Redis.from_url(redis.url) as client:
        stored = {each.key_id: each for each in KeyStore(client).all()}
        assert stored[new.split("_")[1]].limits == Limits(readings_per_second=100, jobs=5)
        # A record of the release before has no limits, one of the next release may have others.
        record = asdict(stored[new.split("_")[1]])
        for limits in ({}, {"limits": {"jobs": 5, "watts": 7}}):
            older = {name: value for name, value in record.items() if name != "limits"} | limits
            assert StoredKey.of_record(older).limits == Limits(jobs=5 if limits else 0)


def test_records_that_cannot_be_read_cost_no_other_key(redis: RunningServer, web: Web) -> None:
    key = created(redis, "--role", "read")
    with Redis.from_url(redis.url) as client:
        for number, bad in enumerate((b"{", b"[]", b"null", b'{"roles": 7}', b'{"key_id": "x"}')):
            client.hset(KEYS_KEY, f"bad{number}", bad)
        later = created(redis, "--role", "read")
        wait_for(web, later, 200)
        assert status(web, key) == 200
        assert run(redis, "list").returncode == 0
        client.hdel(KEYS_KEY, *(f"bad{number}" for number in range(5)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--name", "x"), "--role"),
        (("create", "--name", "x", "--role", "owner"), "invalid choice"),
        (("create", "--name", "x", "--role", "read", "--tenant", "a b"), "must be 1 to 64 characters"),
        (("create", "--name", "x", "--role", "read", "--expires", "2020-01-01"), "is past already"),
        (("create", "--name", "x", "--role", "read", "--expires", "soon"), "must be a time like 90d"),
        (("create", "--name", "x", "--role", "read", "--limit", "jobs"), "must have a whole number"),
        (("create", "--name", "x", "--role", "read", "--limit", "jobs=0"), "must have a whole number"),
        (("create", "--name", "x", "--role", "read", "--limit", "watts=7"), "must be one of readings_per_"),
        (("create", "--name", "x\ny", "--role", "read"), "must be 1 to 64 letters"),
        (("create", "--name", "x", "--role", "admin", "--tenant", "acme"), "leave out --tenant"),
    ],
)
def test_what_makes_no_sense_is_refused(redis: RunningServer, arguments: tuple[str, ...], said: str) -> None:
    done = run(redis, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not done.stdout


def test_keys_read_before_count_while_redis_is_away() -> None:
    with start_redis() as server, Web(environment(server.url)) as web:
        key = created(server, "--role", "read")
        wait_for(web, key, 200)
        server.kill()
        assert status(web, key) == 503  # accepted, and Redis is missed only later
        unreachable = run(server, "list")
        assert (unreachable.returncode, "Redis cannot be reached" in unreachable.stderr) == (2, True)
        server.restart()
        wait_for(web, key, 200)


@pytest.mark.owasp("API2", "both web servers check the same keys")
def test_both_ways_in_know_the_same_keys(redis: RunningServer) -> None:
    key = created(redis, "--role", "read", "--tenant", "acme")
    with Web(environment(redis.url), server="gunicorn") as web:
        wait_until(partial(status, web, key), what="an answer")
        wait_for(web, key, 200)
        assert status(web, key, tenant="volt") == 403
