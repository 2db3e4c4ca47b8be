"""The fleet over HTTP: filters, orders, pages, sites, and how soon a change is seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
from redis import Redis

from errors import QueueFull
from readings.reading import Reading, rfc3339
from tasks.storage.charger_attributes import AttributeStore, Statement
from tasks.storage.fleet import FleetStore, newest_key
from tasks.storage.fleet_query import FleetQuery
from tasks.storage.fleet_snapshots import UNUSED_S, FleetSnapshots
from tasks.storage.redis_connection import PinnedConnection
from tests.attributes import CHARGERS, HOSTILE, csv_of, put
from tests.batches import CSV
from tests.http_jobs import assert_problem, finish
from tests.processes import KEY, READ_KEY, Web, environment, settings_for, wait_until
from tests.readings import request
from tests.services import RunningServer
from web.openapi.charger_schemas import FleetPageSchema

SITES: Final = "/api/v1/sites"
FAILURE: Final = "/api/v1/predictions/failure"
TENANT: Final = {"X-Tenant-ID": "fleet-query"}
NOW: Final = int(time.time())
CALM, DUE, ALARM = (0.1, "WITHIN_30_DAYS"), (0.55, "WITHIN_7_DAYS"), (0.9, "IMMEDIATE")
# Charger, site, vendor, state, age of its reading in hours, status.
FLEET: Final = [
    ("EVZ-1", "north", "ABB", ALARM, 1, "FAULTY"),
    ("EVZ-2", "north", "ABB", CALM, 2, "AVAILABLE"),
    ("EVZ-3", "south", "Kempower", DUE, 30, "OFFLINE"),
    ("EVZ-4", None, None, ALARM, 40, "AVAILABLE"),
    ("evz-5", "south", "Alpitronic", CALM, 3, "CHARGING"),
]


def stored(store: FleetStore, redis: Redis, tenant: str | None, *rows: tuple[Any, ...]) -> None:
    """Chargers with a verdict and attributes, by the commands of the store."""
    puts = []
    for charger, _, _, (probability, action), hours, status in rows:
        moment = datetime.fromtimestamp(NOW - 3600 * hours, UTC)
        verdict = {
            "charger_id": charger,
            "reading_timestamp": rfc3339(moment),
            "failure_probability": probability,
            "horizons": {"1d": 0.0, "7d": probability / 2, "30d": probability},
            "recommended_action": action,
            "in_failure": False,
            "confidence": 0.5,
            "model_version": "m",
        }
        puts.append((tenant, verdict, orjson.dumps(verdict), Reading(charger, status, moment)))
    PinnedConnection(redis).execute(*store.to_store(puts))
    AttributeStore(redis, lambda *_: None).state(
        [
            Statement(tenant, charger, {"site_id": site, "vendor": vendor, "name": f"Säule {charger}"})
            for charger, site, vendor, *_ in rows
        ]
    )


@pytest.fixture(scope="module")
def fleet(redis: RunningServer, web: Web) -> Iterator[httpx.Client]:
    """A client for the chargers of `FLEET`."""
    with Redis.from_url(redis.url) as client:
        stored(FleetStore(settings_for(redis.url)), client, TENANT["X-Tenant-ID"], *FLEET)
    with httpx.Client(base_url=web.url, headers={"X-API-Key": READ_KEY, **TENANT}, timeout=10) as client:
        yield client


def ids(client: httpx.Client, query: str = "", **headers: str) -> list[str]:
    answer = client.get(f"{CHARGERS}?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [each["charger_id"] for each in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "1 4 3 2 5"),
        ("sort=risk", "1 4 3 2 5"),
        ("sort=-risk", "2 5 3 1 4"),
        ("sort=charger_id", "1 2 3 4 5"),
        ("sort=-charger_id", "5 4 3 2 1"),
        ("sort=reading_timestamp", "1 2 5 3 4"),
        ("sort=site", "1 2 3 5 4"),
        ("sort=-site", "3 5 1 2 4"),
        ("sort=cost_of_waiting", "1 2 3 4 5"),
        ("site=north", "1 2"),
        ("site=north&site=south", "1 3 2 5"),
        ("site=north&vendor=ABB&status=FAULTY", "1"),
        ("vendor=Kempower&vendor=Alpitronic", "3 5"),
        ("status=OFFLINE", "3"),
        ("action=IMMEDIATE", "1 4"),
        ("min_risk=0.5", "1 4 3"),
        ("q=EVZ-", "1 4 3 2 5"),
        ("q=s%C3%84ule+evz-5", "5"),
        ("q=OUT", "3 5"),
        ("q=.*", ""),
        ("site=nowhere", ""),
        ("vendor=abb", ""),
        ("model=any", ""),
        ("site=north%00", ""),
        ("unknown=1", "1 4 3 2 5"),
    ],
)
def test_filters_and_orders(fleet: httpx.Client, query: str, expected: str) -> None:
    assert [each[-1] for each in ids(fleet, query)] == expected.split()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("sort=name", "/query/sort"),
        ("status=FAULTY&status=Broken", "/query/status/1"),
        ("action=SOON", "/query/action/0"),
        ("min_risk=1.5", "/query/min_risk"),
        ("min_risk=nan", "/query/min_risk"),
        ("q=", "/query/q"),
        (f"q={'x' * 129}", "/query/q"),
        (f"site={'x' * 129}", "/query/site/0"),
        ("&".join(["site=x"] * 101), "/query/site"),
        ("limit=0", "/query/limit"),
        ("cursor=-1", "/query/cursor"),
        ("cursor=W10", "/query/cursor"),
        ("cursor=%C3%BC", "/query/cursor"),
        ("cursor=WyJzaXRlIixudWxsLCJBIl0", "/query/cursor"),  # of sort=site
    ],
)
@pytest.mark.owasp("API4", "queries of the fleet are bounded, and wrong ones are refused by name")
def test_wrong_queries_are_refused_by_name(fleet: httpx.Client, query: str, pointer: str) -> None:
    problem = assert_problem(fleet.get(f"{CHARGERS}?{query}"), 422, "invalid_parameter")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]


def test_an_item_is_the_newest_verdict_and_what_is_known(fleet: httpx.Client) -> None:
    first, second, third, *_ = fleet.get(CHARGERS).json()["items"]
    assert first["attributes"] == {"site_id": "north", "vendor": "ABB", "name": "Säule EVZ-1"}
    assert (first["connector_status"], first["reading_stale"]) == ("FAULTY", False)
    assert (second["attributes"], second["reading_stale"]) == ({"name": "Säule EVZ-4"}, True)
    assert third["failure_probability"] == DUE[0]
    assert set(first) >= {"horizons", "recommended_action", "reading_timestamp", "model_version"}


@pytest.mark.parametrize("sort", ["risk", "-risk", "charger_id", "-site", "cost_of_waiting"])
def test_pages_follow_each_other_by_their_link(fleet: httpx.Client, sort: str) -> None:
    url, pages = f"{CHARGERS}?sort={sort}&limit=2&site=north&site=south", []
    while url:
        answer = fleet.get(url)
        page = answer.json()
        pages.append([each["charger_id"] for each in page["items"]])
        assert page["total"] == 4
        url = answer.links["next"]["url"] if page["next"] else ""
        if url:
            assert parse_qs(urlsplit(url).query)["cursor"] == [page["next"]]
    assert [each for page in pages for each in page] == ids(fleet, f"sort={sort}&site=north&site=south")
    assert [len(page) for page in pages] == [2, 2]


def test_a_charger_with_attributes_alone_is_listed(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "attributes-alone"}
    put(client, "NEW-1", {"site_id": "yard", "vendor": "ABB", "model": "T", "firmware": "9"}, **tenant)
    rows = [["charger_id", "site_id"], ["NEW-2", "harbour"]]
    assert client.post(CHARGERS, content=csv_of(rows), headers={"Content-Type": CSV, **tenant}).is_success
    assert client.post(FAILURE, json=request("OLD"), headers=tenant).status_code == 200
    page = client.get(CHARGERS, headers=tenant).json()
    assert (page["total"], [each["charger_id"] for each in page["items"]]) == (3, ["OLD", "NEW-1", "NEW-2"])
    old, new, _ = page["items"]
    assert new.keys() == old.keys()
    assert (new["tenant_id"], new["attributes"]["vendor"]) == ("attributes-alone", "ABB")
    unknown = (
        "failure_probability",
        "horizons",
        "recommended_action",
        "reading_timestamp",
        "connector_status",
    )
    assert [new[each] for each in unknown] == [None] * len(unknown)
    assert (new["top_contributing_factors"], new["reading_stale"]) == ([], False)
    FleetPageSchema().load(page)  # as the contract has it
    for query, expected in {
        "sort=-risk": "OLD NEW-1 NEW-2",
        "sort=reading_timestamp": "OLD NEW-1 NEW-2",
        "sort=cost_of_waiting": "OLD NEW-1 NEW-2",
        "sort=site": "NEW-2 NEW-1 OLD",
        "scored=true": "OLD",
        "scored=false": "NEW-1 NEW-2",
        "q=yard": "NEW-1",
        "site=harbour": "NEW-2",
        "vendor=ABB&model=T&firmware=9": "NEW-1",
        "status=CHARGING": "OLD",
        "min_risk=0.000001": "OLD",
    }.items():
        assert ids(client, query, **tenant) == expected.split(), query
    assert_problem(client.get(f"{CHARGERS}?scored=maybe", headers=tenant), 422, "invalid_parameter")
    following = client.get(f"{CHARGERS}?limit=2", headers=tenant).json()["next"]
    assert ids(client, f"limit=2&cursor={following}", **tenant) == ["NEW-2"]
    sites = {each["site_id"]: each for each in client.get(SITES, headers=tenant).json()["items"]}
    assert (sites["yard"]["chargers"], sites["yard"]["highest_risk"]) == (1, None)
    assert list(sites) == [None, "harbour", "yard"]  # those without a risk are last


def test_a_number_of_items_is_still_a_cursor(fleet: httpx.Client) -> None:
    assert ids(fleet, "cursor=3") == ids(fleet)[3:]
    assert fleet.get(f"{CHARGERS}?cursor=9").json()["next"] is None


def test_sites(fleet: httpx.Client) -> None:
    page = fleet.get(SITES).json()
    assert (page["total"], page["next"]) == (3, None)
    visits = {"IMMEDIATE": 0, "WITHIN_7_DAYS": 0, "WITHIN_30_DAYS": 0}
    assert page["items"][0] == {
        "site_id": "north",
        "chargers": 2,
        "highest_risk": ALARM[0],
        "visits_due": visits | {"IMMEDIATE": 1, "WITHIN_30_DAYS": 1},
        "cost_of_waiting": None,
        "currency": None,
        "other_currency": 0,
    }
    assert [each["site_id"] for each in page["items"]] == ["north", None, "south"]
    first = fleet.get(f"{SITES}?sort=site_id&limit=2").json()
    last = fleet.get(f"{SITES}?sort=site_id&limit=2&cursor={first['next']}").json()
    assert [each["site_id"] for each in first["items"] + last["items"]] == ["north", "south", None]
    assert_problem(fleet.get(f"{SITES}?sort=vendor"), 422, "invalid_parameter")


@pytest.mark.owasp("API1", "the fleet, the sites and a charger are those of the request's tenant")
def test_tenants_see_their_own_fleet_only(client: httpx.Client, fleet: httpx.Client) -> None:
    other = {"X-Tenant-ID": "fleet-query-other"}
    assert ids(client, **other) == []
    assert client.get(SITES, headers=other).json() == {"items": [], "next": None, "total": 0}
    assert_problem(client.get(f"{CHARGERS}/EVZ-1", headers=other), 404, "unknown_charger")
    assert fleet.get(f"{CHARGERS}/EVZ-1").status_code == 200


@pytest.mark.owasp("API2", "without a key nothing of the fleet is answered")
@pytest.mark.parametrize("path", [CHARGERS, SITES, f"{CHARGERS}/EVZ-1"])
def test_a_key_is_needed(web: Web, path: str) -> None:
    assert_problem(httpx.get(f"{web.url}{path}"), 401, "unauthorized")


def test_one_charger(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "one-charger-view"}
    put(client, "A", {"vendor": "ABB"}, **tenant)
    nothing = dict.fromkeys(("newest_reading", "failure", "maintenance", "anomaly", "reading_stale"))
    url = f"{CHARGERS}/A"
    assert client.get(url, headers=tenant).json() == {
        "charger_id": "A",
        "attributes": {"vendor": "ABB"},
        **nothing,
        "open_alerts": [],
    }
    assert ids(client, **tenant) == ["A"]  # no verdict yet
    verdicts = {
        kind: client.post(f"/api/v1/predictions/{kind}", json=request("A"), headers=tenant).json()
        for kind in ("failure", "maintenance")
    }
    found = client.get(url, headers={**tenant, "X-API-Key": READ_KEY}).json()
    assert found["failure"]["fingerprint"] == verdicts["failure"]["fingerprint"]
    assert found["maintenance"]["urgency"] == verdicts["maintenance"]["urgency"]
    assert found["anomaly"]["reading_timestamp"] == found["newest_reading"]["timestamp"]  # scored for this
    assert (
        client.post("/api/v1/predictions/anomaly", json=found["newest_reading"], headers=tenant).json()[
            "cached"
        ]
        is False
    )
    assert found["reading_stale"] is False
    assert found["newest_reading"]["connector_status"] == "CHARGING"
    assert_problem(client.get(f"{CHARGERS}/never", headers=tenant), 404, "unknown_charger")
    assert_problem(client.get(f"{CHARGERS}/a%20b", headers=tenant), 422, "invalid_parameter")


@pytest.mark.owasp("API10", "hostile attributes are found and listed as the texts that they are")
def test_hostile_texts_are_found_as_texts(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "hostile"}
    rows = [["charger_id", "site_id", "name"]]
    for number, text in enumerate(HOSTILE):
        charger = f"H-{number}"
        rows.append([charger, text, text])
        assert client.post(FAILURE, json=request(charger), headers=tenant).status_code == 200
    answer = client.post(CHARGERS, content=csv_of(rows), headers={"Content-Type": CSV, **tenant})
    assert answer.json()["stored"] == len(HOSTILE)
    for number, text in enumerate(HOSTILE):
        for name in ("site", "q"):
            page = client.get(CHARGERS, params={name: text}, headers=tenant).json()
            assert [each["charger_id"] for each in page["items"]] == [f"H-{number}"]
            assert page["items"][0]["attributes"] == {"site_id": text, "name": text}
    sites = client.get(f"{SITES}?sort=site_id", headers=tenant).json()["items"]
    assert [each["site_id"] for each in sites] == sorted(HOSTILE)


def test_two_processes_see_each_change_within_two_seconds(redis: RunningServer, web: Web) -> None:
    tenant = {"X-Tenant-ID": "two-processes"}
    with Web(environment(redis.url)) as other:
        both = [web.client, other.client]

        def all_see(query: str, expected: list[str], what: str) -> None:
            wait_until(
                lambda: all(ids(each, query, **tenant) == expected for each in both), what=what, timeout_s=20
            )

        assert [ids(each, **tenant) for each in both] == [[], []]
        for charger in ("A", "B"):
            assert web.client.post(FAILURE, json=request(charger), headers=tenant).status_code == 200
        all_see("sort=charger_id", ["A", "B"], "new verdicts")
        put(other.client, "B", {"site_id": "S"}, **tenant)
        all_see("site=S", ["B"], "attributes")
        put(web.client, "B", {"site_id": "T"}, **tenant)
        all_see("site=S", [], "changed attributes")
        headers = {**tenant, "X-API-Key": KEY}
        with httpx.Client(base_url=web.url, headers=headers, timeout=10) as admin:
            job = admin.delete(f"{CHARGERS}/B").json()
            assert finish(admin, job["job_id"])["status"] == "SUCCEEDED"
        all_see("sort=charger_id", ["A"], "an erasure")
        assert_problem(web.client.get(f"{CHARGERS}/B", headers=tenant), 404, "unknown_charger")


@pytest.fixture
def lone(lone_redis: RunningServer) -> Iterator[tuple[FleetSnapshots, FleetStore, Redis]]:
    settings = settings_for(lone_redis.url)
    with Redis.from_url(lone_redis.url) as client:
        snapshots = FleetSnapshots(settings)
        yield snapshots, FleetStore(settings), client
        snapshots.close()


def seen(snapshots: FleetSnapshots, tenant: str | None = None, **query: Any) -> list[str]:
    with snapshots.of(tenant) as (columns, since_ms):
        return columns.find(FleetQuery(sort="charger_id", **query), since_ms=since_ms).charger_ids


def age(snapshots: FleetSnapshots, seconds: float = 2.0) -> None:
    """Have the copies been refreshed so long ago."""
    for copy in snapshots._copies.values():
        copy.refreshed_at -= seconds


def test_a_caller_sees_its_own_changes_at_once(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "own-changes"}
    for number in range(5):
        charger = f"A-{number}"
        assert client.post(FAILURE, json=request(charger), headers=tenant).status_code == 200
        put(client, charger, {"site_id": charger}, **tenant)
        assert ids(client, f"site={charger}", **tenant) == [charger]
        assert len(ids(client, **tenant)) == number + 1


def test_a_copy_of_a_large_fleet_is_refreshed_once_a_second(
    lone: tuple[FleetSnapshots, FleetStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, store, redis = lone
    monkeypatch.setattr("tasks.storage.fleet_snapshots.SMALL_FLEET", 1)
    stored(store, redis, None, *FLEET[:2])
    assert seen(snapshots) == ["EVZ-1", "EVZ-2"]
    for copy in snapshots._copies.values():
        copy.refreshed_at += 60
    stored(store, redis, None, FLEET[2])
    assert seen(snapshots) == ["EVZ-1", "EVZ-2"]
    age(snapshots, 62)
    assert seen(snapshots) == ["EVZ-1", "EVZ-2", "EVZ-3"]


def test_an_erased_tenant_is_gone_from_a_copy(lone: tuple[FleetSnapshots, FleetStore, Redis]) -> None:
    snapshots, store, redis = lone
    stored(store, redis, "t", *FLEET)
    assert len(seen(snapshots, "t")) == len(FLEET)
    redis.flushdb()  # its count of erasures, which was none, goes too
    stored(store, redis, "t", FLEET[1])
    age(snapshots)
    assert seen(snapshots, "t") == ["EVZ-2"]


def test_a_row_of_another_version_is_in_no_answer(lone: tuple[FleetSnapshots, FleetStore, Redis]) -> None:
    snapshots, store, redis = lone
    stored(store, redis, None, *FLEET)
    redis.hset("ml:fleet:rows", "EVZ-1", "[99,1]")
    redis.hdel("ml:fleet:rows", "EVZ-2")
    assert seen(snapshots) == ["EVZ-3", "EVZ-4", "evz-5"]


def test_a_charger_leaves_after_the_retention(lone: tuple[FleetSnapshots, FleetStore, Redis]) -> None:
    snapshots, store, redis = lone
    stored(store, redis, None, *FLEET)
    assert "EVZ-1" in seen(snapshots, scored=True)
    redis.zadd("ml:fleet:changed", {"EVZ-1": (NOW - 31 * 86_400) * 1_000})
    redis.incr("ml:fleet:erasures")
    age(snapshots)
    assert seen(snapshots, scored=False) == ["EVZ-1"]  # its attributes stay
    AttributeStore(redis, lambda *_: None).erase(None, "EVZ-1")
    redis.incr("ml:fleet:erasures")
    age(snapshots)
    assert "EVZ-1" not in seen(snapshots)


def test_a_charger_without_a_verdict_comes_and_goes_with_its_attributes(
    lone: tuple[FleetSnapshots, FleetStore, Redis],
) -> None:
    snapshots, store, redis = lone
    attributes = AttributeStore(redis, lambda *_: None)
    attributes.state([Statement("t", "A", {"vendor": "ABB"})])
    assert seen(snapshots, "t") == ["A"]  # from a load
    attributes.state([Statement("t", "B", {"vendor": "ABB"}), Statement("t", "C", {"vendor": "x"})])
    age(snapshots)
    assert seen(snapshots, "t") == ["A", "B", "C"]  # from a refresh
    attributes.state([Statement("t", "B", {}, is_whole=True)])
    age(snapshots)
    assert seen(snapshots, "t") == ["A", "C"]
    stored(store, redis, "t", ("A", None, None, CALM, 1, "AVAILABLE"))
    age(snapshots)
    assert (seen(snapshots, "t", scored=True), seen(snapshots, "t", scored=False)) == (["A"], ["C"])
    attributes.erase_all("t")  # without its count of erasures
    age(snapshots)
    assert seen(snapshots, "t") == ["A"]


def test_copies_that_are_not_used_are_dropped(lone: tuple[FleetSnapshots, FleetStore, Redis]) -> None:
    snapshots, _, _ = lone
    seen(snapshots, "old")
    seen(snapshots, "new")
    snapshots._copies["old"].used_at -= UNUSED_S + 1
    snapshots.sweep()
    assert list(snapshots._copies) == ["new"]


@pytest.mark.owasp("API4", "a process holds the fleets of a bounded number of tenants")
def test_the_tenants_that_were_used_last_are_held(
    lone: tuple[FleetSnapshots, FleetStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, _, _ = lone
    monkeypatch.setattr("tasks.storage.fleet_snapshots.MOST_TENANTS", 2)
    for tenant in ("a", "b", "a", "c"):
        seen(snapshots, tenant)
    assert list(snapshots._copies) == ["a", "c"]


@pytest.mark.owasp("API4", "a fleet is loaded by one request, and the others wait for a bounded time")
def test_others_wait_for_the_load_for_a_bounded_time(
    lone: tuple[FleetSnapshots, FleetStore, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, _, _ = lone
    monkeypatch.setattr("tasks.storage.fleet_snapshots.LOAD_WAIT_S", 0.01)
    copy = snapshots._copy_of("t")
    with copy.fetching, pytest.raises(QueueFull):
        seen(snapshots, "t")
    assert seen(snapshots, "t") == []
    age(snapshots)
    with copy.fetching:  # a refresh is not waited for
        assert seen(snapshots, "t") == []


def test_an_item_without_a_verdict_is_left_out(redis: RunningServer, client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "expired"}
    for charger in ("A", "B"):
        assert client.post(FAILURE, json=request(charger), headers=tenant).status_code == 200
    with Redis.from_url(redis.url) as server:
        server.delete(newest_key("expired", "A"))
    assert ids(client, **tenant) == ["B"]
