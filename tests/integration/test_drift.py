"""Drift of live traffic: like training's it is stable, moved it is named, and all workers' counts add up."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.simulation.simulate import simulate
from tests.processes import READ_KEY, environment, running_service, wait_until
from tests.readings import metrics, new_charger_id, request
from tests.services import start_redis
from tests.versions import copied_versions, copy_version

DRIFT = "/api/v1/models/failure/drift"
# As many as a worker keeps for a moment.
ROWS = 120


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed versions, copies under other names, and one that states no distributions."""
    folder = copied_versions(tmp_path_factory.mktemp("models"))
    for name in ("second", "third", "fourth"):
        copy_version(folder / "failure", name)
    copy_version(folder / "failure", "silent", without="distributions")
    return folder


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with start_redis() as redis, running_service(environment(redis.url, MODEL_DIR=str(model_dir))) as web:
        yield web.client


@pytest.fixture(scope="module")
def fleet() -> list[dict[str, Any]]:
    """Readings of a simulated year, of another seed than training's, as callers send them."""
    table = simulate(300, 365, 77).readings.sample(600, random_state=1)
    rows = []
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        codes = row["error_codes"]
        row["error_codes"] = None if codes is None else [code for code in codes.split(";") if code]
        row |= {name: row[name].isoformat() for name in ("timestamp", "last_maintenance") if row[name]}
        rows.append({str(name): value for name, value in row.items()} | {"charger_id": new_charger_id()})
    return rows


def activate(client: httpx.Client, version: str) -> None:
    """Counting begins anew with a version."""
    assert client.post("/api/v1/models/failure/activate", json={"version": version}).status_code == 200


def drift(client: httpx.Client, **query: str) -> dict[str, Any]:
    answer = client.get(DRIFT, params=query, headers={"X-API-Key": READ_KEY})
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def batch(client: httpx.Client, rows: list[dict[str, Any]], tenant: str) -> None:
    headers = {"Prefer": "wait=10", "X-Tenant-ID": tenant}
    answer = client.post("/api/v1/predictions/batch?store=false", json={"chargers": rows}, headers=headers)
    assert answer.status_code == 200, answer.text


def after_traffic(client: httpx.Client, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The report of the newly active version once it has counted all `rows`: of two doors and tenants."""

    def single(row: dict[str, Any]) -> None:
        body = {"charger_id": row["charger_id"], "metrics": row}
        assert client.post("/api/v1/predictions/failure", json=body).status_code == 200

    sent = 0
    with ThreadPoolExecutor(16) as pool:
        while sent < len(rows):
            part = rows[sent : sent + 2 * ROWS]
            sent += len(part)
            batch(client, part[::2], "north")
            list(pool.map(single, part[1::2]))
            wait_until(partial(all_counted, client, sent), what=f"{sent} counted readings")
    return drift(client)


def all_counted(client: httpx.Client, sent: int) -> bool:
    report = drift(client)
    return bool(report["readings"] + report["in_failure"] == sent)


def named(report: dict[str, Any], feature: str) -> dict[str, Any]:
    return next(each for each in report["features"] if each["feature"] == feature)


def test_counts_of_all_workers_and_tenants_add_up(client: httpx.Client) -> None:
    activate(client, "third")
    assert drift(client)["status"] == "too_few_readings"
    for number in range(20):
        tenant = {"X-Tenant-ID": f"tenant-{number % 2}"}
        assert client.post("/api/v1/predictions/failure", json=request(), headers=tenant).status_code == 200
    batch(client, [metrics(connector_status="FAULTY" if n < 5 else "AVAILABLE") for n in range(30)], "north")
    wait_until(lambda: drift(client)["readings"] >= 45, what="both workers' counts")
    for window in ("24h", "7d"):
        report = drift(client, window=window)
        assert (report["version"], report["window"]) == ("third", window)
        assert (report["readings"], report["in_failure"]) == (45, 5)
    assert client.get("/api/v1/models/maintenance/drift").json()["readings"] == 45  # the failure model's


def test_traffic_like_training_is_stable(client: httpx.Client, fleet: list[dict[str, Any]]) -> None:
    activate(client, "second")
    report = after_traffic(client, fleet)
    assert (report["status"], report["drifted"]) == ("stable", [])
    assert report["history"]["share_now"] == 0
    assert named(report, "temperature_c")["status"] == "stable"


def test_moved_traffic_is_named_and_comes_out_as_metrics(
    client: httpx.Client, fleet: list[dict[str, Any]]
) -> None:
    activate(client, "fourth")
    moved = [
        row | {"connector_status": "OFFLINE", "temperature": (row["temperature"] or 25) + 25} for row in fleet
    ]
    report = after_traffic(client, moved)
    assert (report["version"], report["status"]) == ("fourth", "drifted")
    assert {"temperature_c", "is_offline"} <= set(report["drifted"])
    assert report["features"][0]["psi"] >= report["features"][1]["psi"]

    def psi() -> dict[str, float]:
        page = client.get("/metrics").text
        return {
            sample.labels["feature"]: sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == "ml_drift_psi" and sample.labels["model"] == "failure"
        }

    wait_until(lambda: psi().get("is_offline", 0) > 0.25, what="the gauge")
    assert psi()["temperature_c"] > 2.5
    assert 'ml_drift_features{model="failure",status="drifted"}' in client.get("/metrics").text


def test_what_is_none_or_states_none(client: httpx.Client) -> None:
    assert client.get("/api/v1/models/luck/drift").status_code == 404
    assert client.get(DRIFT, params={"window": "1y"}).status_code == 422
    activate(client, "silent")
    answer = client.get(DRIFT)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "silent states no distributions" in answer.json()["detail"]
    assert client.post("/api/v1/predictions/failure", json=request()).status_code == 200
