"""Files as they come: packed, cut off, too large, wrong in a row or as a whole; each has one clear answer."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson
import pyarrow as pa
import pytest

from bench.fleet_file import fleet_table
from tests.batches import CSV, NDJSON, PARQUET, ended, job_of, ndjson_of, parquet_of, post_file, results_of
from tests.http_jobs import assert_half_is_refused, assert_problem
from tests.processes import Web, environment
from tests.readings import metrics
from tests.services import RunningServer

JSON = "application/json"
GZIP = {"Content-Encoding": "gzip"}
MOST_ROWS = 20_000
MOST_BYTES = 8_000_000
LARGE_ROW_BYTES = 1500
LARGE_BODY_BYTES = 150_000_000
MOST_GROWTH_KB = 150_000


@pytest.fixture(scope="module")
def strict(web: Web, redis: RunningServer) -> Iterator[httpx.Client]:
    """A web process with low limits, before the same Redis and workers."""
    limits = {"ML_MAX_BATCH_ROWS": str(MOST_ROWS), "ML_MAX_BATCH_BYTES": str(MOST_BYTES)}
    with Web(environment(redis.url, **limits)) as strict:
        yield strict.client


def scored(client: httpx.Client, content: Any, content_type: str, **headers: str) -> list[dict[str, Any]]:
    job_id = job_of(post_file(client, content, content_type, **headers))
    assert ended(client, job_id)["status"] == "SUCCEEDED"
    return results_of(client, job_id)


@pytest.mark.parametrize("content_type", [JSON, NDJSON, CSV, PARQUET])
def test_every_format_may_be_packed(client: httpx.Client, content_type: str) -> None:
    rows = [metrics(temperature=20.5 + number) for number in range(3)]
    text = "charger_id,connector_status\n" + "".join(f"{row['charger_id']},CHARGING\n" for row in rows)
    table = pa.table({name: [row[name] for row in rows] for name in ("charger_id", "connector_status")})
    body = {
        JSON: orjson.dumps({"chargers": rows}),
        NDJSON: ndjson_of(rows),
        CSV: text.encode(),
        PARQUET: parquet_of(table),
    }[content_type]
    results = scored(client, gzip.compress(body), content_type, **GZIP)
    assert [row["charger_id"] for row in results] == [row["charger_id"] for row in rows]
    assert all("failure_probability" in row for row in results)


@pytest.mark.owasp("API4", "compressed files are limited by their unpacked size")
def test_what_grows_beyond_the_limit_when_unpacked_is_413(strict: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (20 * MOST_BYTES))
    assert len(bomb) < MOST_BYTES
    assert_problem(post_file(strict, bomb, NDJSON, **GZIP), 413, "too_large")


@pytest.mark.owasp("API10", "damaged gzip files are refused")
def test_damaged_gzip_is_400(client: httpx.Client) -> None:
    whole = gzip.compress(ndjson_of([metrics() for _ in range(2000)]))
    for damaged in (
        whole[:-20],
        whole[: len(whole) // 2],
        whole[:200] + b"\0" * 50 + whole[250:],
        b"no gzip",
    ):
        assert_problem(post_file(client, damaged, NDJSON, **GZIP), 400, "malformed_body")


def test_another_encoding_is_415(client: httpx.Client) -> None:
    answer = post_file(client, b"{}", NDJSON, **{"Content-Encoding": "br"})
    assert_problem(answer, 415, "unsupported_media_type")


def test_csv_as_spreadsheets_write_it(client: httpx.Client) -> None:
    """With a byte order mark, quoted line breaks and commas, empty lines, and rows of the wrong length."""
    text = (
        "\ufeffcharger_id,connector_status,temperature,note\r\n"
        'CSV-0,CHARGING,41.5,"two\r\nlines, and a comma"\r\n'
        "CSV-1,AVAILABLE,,\r\n"
        "\r\n"
        "CSV-2,AVAILABLE\r\n"
        "CSV-3,AVAILABLE,20,fine,one too many\r\n"
        'CSV-4,SuspendedEV,"19",""\r\n'
        "CSV-5,AVAILABLE,warm,\r\n"
    )
    results = scored(client, text.encode(), CSV)
    assert [row["charger_id"] for row in results] == [f"CSV-{number}" for number in range(6)]
    right = [row["row"] for row in results if "failure_probability" in row]
    assert right == [0, 1, 4]
    assert [results[number]["error"]["code"] for number in (2, 3)] == ["malformed_body"] * 2
    (problem,) = results[5]["error"]["errors"]
    assert problem["pointer"] == "/temperature"


HEADING: Final = b"charger_id,connector_status,note\n"
ROW: Final = b"A,CHARGING,\xc3\xa9\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            HEADING + b"A,CHARGING,\xff\n" + ROW,
            "line 2 has the byte 0xff as its character 12. Save it as UTF-8",
        ),
        (HEADING + ROW * 5000 + b"A,CHARGING,\xe9t\xe9\n" + ROW * 9, "line 5002 has the byte 0xe9"),
        (HEADING + b'A,CHARGING,"two\nlines \xc3"\n', "line 3 has the byte 0xc3"),
        (b"\xff\xfe" + "charger_id,connector_status\n".encode("utf-16-le"), "The file is in UTF-16"),
        (HEADING + b'A,CHARGING,"\n' + ROW * 3, "in the row of line 2 is never closed"),
        (HEADING + ROW + b'A,"CHARGING', "in the row of line 3 is never closed"),
        (HEADING + b'A,CHARGING,"a\nb"\n\n' + b'A,CHARGING,"', "in the row of line 5 is never closed"),
        (HEADING + b'A,CHARGING,"\n' + ROW * 600_000, "in the row of line 2 is never closed"),
        (b'charger_id,"connector_status\nA,CHARGING\n', "in the row of line 1 is never closed"),
    ],
    ids=["byte", "far", "within", "utf-16", "quote", "last", "third", "large", "header"],
)
def test_what_makes_a_file_no_csv_is_named_with_its_line(
    client: httpx.Client, body: bytes, said: str
) -> None:
    problem = assert_problem(post_file(client, body, CSV), 400, "malformed_body")
    assert said in problem["detail"]


def test_a_broken_line_of_ndjson_fails_alone(client: httpx.Client) -> None:
    body = (
        ndjson_of([metrics("LINE-0")])
        + b'\n{"charger_id":"LINE-1",\n\xff\xfe\n\n'
        + ndjson_of([metrics("LINE-4")])
    )
    results = scored(client, body, NDJSON)
    assert ["failure_probability" in row for row in results] == [True, False, False, True]
    assert {row["error"]["code"] for row in results[1:3]} == {"malformed_body"}


@pytest.mark.owasp("API10", "damaged Parquet files are refused")
def test_a_damaged_parquet_file_is_400(client: httpx.Client) -> None:
    whole = parquet_of(fleet_table(1000))
    middle = len(whole) // 2
    scrambled = whole[: middle - 200] + bytes(200) + whole[middle:]
    for damaged in (whole[:-100], whole[:middle], b"PAR1", b"no Parquet at all", scrambled):
        assert_problem(post_file(client, damaged, PARQUET), 400, "malformed_body")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (CSV, b"charger_id,power\nA,1\n"),
        (PARQUET, parquet_of(pa.table({"charger_id": ["A"], "power": [1.0]}))),
    ],
)
def test_a_missing_column_is_named(client: httpx.Client, content_type: str, body: bytes) -> None:
    problem = assert_problem(post_file(client, body, content_type), 422, "invalid_reading")
    assert [error["pointer"] for error in problem["errors"]] == ["/connector_status"]


@pytest.mark.owasp("API4", "batches are limited in rows")
def test_too_many_rows_are_413(strict: httpx.Client) -> None:
    row = b'{"charger_id":"MANY","connector_status":"CHARGING"}\n'
    assert_problem(post_file(strict, row * (MOST_ROWS + 1), NDJSON), 413, "too_large")
    assert job_of(post_file(strict, row * MOST_ROWS, NDJSON))


def test_too_many_bytes_are_413_with_and_without_a_length(strict: httpx.Client) -> None:
    body = b" " * (MOST_BYTES + 1)
    assert_problem(post_file(strict, body, NDJSON), 413, "too_large")
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    assert_problem(post_file(strict, pieces, NDJSON), 413, "too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_an_unknown_content_type_is_415(client: httpx.Client, content_type: str) -> None:
    assert_problem(post_file(client, b"x", content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"chargers":[]}'),
        (NDJSON, b""),
        (NDJSON, b"\n \n"),
        (CSV, b""),
        (CSV, b"charger_id,connector_status\n"),
        (PARQUET, parquet_of(fleet_table(1).slice(0, 0))),
    ],
)
def test_a_file_without_rows_is_422(client: httpx.Client, content_type: str, body: bytes) -> None:
    assert_problem(post_file(client, body, content_type), 422, "invalid_reading")


def test_json_of_more_than_a_megabyte_is_read_piece_by_piece(client: httpx.Client) -> None:
    rows: list[Any] = [
        metrics(temperature=20 + number / 1000, total_sessions=number) for number in range(6000)
    ]
    rows[77] = {"charger_id": "BAD", "power": -1}
    rows[78], rows[79] = metrics(power="HUGE"), metrics(power="HUGER")
    body = orjson.dumps({"version": 1, "chargers": rows, "more": {"chargers": [1]}})
    body = body.replace(b'"HUGE"', b"1" * 40).replace(b'"HUGER"', b"1e999")
    assert len(body) > 1_000_000
    results = scored(client, body, JSON)
    assert [row["charger_id"] for row in results] == [row["charger_id"] for row in rows]
    assert [row["row"] for row in results if "error" in row] == [77, 78, 79]
    assert_problem(post_file(client, body[:-300_000], JSON), 400, "malformed_body")
    assert_problem(post_file(client, b" " * 1_000_001, JSON), 400, "malformed_body")
    assert_problem(post_file(client, b'{"other":"' + b"x" * 1_000_001 + b'"}', JSON), 422, "invalid_reading")


def repeated(text: str, rows: int) -> bytes:
    """A file that holds a text once, however many rows have it."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    columns = {"charger_id": texts, "connector_status": pa.array(["CHARGING"] * rows)}
    return parquet_of(pa.table(columns))


