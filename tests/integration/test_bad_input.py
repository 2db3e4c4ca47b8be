"""What callers get wrong: a clear problem document, never a 500, and nothing else suffers."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import orjson
import pytest

from tests.http_jobs import assert_problem
from tests.processes import KEY, READ_KEY
from tests.readings import request

FAILURE = "/api/v1/predictions/failure"
JSON = {"Content-Type": "application/json"}
IN_TEN_MINUTES = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"temperature": "41"}, "/metrics/temperature"),
        ({"temperature": True}, "/metrics/temperature"),
        ({"temperature": 201}, "/metrics/temperature"),
        ({"temperature": -61}, "/metrics/temperature"),
        ({"temperature": []}, "/metrics/temperature"),
        ({"power": -1}, "/metrics/power"),
        ({"power": 31_000}, "/metrics/power"),
        ({"energy_delivered": 10_001}, "/metrics/energy_delivered"),
        ({"power": {"kW": 1}}, "/metrics/power"),
        ({"energy_delivered": -0.1}, "/metrics/energy_delivered"),
        ({"uptime_hours": 10**400}, "/metrics/uptime_hours"),
        ({"total_sessions": 1.5}, "/metrics/total_sessions"),
        ({"error_codes": "GroundFailure"}, "/metrics/error_codes"),
        ({"error_codes": [1]}, "/metrics/error_codes/0"),
        ({"connector_status": "SINGING"}, "/metrics/connector_status"),
        ({"connector_status": None}, "/metrics/connector_status"),
        ({"last_maintenance": "yesterday"}, "/metrics/last_maintenance"),
        ({"timestamp": "noon"}, "/metrics/timestamp"),
        ({"timestamp": True}, "/metrics/timestamp"),
        ({"timestamp": "0001-01-01T00:00:00Z"}, "/metrics/timestamp"),
        ({"timestamp": -1}, "/metrics/timestamp"),
        ({"last_maintenance": "2999-01-01"}, "/metrics/last_maintenance"),
        ({"timestamp": IN_TEN_MINUTES}, "/metrics/timestamp"),
        ({"metadata": [1]}, "/metrics/metadata"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, fields: dict[str, Any], pointer: str) -> None:
    body = assert_problem(client.post(FAILURE, json=request(**fields)), 422, "invalid_reading")
    assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_each_wrong_field_is_named(client: httpx.Client) -> None:
    wrong = request(temperature="hot", last_maintenance="2099-01-01") | {"charger_id": "another"}
    body = assert_problem(client.post(FAILURE, json=wrong), 422, "invalid_reading")
    named = [error["pointer"] for error in body["errors"]]
    assert named == ["/metrics/temperature", "/metrics/last_maintenance", "/charger_id"]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_not_a_number_and_infinity_are_named(client: httpx.Client, constant: str) -> None:
    text = orjson.dumps(request(power="here")).decode().replace('"here"', constant)
    body = assert_problem(client.post(FAILURE, content=text, headers=JSON), 422, "invalid_reading")
    assert body["errors"][0]["pointer"] == "/metrics/power"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/charger_id"),
        ({"charger_id": "A"}, "/connector_status"),
        ({"charger_id": "A", "metrics": []}, "/metrics"),
        ({"metrics": {"connector_status": "CHARGING"}}, "/metrics/charger_id"),
        ({"charger_id": "A", "metrics": {"charger_id": "A"}}, "/metrics/connector_status"),
        ({"charger_id": "B", "metrics": request("A")["metrics"]}, "/charger_id"),
        (request("not a charger"), "/metrics/charger_id"),
        (request("A\n"), "/metrics/charger_id"),
        (request("A" * 129), "/metrics/charger_id"),
        (request(""), "/metrics/charger_id"),
    ],
)
def test_a_wrong_envelope_is_named(client: httpx.Client, body: Any, pointer: str) -> None:
    problem = assert_problem(client.post(FAILURE, json=body), 422, "invalid_reading")
    assert pointer in [error["pointer"] for error in problem["errors"]]


@pytest.mark.owasp("API4", "deep, long and huge JSON values are refused")
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("member", "pointer"),
    [
        *((b'"metadata":{"a":%b}' % (b"[" * n + b"]" * n), "/metadata") for n in (32, 251, 1100, 5000)),
        (b'"metadata":{"costs":{"visit":-Infinity}}', "/metadata/costs"),
        (b'"metadata":{"costs":{"note":"%b"}}' % (b"x" * 16_384), "/metadata/costs"),
        (b'"error_codes":["\\ud800"]', "/error_codes/0"),
        (b'"power":%b' % (b"9" * 5000), "/power"),
    ],
)
def test_hostile_json_is_refused_by_name_at_both_doors(
    client: httpx.Client, member: bytes, pointer: str, content_type: str
) -> None:
    body = b'{"charger_id":"A","metrics":{"charger_id":"A","connector_status":"CHARGING",%b}}' % member
    problem = assert_problem(
        client.post(FAILURE, content=body, headers={"Content-Type": content_type}), 422, "invalid_reading"
    )
    assert [error["pointer"] for error in problem["errors"]] == ["/metrics" + pointer]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{'a': 1}"])
def test_what_is_not_json_is_400(client: httpx.Client, content: bytes) -> None:
    assert_problem(client.post(FAILURE, content=content, headers=JSON), 400, "malformed_body")


@pytest.mark.owasp("API4", "bodies are limited in size")
def test_a_body_that_is_too_large_is_413(client: httpx.Client) -> None:
    body = b'{"charger_id": "' + b"x" * 10_000_000 + b'"}'
    assert_problem(client.post(FAILURE, content=body, headers=JSON), 413, "too_large")


@pytest.mark.owasp("API4", "bodies without a length are limited in size")
def test_a_chunked_body_that_is_too_large_is_413(client: httpx.Client) -> None:
    chunks = (b"[" + b" " * 65_536 for _ in range(32))
    answer = client.post(FAILURE, content=chunks, headers=JSON)
    assert_problem(answer, 413, "too_large")
    assert answer.headers["Connection"] == "close"  # the rest of the body is still in it


def test_another_content_type_is_415(client: httpx.Client) -> None:
    plain = client.post(FAILURE, content=b"{}", headers={"Content-Type": "text/plain"})
    assert_problem(plain, 415, "unsupported_media_type")


def test_a_compressed_reading_is_415(client: httpx.Client) -> None:
    plain = orjson.dumps(request())
    for body in (gzip.compress(plain), plain):  # also one that is not, whatever its header says
        answer = client.post(FAILURE, content=body, headers=JSON | {"Content-Encoding": "gzip"})
        assert_problem(answer, 415, "unsupported_media_type")
    answer = client.post(FAILURE, content=plain, headers=JSON | {"Content-Encoding": "identity"})
    assert answer.status_code == 200, answer.text


@pytest.mark.owasp("API3", "unknown fields of a reading are ignored")
def test_unknown_fields_are_ignored(client: httpx.Client) -> None:
    assert client.post(FAILURE, json=request(firmware="1.2.3") | {"trace": 1}).status_code == 200


@pytest.mark.owasp("API2", "missing, wrong and lesser keys are refused")
def test_a_missing_wrong_or_lesser_key_is_refused(client: httpx.Client) -> None:
    url = str(client.base_url).rstrip("/") + FAILURE
    assert_problem(httpx.post(url, json=request()), 401, "unauthorized")
    for wrong in (b"nonsense", b"", b"\xc3\xa9"):
        answer = httpx.post(url, json=request(), headers=[(b"X-API-Key", wrong)])
        assert_problem(answer, 401, "unauthorized")
    assert_problem(httpx.post(url, json=request(), headers={"X-API-Key": READ_KEY}), 403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, "The header X-API-Key is missing."),
        (
            {"Authorization": f"Bearer {KEY}"},
            "The header X-API-Key is missing. The header Authorization is not read.",
        ),
        ({"X-API-Key": "another"}, "The header X-API-Key names no valid key."),
    ],
)
def test_a_missing_key_is_told_apart_from_a_wrong_one(
    client: httpx.Client, headers: dict[str, str], told: str
) -> None:
    answer = httpx.post(str(client.base_url).rstrip("/") + FAILURE, json=request(), headers=headers)
    assert assert_problem(answer, 401, "unauthorized")["detail"] == told


def test_a_get_in_place_of_a_post_is_told_to_be_posted(client: httpx.Client) -> None:
    told = assert_problem(client.get(FAILURE), 404, "unknown_charger")["detail"]
    assert told == "No prediction of charger failure is cached. To score a reading, POST it here."


def test_a_wrong_tenant_is_422(client: httpx.Client) -> None:
    answer = client.get("/api/v1/predictions/A", headers={"X-Tenant-ID": "a b"})
    body = assert_problem(answer, 422, "invalid_parameter")
    assert body["errors"][0]["pointer"] == "/headers/X-Tenant-ID"


def test_a_wrong_idempotency_key_is_422(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "with blanks"}
    answer = client.post("/api/v1/predictions/batch", json={"chargers": [{}]}, headers=headers)
    body = assert_problem(answer, 422, "invalid_parameter")
    assert body["errors"][0]["pointer"] == "/headers/Idempotency-Key"


def test_unknown_things_are_404_and_other_methods_405(client: httpx.Client) -> None:
    nowhere = assert_problem(client.get("/nowhere"), 404, "not_found")
    assert nowhere["detail"] == "No such endpoint: /nowhere. See /docs."
    assert_problem(client.get("/%ff%00%0d%0a/é"), 404, "not_found")
    assert_problem(client.get("/api/v1/predictions/never-seen"), 404, "unknown_charger")
    assert_problem(client.get("/api/v1/jobs/never-seen"), 404, "unknown_job")
    assert_problem(client.get("/api/v1/chargers/never-seen/history"), 404, "unknown_charger")
    assert_problem(client.get("/api/v1//jobs"), 404, "not_found")
    not_allowed = client.patch("/api/v1/jobs")
    assert_problem(not_allowed, 405, "method_not_allowed")
    assert "GET" in not_allowed.headers["Allow"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=-1", "sort=name"])
def test_a_wrong_query_parameter_is_named(client: httpx.Client, query: str) -> None:
    body = assert_problem(client.get(f"/api/v1/chargers?{query}"), 422, "invalid_parameter")
    assert body["errors"][0]["pointer"] == "/query/" + query.split("=")[0]
