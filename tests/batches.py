"""Batch jobs as a caller handles them: submit a file, wait for the end, read the results page by page."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.processes import wait_until

BATCH: Final = "/api/v1/predictions/batch"
PARQUET: Final = "application/vnd.apache.parquet"
CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
LARGEST_PAGE: Final = 1000


def parquet_of(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=50_000)
    return file.getvalue()


def ndjson_of(rows: Iterable[object]) -> bytes:
    return b"\n".join(map(orjson.dumps, rows))


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Sent without a length, in chunks."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


def post_file(
    client: httpx.Client, content: Any, content_type: str, query: str = "", **headers: str
) -> httpx.Response:
    """POST a batch's file; the answer, whatever it is."""
    return client.post(
        f"{BATCH}{query}", content=content, headers={"Content-Type": content_type, **headers}, timeout=300
    )


def job_of(answer: httpx.Response) -> str:
    """The id of the job that was accepted."""
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def job_state(client: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


def ended(client: httpx.Client, job_id: str, *, timeout_s: float = 60) -> dict[str, Any]:
    """The job once it has ended."""
    state: dict[str, Any] = {}

    def over() -> bool:
        state.update(job_state(client, job_id))
        return state["status"] in ("SUCCEEDED", "FAILED", "CANCELLED")

    wait_until(over, what=f"the end of job {job_id}", timeout_s=timeout_s, log=lambda: str(state))
    return state


def pages(client: httpx.Client, job_id: str, limit: int = LARGEST_PAGE) -> Iterator[list[dict[str, Any]]]:
    """A job's results, page by page."""
    cursor: str | None = "0"
    while cursor is not None:
        page = client.get(f"/api/v1/jobs/{job_id}/results?limit={limit}&cursor={cursor}").json()
        if not page["items"]:
            return
        yield page["items"]
        cursor = page["next"]


def results_of(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    return [row for page in pages(client, job_id) for row in page]
