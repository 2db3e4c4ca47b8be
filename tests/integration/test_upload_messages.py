"""What a caller is told about a file: columns that are not read, and each of the usual mistakes."""

from __future__ import annotations

import httpx
import pyarrow as pa
import pytest

from tests.batches import CSV, NDJSON, PARQUET, ended, job_of, parquet_of, post_file, results_of
from tests.http_jobs import assert_problem, submit
from tests.readings import metrics

HEADER = b"charger_id,connector_status,energy_delivered\n"


def test_a_job_lists_the_columns_of_its_csv_that_are_not_read(client: httpx.Client) -> None:
    body = b"charger_id,connector_status,temprature,Power\nEVZ-1,CHARGING,41.5,7\n"
    answer = post_file(client, body, CSV)
    assert answer.json()["ignored_columns"] == ["temprature", "Power"]
    job = ended(client, job_of(answer))
    assert (job["ignored_columns"], job["failed"]) == (["temprature", "Power"], 0)


def test_a_job_lists_the_columns_of_its_parquet_that_are_not_read(client: httpx.Client) -> None:
    columns = {"charger_id": ["EVZ-1"], "temprature": [41.5], "connector_status": ["CHARGING"]}
    nested = {"site": [{"name": "Depot"}], "metadata": [{"site": "Depot"}]}
    job = ended(client, job_of(post_file(client, parquet_of(pa.table(columns | nested)), PARQUET)))
    assert (job["ignored_columns"], job["failed"]) == (["temprature", "site"], 0)


def test_of_many_columns_that_are_not_read_a_hundred_are_listed(client: httpx.Client) -> None:
    names = [f"{number:03d}" + "é" * 200 for number in range(300)]
    body = f"charger_id,connector_status,{','.join(names)}\nEVZ-1,CHARGING{',' * 300}\n"
    job = ended(client, job_of(post_file(client, body.encode(), CSV)))
    assert job["ignored_columns"] == [name[:100] for name in names[:100]]
    assert job["failed"] == 0


def test_a_job_from_json_ignores_no_columns(client: httpx.Client) -> None:
    assert submit(client, [metrics(firmware="1.2")])["ignored_columns"] == []


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        (CSV, b"", [("", "The file is empty.")]),
        (CSV, HEADER, [("", "The file has a header but no rows.")]),
        (NDJSON, b"\n \n", [("", "The file is empty.")]),
        (
            PARQUET,
            parquet_of(pa.table({"charger_id": ["A"], "connector_status": ["CHARGING"]}).slice(0, 0)),
            [("", "The file has columns but no rows.")],
        ),
        (
            CSV,
            b"charger_id,power\nA,7\n",
            [
                (
                    "/connector_status",
                    "Column connector_status is missing. The columns are: charger_id, power.",
                )
            ],
        ),
        *(
            (
                CSV,
                f"charger_id{mark}connector_status{mark}power\nA{mark}CHARGING{mark}7\n".encode(),
                [
                    (f"/{name}", f"Column {name} is missing. The header looks {how}; use commas.")
                    for name in ("charger_id", "connector_status")
                ],
            )
            for mark, how in ((";", "semicolon-separated"), ("\t", "tab-separated"))
        ),
    ],
)
def test_a_file_that_cannot_be_scored_says_why(
    client: httpx.Client, content_type: str, body: bytes, told: list[tuple[str, str]]
) -> None:
    problem = assert_problem(post_file(client, body, content_type), 422, "invalid_reading")
    assert [(each["pointer"], each["detail"]) for each in problem["errors"]] == told


def test_a_decimal_comma_is_told(client: httpx.Client) -> None:
    body = HEADER + b'EVZ-1,CHARGING,"18,4"\nEVZ-2,CHARGING,much\nEVZ-3,CHARGING,184000\n'
    job = ended(client, job_of(post_file(client, body, CSV)))
    assert [(each["row"], each["pointer"], each["detail"], each["code"]) for each in job["errors"]] == [
        (0, "/energy_delivered", "'18,4' is not a number; use a decimal point.", "type"),
        (1, "/energy_delivered", "'much' is not a number.", "type"),
        (2, "/energy_delivered", "Must be between 0 and 10,000 (kWh). Is this Wh?", "range"),
    ]


@pytest.mark.parametrize(
    ("between", "told"), [(b"\n", "Line 2 is not JSON."), (b"\n\n", "The line is not JSON.")]
)
def test_a_line_that_is_not_json_is_told_by_its_number(
    client: httpx.Client, between: bytes, told: str
) -> None:
    """Of a file with blank lines, which are no rows, the service does not know the numbers of its lines."""
    good = b'{"charger_id":"EVZ-1","connector_status":"CHARGING"}'
    job_id = job_of(post_file(client, between.join([good, b"{broken", good]) + b"\n\n", NDJSON))
    assert [each["detail"] for each in ended(client, job_id)["errors"]] == [told]
    assert [row.get("error", {}).get("detail") for row in results_of(client, job_id)] == [None, told, None]
