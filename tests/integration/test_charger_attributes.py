"""Attributes of chargers over HTTP: stated one by one, in a file, or by a reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson
import pytest
from redis import Redis

from tasks.storage import redis_clock
from tasks.storage.charger_attributes import EXPIRY_S, AttributeStore, Statement, attributes_key, restated_key
from tests.attributes import CHARGERS, HOSTILE, csv_of, put
from tests.batches import CSV, NDJSON, ended, job_of, ndjson_of, post_file
from tests.http_jobs import assert_problem
from tests.processes import READ_KEY
from tests.readings import metrics, new_charger_id, request
from tests.services import RunningServer

FAILURE: Final = "/api/v1/predictions/failure"
GOOD: Final[dict[str, Any]] = {
    "site_id": "SITE-12",
    "vendor": "ABB",
    "model": "Terra 184",
    "firmware": "1.8.32",
    "connector_types": ["CCS2", "CHAdeMO"],
    "rated_power_kw": 180.0,
    "installed_at": "2024-05-17",
    "name": "Hafen, Säule 4",
}


@pytest.fixture
def store(redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as client:
        yield client


def stored(store: Redis, charger: str, tenant: str | None = None) -> dict[str, Any] | None:
    return AttributeStore(store, lambda *_: None).get(tenant, charger)


def cached(client: httpx.Client, charger: str) -> bool:
    return client.get(f"/api/v1/predictions/{charger}").status_code == 200


def test_a_put_replaces_all_and_answers_what_is_stored(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    answer = put(client, charger, GOOD | {"vendor": " ABB ", "unknown": 1})
    assert (answer.status_code, answer.json()) == (200, {"charger_id": charger, "attributes": GOOD})
    assert stored(store, charger) == GOOD
    answer = put(client, charger, {"site_id": "SITE-13", "vendor": None})
    assert answer.json()["attributes"] == stored(store, charger) == {"site_id": "SITE-13"}
    assert put(client, charger, {}).json()["attributes"] == {}
    assert stored(store, charger) is None


def test_a_change_deletes_cached_verdicts_and_the_same_again_does_not(client: httpx.Client) -> None:
    charger = new_charger_id()
    put(client, charger, GOOD)
    assert client.post(FAILURE, json=request(charger)).status_code == 200
    assert cached(client, charger)
    put(client, charger, dict(reversed(GOOD.items())))
    assert cached(client, charger)
    put(client, charger, GOOD | {"firmware": "1.8.33"})
    assert not cached(client, charger)


@pytest.mark.owasp("API3", "wrong attributes are refused by name, and nothing of them is stored")
def test_wrong_attributes_are_refused_by_name(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    problem = assert_problem(
        put(client, charger, GOOD | {"rated_power_kw": 0, "connector_types": ["CCS2", 7]}),
        422,
        "invalid_parameter",
    )
    assert {each["pointer"] for each in problem["errors"]} == {"/rated_power_kw", "/connector_types/1"}
    assert_problem(put(client, charger, [GOOD]), 422, "invalid_parameter")
    assert_problem(put(client, "a b", GOOD), 422, "invalid_parameter")
    assert stored(store, charger) is None


@pytest.mark.owasp("API5", "a key of role read can state no attribute")
def test_the_role_read_states_nothing(client: httpx.Client) -> None:
    assert_problem(put(client, "A", GOOD, **{"X-API-Key": READ_KEY}), 403, "forbidden")
    headers = {"X-API-Key": READ_KEY, "Content-Type": CSV}
    assert_problem(
        client.post(CHARGERS, content=b"charger_id,vendor\nA,B\n", headers=headers), 403, "forbidden"
    )


@pytest.mark.owasp("API1", "attributes of a charger of the same id are each tenant's own")
def test_tenants_do_not_see_each_other(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    for tenant in ("attr-a", "attr-b"):
        put(client, charger, {"vendor": tenant}, **{"X-Tenant-ID": tenant})
    assert [stored(store, charger, tenant) for tenant in ("attr-a", "attr-b", None)] == [
        {"vendor": "attr-a"},
        {"vendor": "attr-b"},
        None,
    ]


def post_csv(client: httpx.Client, data: bytes, **headers: str) -> httpx.Response:
    return client.post(CHARGERS, content=data, headers={"Content-Type": CSV, **headers})


def test_good_rows_of_a_file_are_stored_and_wrong_ones_named(client: httpx.Client, store: Redis) -> None:
    a, b, c = (new_charger_id() for _ in range(3))
    data = csv_of(
        [
            ["charger_id", "Comment", "vendor", "connector_types", "rated_power_kw", "name"],
            [a, "x", "ABB", "CCS2; Type 2", "180", 'He said "hi", twice'],
            ["not an id", "", "ABB", "", "", ""],
            [b, "", "x" * 129, "", "-5", ""],
            [c, "too short"],
            [c, "", "", "", "", "two\r\nlines"],
            [c, "", "Kempower", "", "150.5", "Süd"],
            [c, "", "Alpitronic", "", "", "Süd"],
        ]
    )
    answer = post_csv(client, b"\xef\xbb\xbf" + data)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["stored"], found["failed"], found["ignored_columns"]) == (3, 4, ["Comment"])
    assert [(each["row"], each["pointer"]) for each in found["errors"]] == [
        (1, "/charger_id"),
        (2, "/vendor"),
        (2, "/rated_power_kw"),
        (3, ""),
        (4, "/name"),
    ]
    assert stored(store, a) == {
        "vendor": "ABB",
        "connector_types": ["CCS2", "Type 2"],
        "rated_power_kw": 180.0,
        "name": 'He said "hi", twice',
    }
    assert stored(store, b) is None
    assert stored(store, c) == {"vendor": "Alpitronic", "name": "Süd"}  # the last row of a charger counts


def test_a_file_changes_only_its_columns(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    put(client, charger, GOOD)
    assert post_csv(client, csv_of([["charger_id", "site_id", "name"], [charger, "NEW", ""]])).json() == {
        "stored": 1,
        "failed": 0,
        "errors": [],
        "ignored_columns": [],
    }
    rest = {name: value for name, value in GOOD.items() if name != "name"}
    assert stored(store, charger) == rest | {"site_id": "NEW"}


@pytest.mark.owasp("API10", "formulas, markup and key names in attributes come back as plain texts")
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_only_texts(client: httpx.Client, store: Redis, text: str) -> None:
    charger = new_charger_id()
    answer = post_csv(client, csv_of([["charger_id", "vendor", "name"], [charger, text, text]]))
    assert answer.json()["stored"] == 1
    assert stored(store, charger) == {"vendor": text, "name": text}
    assert put(client, charger, {"name": text}).json()["attributes"] == {"name": text}


@pytest.mark.parametrize(
    ("data", "status", "code", "said"),
    [
        (b"", 422, "invalid_reading", "empty"),
        (b"charger_id,vendor\n", 422, "invalid_reading", "no rows"),
        (b"charger_id,colour\nA,red\n", 422, "invalid_reading", "no column of an attribute"),
        (b"vendor,name\nABB,x\n", 422, "invalid_reading", "charger_id is missing"),
        (b"charger_id,vendor,vendor\nA,B,C\n", 422, "invalid_reading", "more than one"),
        (b"charger_id;vendor\nA;B\n", 422, "invalid_reading", "semicolon"),
        (b'charger_id,vendor\nA,"open\n', 400, "malformed_body", "never closed"),
        (b"charger_id,vendor\nA,\xff\n", 400, "malformed_body", "UTF-8"),
        (b"PK\x03\x04....", 400, "malformed_body", "Excel"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    client: httpx.Client, data: bytes, status: int, code: str, said: str
) -> None:
    assert said in assert_problem(post_csv(client, data), status, code)["detail"]


def test_another_format_is_refused(client: httpx.Client) -> None:
    assert_problem(client.post(CHARGERS, json=[]), 415, "unsupported_media_type")


def test_only_the_first_wrong_rows_are_named(client: httpx.Client) -> None:
    rows = [["charger_id", "rated_power_kw"]] + [[new_charger_id(), "much"] for _ in range(2_500)]
    found = post_csv(client, csv_of(rows)).json()
    assert (found["stored"], found["failed"]) == (0, 2_500)
    assert [each["row"] for each in found["errors"]] == list(range(10))


def predict(client: httpx.Client, charger: str, attributes: Any, **fields: Any) -> dict[str, Any]:
    answer = client.post(FAILURE, json=request(charger, metadata={"attributes": attributes}, **fields))
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


def test_attributes_of_a_reading_are_merged(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    put(client, charger, {"vendor": "ABB", "firmware": "1"})
    first = predict(client, charger, {"firmware": "2", "model": 7, "name": "x"})
    assert stored(store, charger) == {"vendor": "ABB", "firmware": "2", "name": "x"}
    second = predict(client, charger, {"firmware": "3"})
    assert (second["cached"], first["fingerprint"] == second["fingerprint"]) == (False, False)
    assert predict(client, charger, {"firmware": "3"})["fingerprint"] == second["fingerprint"]
    assert stored(store, charger) == {"vendor": "ABB", "firmware": "3", "name": "x"}


def test_an_older_reading_changes_no_attribute(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    predict(client, charger, {"firmware": "2"})
    predict(client, charger, {"firmware": "1"}, timestamp=time.time() - 3600)
    assert stored(store, charger) == {"firmware": "2"}


def test_a_reading_that_is_not_stored_changes_no_attribute(client: httpx.Client, store: Redis) -> None:
    charger = new_charger_id()
    body = request(charger, metadata={"attributes": {"vendor": "ABB"}})
    assert client.post(f"{FAILURE}?store=false", json=body).status_code == 200
    assert stored(store, charger) is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_batch_that_is_stored_states_attributes(client: httpx.Client, store: Redis, kept: bool) -> None:
    chargers = [new_charger_id() for _ in range(3)]
    rows = [metrics(each, metadata={"attributes": {"vendor": "V", "name": each}}) for each in chargers]
    rows.append(metrics(chargers[0], metadata={"attributes": {"name": "later"}}))
    job_id = job_of(post_file(client, ndjson_of(rows), NDJSON, f"?store={str(kept).lower()}"))
    assert ended(client, job_id)["failed"] == 0
    expected = [{"vendor": "V", "name": name} if kept else None for name in ("later", *chargers[1:])]
    assert [stored(store, each) for each in chargers] == expected


@pytest.fixture
def lone(lone_redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(lone_redis.url) as client:
        yield client


def test_statements_at_the_same_time_lose_nothing(lone: Redis) -> None:
    held = AttributeStore(lone, lambda *_: None)
    names = ("vendor", "model", "firmware", "name")

    def state(name: str) -> None:
        for number in range(40):
            held.state([Statement(None, "A", {name: str(number)})])

    threads = [threading.Thread(target=state, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held.get(None, "A") == dict.fromkeys(names, "39")


def test_a_change_that_could_not_delete_cached_verdicts_is_not_stored(lone: Redis) -> None:
    def fails(*_: Any) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        AttributeStore(lone, fails).state([Statement(None, "A", {"vendor": "ABB"})])
    assert not lone.exists(attributes_key(None))


def test_the_same_again_keeps_attributes_from_expiring(lone: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[Any] = []
    held = AttributeStore(lone, lambda *chargers: deleted.append(chargers))
    held.state([Statement(None, "A", {"vendor": "ABB"}), Statement(None, "B", {"vendor": "ABB"})])
    assert deleted == [(None, ["A", "B"])]
    started = time.time()
    for days in range(0, 800, 20):
        now = started + days * 86_400
        monkeypatch.setattr(redis_clock, "now", lambda now=now: now)
        held.state([Statement(None, "A", {"vendor": "ABB"}, as_of=now - 60)])
    assert held.get(None, "A") == {"vendor": "ABB"}
    assert held.get(None, "B") is None
    assert lone.hkeys(attributes_key(None)) == [b"A"]  # a renewal has deleted the expired field
    assert len(deleted) == 1
    assert 0 < lone.ttl(attributes_key(None)) <= EXPIRY_S


def test_a_charger_takes_less_than_300_bytes(lone: Redis) -> None:
    chargers = 20_000
    held = AttributeStore(lone, lambda *_: None)
    before = lone.info("memory")["used_memory_dataset"]
    held.state([Statement(None, f"EVZ-{n:06d}", GOOD | {"site_id": f"S-{n // 10}"}) for n in range(chargers)])
    lone.delete(restated_key(None))
    assert (lone.info("memory")["used_memory_dataset"] - before) / chargers < 300


def test_a_field_of_a_newer_release_is_read(lone: Redis) -> None:
    row = [int(time.time()), "S", None, None, None, None, None, None, None, "new"]
    lone.hset(attributes_key(None), "A", orjson.dumps(row))
    assert AttributeStore(lone, lambda *_: None).get(None, "A") == {"site_id": "S"}
