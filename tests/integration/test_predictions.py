"""Single predictions over real HTTP, through a real queue and worker, as the contract has them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.processes import READ_KEY
from tests.readings import metrics, new_charger_id, request
from tests.services import RunningServer

PREDICTIONS = "/api/v1/predictions"

FAILURE_FIELDS = {
    "charger_id",
    "tenant_id",
    "failure_probability",
    "horizons",
    "predicted_failure_date",
    "predicted_failure_window",
    "confidence",
    "recommended_action",
    "recommended_actions",
    "top_contributing_factors",
    "in_failure",
    "cost_of_waiting",
    "currency",
    "reading_stale",
    "model_version",
    "timestamp",
    "cached",
    "degraded",
}
MAINTENANCE_FIELDS = {
    "recommended_date",
    "worthwhile",
    "reading_stale",
    "urgency",
    "estimated_downtime_hours",
    "cost_benefit",
    "rationale",
    "model_version",
    "timestamp",
    "degraded",
}
ANOMALY_FIELDS = {
    "is_anomaly",
    "anomaly_score",
    "anomaly_type",
    "deviation",
    "model_version",
    "timestamp",
    "degraded",
}


def ask(client: httpx.Client, body: dict[str, Any], kind: str = "failure", **headers: str) -> dict[str, Any]:
    answer = client.post(f"{PREDICTIONS}/{kind}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


def test_a_failure_prediction_has_every_field_of_the_contract(client: httpx.Client) -> None:
    verdict = ask(client, request())
    assert set(verdict) >= FAILURE_FIELDS
    horizons = verdict["horizons"]
    assert 0 <= horizons["1d"] <= horizons["7d"] <= horizons["30d"] <= 1
    assert verdict["failure_probability"] == horizons["30d"]
    assert verdict["timestamp"].endswith("Z")
    assert (verdict["cached"], verdict["degraded"], verdict["in_failure"]) == (False, False, False)


def test_a_maintenance_schedule_has_every_field_of_the_contract(client: httpx.Client) -> None:
    schedule = ask(client, request(), "maintenance")
    assert set(schedule) >= MAINTENANCE_FIELDS
    assert schedule["recommended_date"] >= schedule["timestamp"]
    assert set(schedule["cost_benefit"]) >= {
        "preventive_maintenance_cost",
        "expected_failure_cost",
        "net_savings",
        "currency",
    }


def test_an_anomaly_verdict_has_every_field_of_the_contract(client: httpx.Client) -> None:
    verdict = ask(client, request(), "anomaly")
    assert set(verdict) >= ANOMALY_FIELDS
    assert 0 <= verdict["anomaly_score"] <= 100


def test_heat_and_a_ground_failure_raise_the_probability(client: httpx.Client) -> None:
    cool = ask(client, request(temperature=40.0))["failure_probability"]
    hot = ask(client, request(temperature=95.0))["failure_probability"]
    faulty = ask(client, request(temperature=40.0, error_codes=["GroundFailure"]))["failure_probability"]
    assert hot > cool
    assert faulty > cool


def test_only_two_fields_are_needed_and_missing_is_not_zero(client: httpx.Client) -> None:
    charger = new_charger_id()
    bare = ask(
        client, {"charger_id": charger, "metrics": {"charger_id": charger, "connector_status": "Faulted"}}
    )
    assert bare["in_failure"] is True
    assert bare["recommended_action"] == "IMMEDIATE"
    zeros = dict.fromkeys(("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions"), 0)
    missing = ask(
        client, {"charger_id": "M", "metrics": {"charger_id": "M", "connector_status": "AVAILABLE"}}
    )
    zeroed = ask(
        client, {"charger_id": "M", "metrics": {"charger_id": "M", "connector_status": "AVAILABLE", **zeros}}
    )
    assert missing["failure_probability"] != zeroed["failure_probability"]


def test_the_same_reading_is_answered_from_the_cache_and_another_is_not(client: httpx.Client) -> None:
    body = request()
    first = ask(client, body)
    again = ask(client, body)
    assert again == first | {"cached": True}
    body["metrics"]["temperature"] = 90.0
    other = ask(client, body)
    assert other["cached"] is False
    assert other["fingerprint"] != first["fingerprint"]


def test_the_cached_value_is_the_body_itself_under_the_contracts_key(
    client: httpx.Client, redis: RunningServer
) -> None:
    body = request()
    verdict = ask(client, body)
    with Redis.from_url(redis.url) as store:
        key = f"ml:prediction:failure:{verdict['charger_id']}"
        assert json.loads(store.get(key) or b"") == verdict
        assert 3500 < store.ttl(key) <= 3600
        # The backend's own client may write there; without our fingerprint it is not an answer.
        store.set(key, json.dumps({"failure_probability": 1.0}))
    assert ask(client, body)["cached"] is False


@pytest.mark.owasp("API10", "foreign values under the cache's keys block no prediction")
def test_what_another_client_left_under_the_key_never_blocks_it(
    client: httpx.Client, redis: RunningServer
) -> None:
    charger = new_charger_id()
    key = f"ml:prediction:failure:{charger}"
    with Redis.from_url(redis.url) as store:
        for foreign in (b'{"reading_timestamp":"2999-01-01T00:00:00.000Z"}', b"zzzz", b"[1]", b"\xff"):
            store.set(key, foreign)
            body = request(charger)
            ask(client, body)
            assert ask(client, body)["cached"] is True
            store.delete(key)
        store.lpush(key, "a list")
        ask(client, request(charger))
        assert client.get(f"{PREDICTIONS}/{charger}").status_code == 200


def test_the_newest_cached_prediction_can_be_read_and_deleted(client: httpx.Client) -> None:
    verdict = ask(client, request())
    path = f"{PREDICTIONS}/{verdict['charger_id']}"
    assert client.get(path).json() == verdict | {"cached": True}
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "Content-Type" not in deleted.headers
    gone = client.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_charger")


def test_an_older_reading_never_replaces_a_newer_cached_verdict(client: httpx.Client) -> None:
    charger = new_charger_id()
    now = datetime.now(UTC)
    newer = ask(client, request(charger, timestamp=now.isoformat(), temperature=50.0))
    ask(client, request(charger, timestamp=(now - timedelta(hours=1)).isoformat(), temperature=20.0))
    assert client.get(f"{PREDICTIONS}/{charger}").json()["fingerprint"] == newer["fingerprint"]
    history = client.get(f"/api/v1/chargers/{charger}/history").json()
    assert history["items"][0]["reading_timestamp"] == newer["reading_timestamp"]
    assert history["total"] == 2


@pytest.mark.owasp("API1", "cached verdicts and fleet of a tenant are hidden from others")
def test_tenants_do_not_see_each_other(client: httpx.Client) -> None:
    body = request()
    charger = body["charger_id"]
    assert ask(client, body, **{"X-Tenant-ID": "north"})["tenant_id"] == "north"
    assert client.get(f"{PREDICTIONS}/{charger}").status_code == 404
    assert client.get(f"{PREDICTIONS}/{charger}", headers={"X-Tenant-ID": "north"}).status_code == 200
    fleet = client.get("/api/v1/chargers", headers={"X-Tenant-ID": "north"}).json()
    assert [item["charger_id"] for item in fleet["items"]] == [charger]


def test_the_fleet_is_listed_by_risk_in_pages(client: httpx.Client) -> None:
    tenant = {"X-Tenant-ID": "risk"}
    for temperature in (20, 45, 70, 95):
        ask(client, request(temperature=temperature), **tenant)
    first = client.get("/api/v1/chargers?sort=risk&limit=3", headers=tenant).json()
    second = client.get(f"/api/v1/chargers?limit=3&cursor={first['next']}", headers=tenant).json()
    risks = [item["failure_probability"] for item in first["items"] + second["items"]]
    assert len(risks) == 4
    assert risks == sorted(risks, reverse=True)
    assert second["next"] is None


@pytest.mark.parametrize(
    "spelling", ["SuspendedEV", "suspendedevse", "Preparing", "FINISHING", "fully_charged"]
)
def test_ocpp_spellings_are_understood_in_any_case(client: httpx.Client, spelling: str) -> None:
    ask(client, request(connector_status=spelling))


def test_models_are_listed_as_the_workers_hold_them(client: httpx.Client) -> None:
    listed = client.get("/api/v1/models").json()
    assert {model["name"] for model in listed["models"]} == {"failure", "maintenance", "anomaly"}
    assert listed["total"] == len(listed["models"])
    for model in listed["models"]:
        assert model["status"] == "active"
        assert model["loaded_at"].endswith("Z")
    verdict = ask(client, request())
    assert verdict["model_version"] in {model["version"] for model in listed["models"]}


@pytest.mark.owasp("API5", "reloading models needs the role admin")
def test_reload_needs_the_admin_role_and_reaches_every_worker(client: httpx.Client) -> None:
    refused = client.post("/api/v1/models/reload", headers={"X-API-Key": READ_KEY})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    done = client.post("/api/v1/models/reload")
    assert (done.status_code, done.json()["status"], done.json()["workers"]) == (200, "reloaded", 2)


def test_a_caller_can_name_the_request(client: httpx.Client) -> None:
    assert client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert len(client.get("/nowhere").headers["X-Request-ID"]) == 32


def test_health_ready_metrics_and_docs_are_open(web_url: str) -> None:
    assert httpx.get(f"{web_url}/health").json()["status"] == "healthy"
    assert httpx.get(f"{web_url}/health/ready").status_code == 200
    assert "ml_queue_tasks" in httpx.get(f"{web_url}/metrics").text
    page = httpx.get(f"{web_url}/docs")
    assert page.status_code == 200
    assert "http" not in page.text.replace("/openapi.json", "").split("<script>")[0].replace("http-equiv", "")
    assert '"validatorUrl": null' in page.text  # Swagger's own would be told of the specification
    assert httpx.get(f"{web_url}/docs/swagger-ui-bundle.js").status_code == 200
    assert httpx.get(f"{web_url}/openapi.json").json()["openapi"] == "3.1.0"


@pytest.fixture
def web_url(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


def test_readings_sent_at_once_each_get_their_own_answer(client: httpx.Client, web_url: str) -> None:
    bodies = [request(temperature=20 + n / 10) for n in range(300)]
    with ThreadPoolExecutor(24) as pool:
        verdicts = list(pool.map(lambda body: ask(client, body), bodies))
    assert [verdict["charger_id"] for verdict in verdicts] == [body["charger_id"] for body in bodies]
    alone = [ask(client, request(**_without_id(body["metrics"]))) for body in bodies[::60]]
    assert [v["failure_probability"] for v in alone] == [v["failure_probability"] for v in verdicts[::60]]


def _without_id(reading: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics(**reading).items() if name != "charger_id"}


def test_no_copy_of_a_single_prediction_is_kept_or_acknowledged(
    client: httpx.Client, redis: RunningServer
) -> None:
    def acknowledged() -> int:
        with Redis.from_url(redis.url) as server:
            found: dict[str, Any] = server.info("commandstats").get("cmdstat_zrem", {})
        return int(found.get("calls", 0))

    before = acknowledged()
    for _ in range(5):
        ask(client, request())
    assert acknowledged() == before


@pytest.mark.parametrize("kind", ["failure", "maintenance", "anomaly"])
def test_a_question_what_if_leaves_no_trace(client: httpx.Client, kind: str) -> None:
    body = request()
    charger = body["charger_id"]
    told = client.post(f"{PREDICTIONS}/{kind}?store=false", json=body)
    assert told.status_code == 200, told.text
    assert client.get(f"{PREDICTIONS}/{charger}").status_code == 404
    assert client.get(f"/api/v1/chargers/{charger}/history").status_code == 404
    later = body | {"metrics": body["metrics"] | {"timestamp": "2099-01-01T00:00:00Z"}}
    assert client.post(f"{PREDICTIONS}/{kind}?store=false", json=later).status_code == 422
    stored = ask(client, body, kind)
    assert stored["cached"] is False
    assert stored["fingerprint"] == told.json()["fingerprint"]
    again = client.post(f"{PREDICTIONS}/{kind}?store=false", json=body).json()
    assert again["cached"] is True


def test_a_question_what_if_does_not_take_the_write_of_its_twin(client: httpx.Client) -> None:
    """Identical readings share a task, but not whether they are stored."""
    for _ in range(5):
        body = request()
        with ThreadPoolExecutor(4) as threads:
            answers = list(
                threads.map(
                    lambda query, body=body: client.post(f"{PREDICTIONS}/failure{query}", json=body),
                    ["?store=false", "", "?store=false", "?store=true"],
                )
            )
        assert [answer.status_code for answer in answers] == [200] * 4
        assert client.get(f"{PREDICTIONS}/{body['charger_id']}").status_code == 200


@pytest.mark.parametrize("query", ["store=", "store=no", "store=1", "store=%00", "store=true&store=maybe"])
def test_another_value_of_store_is_an_error(client: httpx.Client, query: str) -> None:
    answer = client.post(f"{PREDICTIONS}/failure?{query}", json=request())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/store"
