"""A flat reading and an envelope are taken wherever JSON is: single predictions of both ways, and batches."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from tests.batches import NDJSON, ended, job_of, ndjson_of, post_file, results_of
from tests.http_jobs import assert_problem
from tests.readings import metrics, new_charger_id

PREDICTIONS = "/api/v1/predictions"
# More than the event loop decodes: such a body goes to Flask's view, in a thread.
LARGE = {"metadata": {"note": "x" * 70_000}}


def shapes(charger_id: str, **fields: Any) -> list[dict[str, Any]]:
    flat = metrics(charger_id, timestamp="2026-01-05T10:00:00Z", **fields)
    unnamed = {name: value for name, value in flat.items() if name != "charger_id"}
    return [
        flat,
        {"charger_id": charger_id, "metrics": flat},
        {"charger_id": charger_id, "metrics": unnamed},
        {"metrics": flat},
    ]


@pytest.mark.parametrize("more", [{}, LARGE], ids=["event loop", "thread"])
@pytest.mark.parametrize("kind", ["failure", "maintenance", "anomaly"])
def test_each_shape_is_answered_alike(client: httpx.Client, kind: str, more: dict[str, Any]) -> None:
    charger_id = new_charger_id()
    answers = [client.post(f"{PREDICTIONS}/{kind}", json=body) for body in shapes(charger_id, **more)]
    assert [answer.status_code for answer in answers] == [200] * 4
    documents = [answer.json() for answer in answers]
    assert {each["charger_id"] for each in documents} == {charger_id}
    assert len({each["fingerprint"] for each in documents}) == 1


@pytest.mark.parametrize("more", [{}, LARGE], ids=["event loop", "thread"])
def test_two_chargers_in_one_body_are_refused(client: httpx.Client, more: dict[str, Any]) -> None:
    body = {"charger_id": "ONE", "metrics": metrics("ANOTHER", **more)}
    problem = assert_problem(client.post(f"{PREDICTIONS}/failure", json=body), 422, "invalid_reading")
    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [("/charger_id", "mismatch")]


@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
def test_rows_of_a_batch_have_either_shape(client: httpx.Client, content_type: str) -> None:
    rows = shapes("SHAPES-1", metadata={"note": "not read", "costs": {"visit": 90}})
    rows.append({"charger_id": "ONE", "metrics": metrics("ANOTHER")})
    rows.append({"metrics": {"charger_id": "LAST", "connector_status": "CHARGING", "power": -1}})
    body = ndjson_of(rows) if content_type == NDJSON else orjson.dumps({"chargers": rows})
    job_id = job_of(post_file(client, body, content_type, "?store=false"))
    assert ended(client, job_id)["failed"] == 2
    *scored, two, wrong = results_of(client, job_id)
    assert {row["charger_id"] for row in scored} == {"SHAPES-1"}
    assert len({row["fingerprint"] for row in scored}) == 1
    assert [each["pointer"] for each in two["error"]["errors"]] == ["/charger_id"]
    assert wrong["charger_id"] == "LAST"
    assert [each["pointer"] for each in wrong["error"]["errors"]] == ["/metrics/power"]
