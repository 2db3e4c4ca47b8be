"""Results of jobs in every format, over real HTTP: complete, in order, the same; cut where they break."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from tasks.messaging.names import Queues
from tests.http_jobs import all_results, assert_problem, finish, submit
from tests.processes import Web, environment, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer, start_redis
from web.downloads.result_tables import SCHEMAS, flat, table_of

NDJSON, CSV, PARQUET = "application/x-ndjson", "text/csv", "application/vnd.apache.parquet"
ROWS = 1100  # more than two chunks


def results_of(job: dict[str, Any]) -> str:
    return f"/api/v1/jobs/{job['job_id']}/results"


def get(client: httpx.Client, address: str, accept: str) -> httpx.Response:
    answer = client.get(address, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def decoded(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def following(answer: httpx.Response) -> str | None:
    found = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
    return None if found is None else found[1]


@pytest.fixture(scope="module", params=["failure", "maintenance", "anomaly", "all"])
def job(web: Web, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A finished job of each kind, with rows that failed."""
    rows = [metrics(temperature=20 + n / 20) for n in range(ROWS)]
    rows[7] = {"charger_id": 5, "power": -1}
    return finish(web.client, submit(web.client, rows, f"?kind={request.param}&store=false")["job_id"])


def test_all_formats_say_the_same(client: httpx.Client, job: dict[str, Any]) -> None:
    pages = all_results(client, job["job_id"])
    assert len(pages) == ROWS
    lines = get(client, results_of(job), NDJSON)
    assert decoded(lines) == pages
    expected = table_of(lines.content.splitlines(), SCHEMAS[job["kind"]])
    binary = get(client, results_of(job), PARQUET)
    assert parquet.read_table(io.BytesIO(binary.content)).equals(expected)
    text = get(client, results_of(job), CSV)
    assert text.text.count("\r\n") == ROWS + 1
    rows = list(csv.DictReader(io.StringIO(text.text, newline="")))
    table = flat(expected)
    assert list(rows[0]) == table.column_names
    for name in ("row", "charger_id", "error.code", "error.errors", table.column_names[2]):
        shown = [None if cell == "" else cell for cell in (row[name] for row in rows)]
        held = table[name].to_pylist()
        assert [cell is None for cell in shown] == [cell is None for cell in held]
        if isinstance(held[0], float | int) and not isinstance(held[0], bool):
            assert [float(cell) for cell in shown if cell] == [cell for cell in held if cell is not None]
        elif not isinstance(held[0], bool):
            assert shown == held
    for answer, extension in ((lines, "ndjson"), (text, "csv"), (binary, "parquet")):
        assert answer.headers["Content-Disposition"].endswith(f'job-{job["job_id"]}.{extension}"')
        assert following(answer) is None


@pytest.fixture(scope="module")
def finished(web: Web) -> dict[str, Any]:
    rows = [metrics() for _ in range(ROWS)]
    return finish(web.client, submit(web.client, rows, "?store=false")["job_id"])


def test_a_part_can_be_asked_and_says_where_to_go_on(client: httpx.Client, finished: dict[str, Any]) -> None:
    first = get(client, f"{results_of(finished)}?cursor=490&limit=30", NDJSON)
    assert [row["row"] for row in decoded(first)] == list(range(490, 520))
    onward = following(first)
    assert onward == f"{results_of(finished)}?cursor=520&limit=30"
    assert decoded(get(client, onward, NDJSON))[0]["row"] == 520
    last = get(client, f"{results_of(finished)}?cursor={ROWS - 1}", CSV)
    assert (last.text.count("\r\n"), following(last)) == (2, None)
    beyond = get(client, f"{results_of(finished)}?cursor={ROWS + 5}", PARQUET)
    assert parquet.read_table(io.BytesIO(beyond.content)).num_rows == 0


