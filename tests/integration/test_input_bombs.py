"""Inputs that cost far more than their size: each is refused by name, in bounded memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from tests import parquet_bombs
from tests.batches import BATCH, CSV, NDJSON, PARQUET, in_pieces, job_of, post_file
from tests.http_jobs import assert_problem
from tests.processes import KEY, Web, environment
from tests.readings import request
from tests.services import RunningServer

HEADING: Final = b"charger_id,connector_status\n"
GZIP: Final = {"Content-Encoding": "gzip"}
FAILURE: Final = "/api/v1/predictions/failure"
# The dearest of these files cost 5.9 GB before they were checked.
MOST_GROWTH_KB: Final = 300_000


@pytest.fixture(scope="module")
def web(redis: RunningServer) -> Iterator[Web]:
    """A web process without workers: only what it does itself is looked at."""
    with Web(environment(redis.url.replace("/0", "/10"))) as web:
        yield web


@pytest.fixture
def growth(web: Web) -> Iterator[None]:
    """The web process takes little more memory than before, and goes on."""
    # What is loaded when it is first needed.
    job_of(post_file(web.client, parquet_bombs.many_rows(1), PARQUET))
    before_kb = web.peak_kb()
    yield
    assert web.peak_kb() - before_kb < MOST_GROWTH_KB
    job_of(post_file(web.client, parquet_bombs.many_rows(1), PARQUET))


@pytest.mark.owasp("API4", "Parquet files of a few kilobytes that would take gigabytes are refused unread")
@pytest.mark.usefixtures("growth")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: parquet_bombs.many_codes(50_000_000), "The pages of a few thousand rows hold more than"),
        (lambda: parquet_bombs.large_text(300_000_000), "The pages of a few thousand rows hold more than"),
        (lambda: parquet_bombs.large_text(100_000_000), "The file grows more than 64 times"),
        (lambda: parquet_bombs.long_ids("DELTA_BYTE_ARRAY"), "A few thousand rows hold more than"),
        (lambda: parquet_bombs.long_ids("RLE_DICTIONARY"), "A few thousand rows hold more than"),
        (lambda: parquet_bombs.many_columns(10_001), "more than 10000 columns"),
        (lambda: parquet_bombs.many_groups(10_001), "more than 10000 row groups"),
        (lambda: parquet_bombs.large_footer(16_000_001), "The footer of the file is longer than"),
        (lambda: parquet_bombs.many_rows(1_000_001), "holds more than 1000000 readings"),
    ],
    ids=[
        "list",
        "text",
        "growth",
        "delta",
        "dictionary",
        "columns",
        "row groups",
        "footer",
        "rows",
    ],
)
def test_a_parquet_bomb_is_refused(web: Web, make: Callable[[], bytes], said: str) -> None:
    problem = assert_problem(post_file(web.client, make(), PARQUET), 413, "too_large")
    assert said in problem["detail"]


@pytest.mark.owasp("API4", "a Parquet schema of any depth ends no process")
@pytest.mark.usefixtures("growth")
def test_a_deep_parquet_schema_is_refused(web: Web) -> None:
    body = parquet_bombs.deep_schema(5_000)
    problem = assert_problem(post_file(web.client, body, PARQUET), 400, "malformed_body")
    assert "too deeply nested" in problem["detail"]


@pytest.mark.owasp("API4", "one line or cell of any length is refused at a megabyte")
@pytest.mark.usefixtures("growth")
@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        (CSV, HEADING + b"x" * 100_000_000, 413, "Line 2 is longer than 1000000 bytes"),
        (CSV, HEADING + b'A,"' + b"x\n" * 50_000_000, 400, "in the row of line 2 is never closed"),
        (CSV, HEADING[:-1] + b",c" * 500_000 + b"\n", 413, "Line 1 is longer than 1000000 bytes"),
        (NDJSON, b"x" * 100_000_000, 413, "Line 1 is longer than 1000000 bytes"),
        ("application/json", b'{"chargers":["' + b"x" * 100_000_000, 400, "a row is longer than 1000000"),
        ("application/json", b'{"chargers":[' + b"[" * 5_000_000, 400, "a row is longer than 1000000"),
    ],
    ids=["csv line", "csv cell", "csv header", "ndjson line", "json row", "json depth"],
)
def test_a_line_of_any_length_is_refused(
    web: Web, content_type: str, body: bytes, status: int, said: str
) -> None:
    code = "too_large" if status == 413 else "malformed_body"
    assert said in assert_problem(post_file(web.client, body, content_type), status, code)["detail"]


@pytest.mark.owasp("API4", "100,000 error codes, deep JSON or a million keys are refused by name")
@pytest.mark.usefixtures("growth")
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"error_codes": ["E"] * 100_000}, "/metrics/error_codes"),
        ({"error_codes": ["E" * 129]}, "/metrics/error_codes/0"),
        ({"metadata": {"costs": {"note": "x" * 500_000}}}, "/metrics/metadata/costs"),
        ({f"{number:x}": 0 for number in range(60_000)} | {"power": -1}, "/metrics/power"),
    ],
    ids=["codes", "code", "costs", "keys"],
)
def test_a_reading_that_holds_too_much_is_refused(web: Web, fields: dict[str, Any], pointer: str) -> None:
    problem = assert_problem(web.client.post(FAILURE, json=request(**fields)), 422, "invalid_reading")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.owasp("API4", "headers by the thousand or of any length are refused by the server")
@pytest.mark.parametrize(
    "headers",
    [{f"X-{number}": "x" for number in range(10_000)}, {"X-Request-ID": "x" * 200_000}],
    ids=["many", "long"],
)
def test_headers_that_hold_too_much_are_refused(web: Web, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=web.url) as client:
        answer = client.get("/api/v1/jobs", headers={"X-API-Key": KEY, **headers})
    assert answer.status_code == 431


@pytest.mark.owasp("API4", "a form with files is no body of this API, and is not read")
def test_a_form_is_refused(web: Web) -> None:
    answer = web.client.post(BATCH, files={"file": b"x" * 5_000_000})
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.owasp("API4", "gzip that unpacks to two hundred times its size is refused at 16 MB")
@pytest.mark.usefixtures("growth")
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gzip_bomb_is_refused(web: Web, framing: str) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    content = bomb if framing == "length" else in_pieces(bomb)
    problem = assert_problem(post_file(web.client, content, NDJSON, **GZIP), 413, "too_large")
    assert "200 times" in problem["detail"]


def test_a_fleet_of_equal_readings_may_be_packed(web: Web) -> None:
    """Only the ids differ: gzip makes it sixty times smaller, more than any real fleet."""
    rows = b"".join(b'{"charger_id":"EVZ-%06d","connector_status":"CHARGING"}\n' % n for n in range(300_000))
    assert len(rows) > 16_000_000
    job_of(post_file(web.client, gzip.compress(rows), NDJSON, **GZIP))
    small = b'{"charger_id":"EVZ-1","connector_status":"CHARGING"}\n' * 100_000
    assert len(gzip.compress(small)) * 200 < len(small)
    job_of(post_file(web.client, gzip.compress(small), NDJSON, **GZIP))