@pytest.mark.owasp("API4", "rows of a file are limited in size")
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (PARQUET, repeated("x" * 200_000, 4096)),
        (NDJSON, ndjson_of([{"charger_id": "EVZ-1", "metadata": "x" * 900_000}] * 100)),
        (CSV, b"charger_id,connector_status\n" + b"x" * 1_000_001),
        (CSV, b"charger_id,connector_status\n" + (b"x" * 900_000 + b",CHARGING\n") * 100),
    ],
    ids=["parquet", "ndjson", "csv line", "csv rows"],
)
def test_rows_that_are_too_large_are_413(client: httpx.Client, content_type: str, body: bytes) -> None:
    assert_problem(post_file(client, body, content_type), 413, "too_large")


def test_a_large_cell_is_its_rows_error(client: httpx.Client) -> None:
    text = "charger_id,connector_status\nEVZ-1,CHARGING\n" + "x" * 200_000 + ",CHARGING\nEVZ-2,CHARGING\n"
    assert ["error" in row for row in scored(client, text.encode(), CSV)] == [False, True, False]


def test_texts_may_be_written_in_any_way_that_parquet_has(client: httpx.Client) -> None:
    ids = ["EVZ-1", "EVZ-2", None, "EVZ-1"]
    table = pa.table(
        {
            "charger_id": pa.array(ids).dictionary_encode(),
            "connector_status": pa.array(["CHARGING"] * 4, pa.large_string()),
            "error_codes": pa.array([["GroundFailure"], [], None, ["GroundFailure"]]),
            "metadata": pa.array([[("a", "b")], None, None, None], pa.map_(pa.string(), pa.string())),
            "unknown": pa.array([b"a"] * 4),
        }
    )
    results = scored(client, parquet_of(table), PARQUET)
    assert [row["charger_id"] for row in results] == ids
    assert ["error" in row for row in results] == [False, False, True, False]
    assert results[0]["horizons"] == results[3]["horizons"] != results[1]["horizons"]