def test_pages_of_json_link_to_the_next(client: httpx.Client, finished: dict[str, Any]) -> None:
    first = get(client, f"{results_of(finished)}?limit=600", "application/json")
    assert (len(first.json()["items"]), first.json()["next"]) == (600, "600")
    last = get(client, str(following(first)), "*/*")
    assert (len(last.json()["items"]), last.json()["next"]) == (ROWS - 600, None)
    assert following(last) is None


@pytest.mark.owasp("API4", "a page of results is bounded")
def test_a_page_of_json_has_at_most_a_thousand_rows_and_who_asks_for_more_is_told(
    client: httpx.Client, finished: dict[str, Any]
) -> None:
    assert len(get(client, f"{results_of(finished)}?limit=1000", "*/*").json()["items"]) == 1000
    refused = client.get(f"{results_of(finished)}?limit=1001")
    (error,) = assert_problem(refused, 422, "invalid_parameter")["errors"]
    assert (error["pointer"], error["code"]) == ("/query/limit", "range")
    for accept in (NDJSON, CSV, PARQUET):  # streams of any length
        assert get(client, f"{results_of(finished)}?limit=1001", accept).status_code == 200


CHOSEN = {
    "failure": "horizons.7d,charger_id,horizons.1d,error.code,recommended_actions",
    "maintenance": "row,cost_benefit",
    "anomaly": "charger_id,deviation.codes,is_anomaly",
    "all": "failure.failure_probability,charger_id,maintenance.cost_benefit.currency,anomaly",
}


def test_columns_can_be_chosen_in_every_format(client: httpx.Client, job: dict[str, Any]) -> None:
    names = CHOSEN[job["kind"]].split(",")
    address = f"{results_of(job)}?columns={','.join(names)}"
    lines = get(client, address, NDJSON)
    whole = get(client, results_of(job), NDJSON).content.splitlines()
    scored = json.loads(whole[0])
    assert set(decoded(lines)[0]) == {name.split(".")[0] for name in names} & set(scored)
    assert "error" in decoded(lines)[7] or "error.code" not in names
    first = get(client, f"{address}&limit=20", "application/json")
    assert first.json()["items"] == decoded(lines)[:20]
    onward = get(client, str(following(first)), "application/json")
    assert onward.json()["items"] == decoded(lines)[20:40]
    table = parquet.read_table(io.BytesIO(get(client, address, PARQUET).content))
    everything = table_of(whole, SCHEMAS[job["kind"]])
    assert table.num_rows == ROWS
    assert table.column_names == list(dict.fromkeys(name.split(".")[0] for name in names))
    flattened = flat(everything)
    for name in flat(table).column_names:
        assert flat(table)[name].equals(flattened[name])
    text = get(client, address, CSV).text
    assert next(csv.reader([text.splitlines()[0]])) == flat(table).column_names
    assert len(text) < len(get(client, results_of(job), CSV).text) / 2


def test_unknown_columns_are_refused_by_name(client: httpx.Client, finished: dict[str, Any]) -> None:
    for columns in ("risk", "", "charger_id,", "horizons.2d", "failure.failure_probability"):
        for accept in ("application/json", NDJSON, CSV, PARQUET):
            refused = client.get(
                results_of(finished), params={"columns": columns}, headers={"Accept": accept}
            )
            (error,) = assert_problem(refused, 422, "invalid_parameter")["errors"]
            assert error["pointer"] == "/query/columns"
            assert repr(columns.split(",")[-1]) in error["detail"]
            assert "failure_probability" in error["detail"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
        ("application/json;q=0.5, text/csv", "text/csv; charset=utf-8; header=present"),
        ("text/html, application/x-ndjson;q=0.1", NDJSON),
        ("text/csv; charset=utf-8", "text/csv; charset=utf-8; header=present"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;q=0.5; charset=utf-8, application/x-ndjson; charset=utf-8", NDJSON),
        ("text/html", None),
        ("text/csv;q=0", None),
    ],
)
def test_the_format_is_the_best_that_is_accepted(
    client: httpx.Client, finished: dict[str, Any], accept: str, expected: str | None
) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(method, results_of(finished), headers={"Accept": accept})
        if expected is None:
            assert (answer.status_code, answer.headers["Content-Type"]) == (406, "application/problem+json")
        else:
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, expected)
            assert "Accept" in answer.headers["Vary"]
        if method == "HEAD":
            assert answer.content == b""


