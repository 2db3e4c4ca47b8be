"""`/openapi.json` says of each operation what its view really takes, and what it answers."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final, NamedTuple

import pytest
from flask import Flask
from flask_smorest import Blueprint
from marshmallow import Schema

from readings.reading import KINDS
from tests.processes import KEY, settings_for
from web.app import create_app

JSON, PROBLEM = "application/json", "application/problem+json"
FILES: Final = {"application/x-ndjson", "text/csv", "application/vnd.apache.parquet"}
PAGE: Final = {"limit", "cursor"}
METHODS: Final = ("get", "post", "put", "patch", "delete")
# Runs before every view, and lets what is outside the API pass.
ACCESS: Final = "web.http.access"
# Read for every request of the API: `security`, and a sentence at the head of the document.
# `Authorization` is looked at to say that it is not read. `X-Forwarded-For` is a proxy's, not a caller's.
OF_ALL: Final = {"x-api-key", "x-request-id", "authorization", "x-forwarded-for"}
# Read only to refuse what is compressed, or no JSON.
REFUSED: Final = {"web.http.request_bodies": {"content-encoding", "content-type"}}
_HEADER_READ: Final = re.compile(
    r"""headers\.get(?:list)?\(\s*"([^"]+)" | request\.headers\["([^"]+)"\] | header\("([A-Za-z-]+)"
    | \.(accept_mimetypes)\b""",
    re.VERBOSE,
)


class Operation(NamedTuple):
    method: str
    path: str
    document: dict[str, Any]

    def parameters(self, location: str) -> set[str]:
        """Their names; those of headers, which know no case, in small letters."""
        given = self.document.get("parameters", [])
        names = {each["name"] for each in given if each["in"] == location}
        return {name.lower() for name in names} if location == "header" else names

    def content(self, status: str) -> set[str]:
        return set(self.document["responses"][status].get("content", {}))


@pytest.fixture(scope="module")
def app() -> Flask:
    """Redis is down: no view gets further than to what it was asked."""
    return create_app(settings_for("redis://127.0.0.1:1/0"))


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, Operation]:
    return {
        f"{method.upper()} {path}": Operation(method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


# `web/http/request_bodies.py` reads it, also for requests that never reach Flask.
PARSED_BY_HAND = {f"POST /api/v1/predictions/{kind}": {"store"} for kind in KINDS}


def test_the_query_of_each_operation_is_what_its_view_parses(
    app: Flask, operations: dict[str, Operation], monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = Blueprint.ARGUMENTS_PARSER
    parsed: list[tuple[str, type[Schema]]] = []
    really_parse = parser.parse

    def parse(schema: type[Schema], *args: Any, location: str, **kwargs: Any) -> Any:
        parsed.append((location, schema))
        return really_parse(schema, *args, location=location, **kwargs)

    monkeypatch.setattr(parser, "parse", parse)
    for name, operation in operations.items():
        parsed.clear()
        address = re.sub(r"\{\w+\}", "failure", operation.path)
        app.test_client().open(address, method=operation.method.upper(), headers={"X-API-Key": KEY})
        assert {location for location, _ in parsed} <= {"query"}, name
        taken = {field.data_key or key for _, schema in parsed for key, field in schema().fields.items()}
        assert operation.parameters("query") == (taken or PARSED_BY_HAND.get(name, set())), name


@pytest.mark.owasp("API9", "the specification names the headers that are read")
def test_the_headers_of_each_operation_are_those_that_the_code_behind_it_reads(
    app: Flask, operations: dict[str, Operation]
) -> None:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        path = re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule)
        for method in METHODS:
            operation = operations.get(f"{method.upper()} {path}")
            if operation is None or method.upper() not in (rule.methods or ()):
                continue
            behind = list(modules_behind(sys.modules[view.__module__], {ACCESS}))
            if path.startswith("/api/v1/"):
                behind.append(sys.modules[ACCESS])
            read = set().union(*(headers_read(module) for module in behind)) - OF_ALL
            assert operation.parameters("header") == read, operation[:2]


def modules_behind(module: ModuleType, seen: set[str] | None = None) -> Iterator[ModuleType]:
    """A module of `web` and those of `web` that it uses."""
    seen = set() if seen is None else seen
    seen.add(module.__name__)
    yield module
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name.startswith("web.") and name not in seen:
            yield from modules_behind(sys.modules[name], seen)


def headers_read(module: ModuleType) -> set[str]:
    """In small letters, as `Operation.parameters` has them."""
    names = {name for found in _HEADER_READ.findall(inspect.getsource(module)) for name in found if name}
    read = {"accept" if name == "accept_mimetypes" else name.replace("_", "-").lower() for name in names}
    return read - REFUSED.get(module.__name__, set())


@pytest.mark.parametrize(
    ("name", "query", "headers"),
    [
        (
            "POST /api/v1/predictions/batch",
            {"kind", "store", "history"},
            {"prefer", "idempotency-key", "content-encoding"},
        ),
        ("GET /api/v1/jobs", PAGE | {"status", "kind", "created_after"}, set()),
        ("GET /api/v1/jobs/{job_id}/results", PAGE | {"columns"}, {"accept"}),
        ("GET /api/v1/jobs/{job_id}/events", set(), {"last-event-id"}),
        (
            "GET /api/v1/chargers",
            PAGE
            | {"sort", "q", "min_risk", "site", "vendor", "model", "firmware", "status", "action", "scored"},
            set(),
        ),
        ("POST /api/v1/chargers", set(), {"content-encoding"}),
        ("GET /api/v1/chargers/{charger_id}/history", PAGE, set()),
        ("GET /api/v1/models/{name}/drift", {"window"}, set()),
        ("POST /api/v1/predictions/failure", {"store"}, set()),
    ],
)
def test_what_callers_look_for(
    operations: dict[str, Operation], name: str, query: set[str], headers: set[str]
) -> None:
    assert operations[name].parameters("query") == query
    assert operations[name].parameters("header") == headers | {"x-tenant-id"}


def test_every_format_of_a_batch_and_of_its_results(operations: dict[str, Operation]) -> None:
    batch = operations["POST /api/v1/predictions/batch"]
    assert set(batch.document["requestBody"]["content"]) == {JSON} | FILES
    assert batch.content("200") == batch.content("202") == {JSON}
    assert operations["GET /api/v1/jobs/{job_id}/results"].content("200") == {JSON} | FILES
    assert operations["GET /api/v1/jobs/{job_id}/events"].content("200") == {"text/event-stream"}


def test_whatever_is_not_said_of_an_operation_is_a_problem(
    document: dict[str, Any], operations: dict[str, Operation]
) -> None:
    for name, operation in operations.items():
        said = operation.document["responses"]["default"]
        answer = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
        assert answer["content"] == {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}, name


@pytest.mark.owasp("API9", "the specification has no part that no operation uses")
def test_nothing_is_described_that_no_operation_has(document: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(document)))
    parts = document["components"]
    described = {f"{kind}/{name}" for kind in ("schemas", "responses") for name in parts[kind]}
    assert described == named