def test_ids_of_parquet_may_be_integers_and_failed_rows_have_theirs(client: httpx.Client) -> None:
    table = pa.table({"charger_id": [9001, 9002], "connector_status": ["Charging", "SINGING"]})
    results = scored(client, parquet_of(table), PARQUET)
    assert [(row["charger_id"], "error" in row) for row in results] == [("9001", False), ("9002", True)]


def test_other_columns_with_dots_in_their_names_are_ignored(client: httpx.Client) -> None:
    """As our own results have them when somebody makes Parquet of their CSV."""
    named = {"charger_id": ["EVZ-1"], "connector_status": ["CHARGING"], "power": [7.0]}
    others = {"power.max": [11.0], "metadata.site": ["Depot"], "horizons.7d": ["0.3"], "tags.": [["x"]]}
    (row,) = scored(client, parquet_of(pa.table(named | others)), PARQUET)
    (alone,) = scored(client, parquet_of(pa.table(named)), PARQUET)
    assert row["failure_probability"] == alone["failure_probability"]


def test_texts_may_be_views(client: httpx.Client) -> None:
    """An Arrow type that such a file remembers, though Parquet itself has but one kind of text."""
    table = pa.table(
        {
            "charger_id": pa.array(["EVZ-1"], pa.string_view()),
            "connector_status": pa.array(["CHARGING"], pa.string_view()),
            "error_codes": pa.array([["GroundFailure"]], pa.list_(pa.string_view())),
        }
    )
    (row,) = scored(client, parquet_of(table), PARQUET)
    assert (row["charger_id"], "error" in row) == ("EVZ-1", False)


@pytest.mark.owasp("API4", "a large file is not held in memory")
def test_the_web_process_holds_no_large_body(redis: RunningServer) -> None:
    env = environment(redis.url.replace("/0", "/9"))  # no worker there: the web process alone is looked at
    row = orjson.dumps(metrics(metadata={"note": "x" * LARGE_ROW_BYTES}))

    def body() -> Iterator[bytes]:
        yield b'{"chargers":[' + row
        for _ in range(LARGE_BODY_BYTES // len(row) // 100):
            yield (b"," + row) * 100
        yield b"]}"

    with Web(env) as web:
        first = gzip.compress(b'{"chargers":[' + row + (b"," + row) * 1000 + b"]}")
        job_of(post_file(web.client, first, JSON, **GZIP))  # what is loaded when first needed
        before_kb = web.peak_kb()
        job_of(post_file(web.client, body(), JSON))
        assert web.peak_kb() - before_kb < MOST_GROWTH_KB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_half_a_file_is_no_file(web: Web, framing: str) -> None:
    """Of lines nobody can see that more were to come, but by the connection."""
    assert_half_is_refused(
        web, f"half-{framing}", ndjson_of([metrics() for _ in range(2000)]), NDJSON, framing
    )