def test_what_is_done_can_be_read_while_the_job_runs(client: httpx.Client) -> None:
    job = submit(client, [metrics() for _ in range(30_000)], "?kind=all&store=false")
    wait_until(lambda: client.get(f"/api/v1/jobs/{job['job_id']}").json()["done"] > 0, what="a first chunk")
    rows: list[int] = []
    parts = 0
    address: str | None = results_of(job)

    def read_on() -> bool:
        nonlocal address, parts
        assert address is not None
        answer = get(client, address, NDJSON)
        rows.extend(row["row"] for row in decoded(answer))
        address = following(answer)
        parts += 1
        assert address is None or address.endswith(f"cursor={len(rows)}")
        return address is None

    wait_until(read_on, what="the last row")
    assert rows == list(range(30_000))
    assert parts > 1


def test_of_a_cancelled_job_everything_that_is_done_can_be_read(client: httpx.Client) -> None:
    job = submit(client, [metrics() for _ in range(20_000)], "?kind=all&store=false")
    wait_until(lambda: client.get(f"/api/v1/jobs/{job['job_id']}").json()["done"] > 0, what="a first chunk")
    cancelled = client.delete(f"/api/v1/jobs/{job['job_id']}").json()
    answer = get(client, results_of(job), NDJSON)
    assert len(decoded(answer)) == cancelled["done"]
    assert following(answer) is None


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module", params=["asgi", "gunicorn"])
def own_web(own_redis: RunningServer, request: pytest.FixtureRequest) -> Iterator[Web]:
    env = environment(own_redis.url, WEB_THREADS="8")
    with start_worker(Queues.BATCH, env), Web(env, server=request.param) as web:
        yield web


@pytest.fixture(scope="module")
def large(own_web: Web) -> dict[str, Any]:
    """A finished job whose results are far more than the buffers between service and client hold."""
    rows = [metrics() for _ in range(20_000)]
    return finish(own_web.client, submit(own_web.client, rows, "?store=false")["job_id"])


@pytest.mark.owasp("API4", "abandoned downloads free their threads")
def test_downloads_that_are_given_up_free_their_places(own_web: Web, large: dict[str, Any]) -> None:
    client, address = own_web.client, results_of(large)

    def begin() -> httpx.Response:
        request = client.build_request("GET", address, headers={"Accept": NDJSON})
        return client.send(request, stream=True)

    open_ones = [begin() for _ in range(2)]  # a quarter of the threads
    assert [answer.status_code for answer in open_ones] == [200] * 2
    refused = begin()
    refused.read()
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
    assert refused.headers["Retry-After"]
    assert client.get("/health").status_code == 200
    for answer in open_ones:
        answer.close()

    def accepted() -> bool:
        answer = begin()
        answer.close()
        return answer.status_code == 200

    wait_until(accepted, what="a free place", log=own_web.log)
    assert "Traceback" not in own_web.log()


@pytest.mark.parametrize("accept", [NDJSON, CSV])
def test_a_download_whose_redis_goes_away_is_cut_and_does_not_look_complete(
    own_web: Web, own_redis: RunningServer, large: dict[str, Any], accept: str
) -> None:
    with own_web.client.stream("GET", results_of(large), headers={"Accept": accept}) as answer:
        assert answer.status_code == 200
        received = answer.iter_raw(1000)
        next(received)
        own_redis.pause()
        try:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                for _ in received:
                    pass
        finally:
            own_redis.resume()
    assert "a stream is cut: " in own_web.log()


def test_who_asks_while_redis_is_away_gets_a_problem(
    own_web: Web, own_redis: RunningServer, large: dict[str, Any]
) -> None:
    own_redis.pause()
    try:
        answer = own_web.client.get(results_of(large), headers={"Accept": CSV})
    finally:
        own_redis.resume()
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
