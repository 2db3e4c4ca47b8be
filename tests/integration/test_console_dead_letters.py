"""The page of dead letters: each tenant sees its own, and administrators for all tenants put them back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from redis import Redis, RedisError

from consumers.kafka.noted_dead_letters import MOST_NOTED, NotedDeadLetters
from consumers.kafka.offsets import PendingRecord
from consumers.kafka.record_processor import send_to_dead_letter
from consumers.kafka.records import Received
from errors import ScoringFailed
from tasks.storage.api_keys import KeyStore
from tasks.storage.audit_log import AUDIT_KEY
from tasks.storage.dead_letter_looks import LOOKS_KEPT_S, MOST_LOOKS, DeadLetterLook, DeadLetterLooks
from tasks.storage.replay_requests import MOST_KEPT, MOST_OPEN, REQUESTS_KEY, ReplayRequests
from tests.console_fleet import HOSTILE
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web, environment, wait_until
from tests.services import RunningServer, start_redis

PAGE, REPLAY = "/system/dead-letters", "/system/dead-letters/replay"
ESCAPED = "&lt;img src=x onerror=alert(1)&gt;"
LOOK = DeadLetterLook(
    code="invalid_reading",
    reason="power: Must be at least 0.",
    topic="charger.metrics",
    partition=2,
    offset=17,
    at=0.0,
    tenant=None,
    key="CP-7",
    text='{"charger_id": "CP-7", "power": -1}',
    size_bytes=35,
    attempts=1,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def service(server: RunningServer) -> Iterator[Web]:
    with Web(environment(server.url)) as web:
        yield web


@pytest.fixture
def redis(server: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(server.url) as connection:
        yield connection
        for pattern in ("ml:dead_letters", "ml:tenant:*:dead_letters", "ml:dlq:*", "ml:api_keys", AUDIT_KEY):
            for key in connection.scan_iter(pattern):
                connection.delete(key)


@pytest.fixture
def admin(service: Web, redis: Redis) -> Iterator[ConsoleClient]:
    with logged_in(service.url) as client:
        yield client


def store(redis: Redis, *looks: DeadLetterLook) -> None:
    """Store looks of now, each a second newer than the one before."""
    now = time.time() - len(looks)
    DeadLetterLooks(redis).add(
        [replace(look, at=look.at or now + place) for place, look in enumerate(looks)], now=time.time()
    )


def shown(client: ConsoleClient, path: str = PAGE) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def records(html: str) -> list[str]:
    """The records on the page, in its order."""
    return re.findall(r"<dt>Record</dt><dd><code>([^<]+)</code>", html)


def test_the_newest_come_first_and_the_reason_filters(admin: ConsoleClient, redis: Redis) -> None:
    assert "There is none." in shown(admin)
    other = replace(LOOK, code="malformed_body", offset=18, reason="No JSON.", tenant="acme")
    store(redis, LOOK, other)
    html = shown(admin)
    assert records(html) == ["charger.metrics:2:18", "charger.metrics:2:17"]
    assert "power: Must be at least 0." in html
    assert "Put all with this reason back" not in html
    html = shown(admin, f"{PAGE}?code=malformed_body")
    assert records(html) == ["charger.metrics:2:18"]
    assert "Put all with this reason back" in html
    assert records(shown(admin, f"{PAGE}?limit=1&cursor=1")) == ["charger.metrics:2:17"]
    assert "None of the newest" in shown(admin, f"{PAGE}?code=process_died")
    assert PAGE in shown(admin, "/system")


@pytest.mark.parametrize("query", ["code=A%20B", "limit=0", "cursor=-1", "code=x%0Ay"])
def test_a_wrong_query_is_a_page(admin: ConsoleClient, query: str) -> None:
    answer = admin.get(f"{PAGE}?{query}")
    assert answer.status_code == 422
    assert "<h1>" in answer.text


@pytest.mark.owasp("API8", "text of a dead letter is never markup of the console")
def test_hostile_text_is_escaped(admin: ConsoleClient, redis: Redis) -> None:
    store(redis, replace(LOOK, reason=HOSTILE, key=HOSTILE, text=f"</code>{HOSTILE}"))
    html = shown(admin)
    assert html.count(ESCAPED) == 4
    assert HOSTILE not in html


@pytest.mark.owasp("API1", "an administrator of a tenant sees no dead letter of another")
def test_a_key_of_a_tenant_sees_its_own_and_puts_none_back(service: Web, redis: Redis) -> None:
    store(redis, LOOK, replace(LOOK, tenant="acme", offset=18), replace(LOOK, tenant="other", offset=19))
    key = KeyStore(redis).create("acme", ("admin",), ("acme",))
    wait_until(
        lambda: httpx.post(f"{service.url}/login", data={"key": key}).status_code == 303,
        what="the key to count",
    )
    with logged_in(service.url, key, tenant="acme") as client:
        html = shown(client)
        assert records(html) == ["charger.metrics:2:18"]
        assert "Put it back" not in html
        assert client.post_form(REPLAY, code="invalid_reading").status_code == 403
    assert not redis.exists(REQUESTS_KEY)


@pytest.mark.owasp("API5", "a key without the role admin neither sees nor replays dead letters")
def test_readers_see_none(service: Web, redis: Redis) -> None:
    with logged_in(service.url, READ_KEY) as reader:
        assert reader.get(PAGE).status_code == 403
        assert reader.post_form(REPLAY, code="invalid_reading").status_code == 403
    assert not redis.exists(REQUESTS_KEY)


def test_a_replay_is_asked_for_once_and_audited(admin: ConsoleClient, redis: Redis) -> None:
    store(redis, LOOK)
    assert admin.post(REPLAY, data={"code": "invalid_reading"}).status_code == 403
    assert not redis.exists(REQUESTS_KEY)
    answer = admin.post_form(REPLAY, code="invalid_reading")
    assert answer.status_code == 303
    html = shown(admin, answer.headers["Location"])
    assert "The replay is asked for." in html
    assert "No Kafka consumer runs." in html
    assert REPLAY in str(redis.lrange(AUDIT_KEY, 0, -1))
    assert admin.post_form(REPLAY, code="invalid_reading").status_code == 409
    assert admin.post_form(REPLAY, origin=LOOK.origin).status_code == 303
    for fields in ({}, {"code": "x y"}, {"origin": "a:b:c"}, {"code": "internal", "origin": LOOK.origin}):
        assert admin.post_form(REPLAY, **fields).status_code == 422, fields
    assert [(each.code, each.origin) for each in ReplayRequests(redis).newest()] == [
        (None, LOOK.origin),
        ("invalid_reading", None),
    ]


def test_results_of_replays_are_shown(admin: ConsoleClient, redis: Redis) -> None:
    requests = ReplayRequests(redis)
    requests.end(replace(requests.add(code="internal"), sent=1234, left_out=5))
    requests.end(requests.add(code="malformed_body"), problem=f"Kafka: {HOSTILE}")
    html = shown(admin)
    assert "1,234" in html
    assert f"Kafka: {ESCAPED}" in html


def test_open_and_kept_requests_are_bounded(redis: Redis) -> None:
    requests = ReplayRequests(redis)
    for number in range(MOST_KEPT + 5):
        requests.end(requests.add(origin=f"t:0:{number}"))
    for number in range(MOST_OPEN):
        requests.add(origin=f"u:0:{number}")
    found = requests.newest()
    assert len(found) == MOST_KEPT
    assert sum(each.is_open for each in found) == MOST_OPEN
    with pytest.raises(Exception, match="wait for a consumer already"):
        requests.add(code="internal")


def test_looks_are_bounded_in_number_and_age(redis: Redis) -> None:
    looks, now = DeadLetterLooks(redis), time.time()
    many = [replace(LOOK, tenant="acme", offset=n, at=now - 1000 + n) for n in range(MOST_LOOKS + 50)]
    looks.add(many, now=now)
    for tenant in (None, "acme"):
        found = looks.newest(tenant, now=now)
        assert [look.offset for look in found] == list(range(MOST_LOOKS + 49, 49, -1))
    assert list(looks.newest("other", now=now)) == []
    assert 0 < redis.ttl("ml:dead_letters") <= LOOKS_KEPT_S
    assert list(looks.newest(None, now=now + LOOKS_KEPT_S)) == []
    looks.add([replace(LOOK, at=now + LOOKS_KEPT_S)], now=now + LOOKS_KEPT_S)
    assert redis.zcard("ml:dead_letters") == 1


def refused(offset: int) -> PendingRecord:
    entry = PendingRecord(Received("in", 3, offset, b"EVZ-1", b"{bad", []))
    send_to_dead_letter(entry, ScoringFailed("no"), attempts=2, topic="dlq")
    return entry


def test_looks_are_stored_once_and_wait_while_redis_is_away() -> None:
    with start_redis() as server, Redis.from_url(server.url, socket_timeout=1) as redis:
        looks, noted = DeadLetterLooks(redis), NotedDeadLetters(redis)
        good = PendingRecord(Received("in", 3, 1, None, b"{}", []), outcomes=())
        noted.note([good, refused(2)])
        server.pause()
        with pytest.raises(RedisError):
            noted.store()
        server.resume()
        noted.note([refused(3)])
        noted.store()
        assert sorted(look.offset for look in looks.newest(None, now=0)) == [2, 3]
        redis.delete("ml:dead_letters")
        noted.store()
        assert not redis.exists("ml:dead_letters")
        noted.note(refused(n) for n in range(2 * MOST_NOTED))
        noted.store()
        found = looks.newest(None, now=0)
        assert len(found) == MOST_LOOKS
        assert min(look.offset for look in found) >= 2 * MOST_NOTED - MOST_LOOKS


def test_an_erasure_removes_looks(redis: Redis) -> None:
    own, others = replace(LOOK, tenant="acme"), replace(LOOK, tenant="acme", key="CP-8", text="{}")
    store(redis, own, others, replace(LOOK, offset=20), replace(LOOK, tenant="other", offset=21))
    looks = DeadLetterLooks(redis)
    looks.erase("acme", "CP-7")
    now = time.time()
    assert [look.key for look in looks.newest("acme", now=now)] == ["CP-8"]
    assert [look.offset for look in looks.newest(None, now=now)] == [21, 17]
    looks.erase("acme", None)
    assert [look.tenant for look in looks.newest(None, now=now)] == ["other"]


def test_redis_away_is_a_readable_503() -> None:
    with start_redis() as server, Web(environment(server.url)) as web, logged_in(web.url) as client:
        assert client.get(PAGE).status_code == 200
        server.stop()
        answer = client.get(PAGE)
        assert answer.status_code == 503
        assert "<h1>" in answer.text
