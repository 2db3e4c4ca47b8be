"""`GET /api/v1/jobs/{id}/results`: JSON pages, or a stream of NDJSON, CSV or Parquet, by `Accept`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import orjson
from flask_smorest import Blueprint
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotAcceptable

from errors import FieldError, InvalidParameter
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import Lines
from web.http.messages import Response, current_request
from web.http.paging import next_link, page
from web.http.roles import needs
from web.http.services import services
from web.http.streaming import StreamBroken, stream
from web.openapi import job_schemas, schemas
from web.openapi.decorators import refuses, takes_headers
from web.openapi.header_schemas import ResultsHeadersSchema

if TYPE_CHECKING:
    from web.downloads.chosen_columns import Columns

blueprint = Blueprint("results", __name__, url_prefix="/api/v1/jobs", description="What came of a job.")


@dataclass(frozen=True, slots=True)
class Format:
    """The content type and file extension of a result format. `web/downloads/result_files.py` writes it.

    `shows_its_end`: a truncated file is detectably incomplete.
    """

    content_type: str
    extension: str
    shows_its_end: bool


# All downloads are converted in these two threads. Allocators keep the memory that a thread has once used,
# and 32 threads would keep a gigabyte.
_converters: Final = ThreadPoolExecutor(2, thread_name_prefix="results")
JSON: Final = "application/json"
FORMATS: Final = {
    "application/x-ndjson": Format("application/x-ndjson", "ndjson", shows_its_end=False),
    "text/csv": Format("text/csv; charset=utf-8; header=present", "csv", shows_its_end=False),
    "application/vnd.apache.parquet": Format("application/vnd.apache.parquet", "parquet", shows_its_end=True),
}
CONTENT_TYPES: Final = [JSON, *FORMATS]
RECEIPT_TYPES: Final = (JSON, "application/x-ndjson")
_DESCRIBED: Final = {
    "responses": {
        200: {
            "headers": {
                "Link": {
                    "description": "`rel=next`: where to go on, if rows follow or will follow (RFC 8288).",
                    "schema": {"type": "string"},
                }
            },
            "content": {
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "A row a line, as in `items`."}
                },
                "text/csv": {
                    "schema": {
                        "type": "string",
                        "description": "RFC 4180 with a header. What is nested has dotted names "
                        "(`horizons.7d`, `error.code`; of kind `all`: `failure.failure_probability`), lists "
                        "are JSON text, what is missing is empty.",
                    }
                },
                "application/vnd.apache.parquet": {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": "Nested as the JSON is, moments as timestamps, zstd.",
                    }
                },
            },
        }
    },
}


@blueprint.route("/<string:job_id>/results")
@blueprint.arguments(job_schemas.ResultsQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint, 404, 406)
@takes_headers(blueprint, ResultsHeadersSchema)
@blueprint.doc(**_DESCRIBED)
@needs("read")
def job_results_by_accept(query: dict[str, Any], job_id: str) -> Response:
    """Results in input order, also of a job that still runs: up to the first row that is missing

    A cancelled job's rows are those that were done, which may have gaps: each row says its number.
    A page of JSON holds at most 1,000 rows. Its `next` is null at the end of the input. It is the same cursor
    again where the next row is not scored yet. The other formats are streams from `cursor` on: of `limit`
    rows, or of all that are done; where more follow, `Link` says where to go on. What breaks off is never
    ended as if it were complete.
    """
    wanted = _wanted_type()
    job = services().jobs.get(job_id, current_request().tenant)
    if wanted != JSON:
        return download(job, wanted, query)
    limit, columns = query.get("limit"), _columns(job, query.get("columns"))
    if limit is not None and limit > schemas.MAX_PAGE:
        detail = f"Must be between 1 and {schemas.MAX_PAGE:,} for pages of JSON. Other formats take more."
        raise InvalidParameter([FieldError("/query/limit", detail, "range")])
    return _page(job, start=query["cursor"], limit=limit or schemas.PAGE, columns=columns)


def download(
    job: Job, wanted: str, query: dict[str, Any], *, for_spreadsheets: bool | None = None
) -> Response:
    """A stream of a job's results in one of `FORMATS`. `query` is loaded by `ResultsQuerySchema`.

    `for_spreadsheets`: no text of a CSV is a formula; None is the setting `ML_CSV_ESCAPE_FORMULAS`.

    Blocks until the first part is ready. Raises `QueueFull`, `InvalidParameter` for unknown columns, and
    werkzeug's 406 for the receipt of an erasure as a table.
    """
    if job.kind == "erase" and wanted not in RECEIPT_TYPES:
        raise NotAcceptable(f"The receipt of an erasure is {' or '.join(RECEIPT_TYPES)}.")
    if for_spreadsheets is None:
        for_spreadsheets = services().settings.csv_escape_formulas
    return _stream(
        job,
        wanted,
        start=query["cursor"],
        limit=query.get("limit"),
        columns=_columns(job, query.get("columns")),
        escapes=for_spreadsheets and wanted == "text/csv",
    )


def _columns(job: Job, named: str | None) -> Columns | None:
    """The fields of a row that are wanted, None for all. Raises `InvalidParameter` for unknown ones.

    The receipt of an erasure is returned whole.
    """
    if named is None or job.kind == "erase":
        return None
    from web.downloads.chosen_columns import chosen  # pyarrow, as below

    return chosen(job.kind, named)


def _wanted_type() -> str:
    """The best accepted content type. Parameters are ignored: `text/csv; charset=utf-8` is CSV."""
    named = [(name.partition(";")[0].strip(), q) for name, q in current_request().accept_mimetypes]
    wanted = MIMEAccept(named).best_match(CONTENT_TYPES) if named else JSON
    if wanted is None:
        raise NotAcceptable(f"There is {', '.join(CONTENT_TYPES)}.")
    return wanted


def _page(job: Job, *, start: int, limit: int, columns: Columns | None) -> Response:
    results: list[bytes] = []
    for lines in services().jobs.lines(job, start):
        results += lines[: limit - len(results)]
        if len(results) == limit:
            break
    end = _row(results[-1]) + 1 if results else start
    more = end < job.total and not (job.ended and not results)
    if columns is not None:
        results = [columns.of_line(line) for line in results]
    answer = page(results, following=end if more else None, total=job.total)
    answer.vary.add("Accept")
    return answer


def _stream(
    job: Job, wanted: str, *, start: int, limit: int | None, columns: Columns | None, escapes: bool
) -> Response:
    """Stream exactly the rows that the headers announce. Rows scored meanwhile are for the next request."""
    from web.downloads.result_files import (
        WRITERS,  # pyarrow: 40 MB, only in web processes that serve files
        as_csv_for_spreadsheets,
    )

    held = services()
    there = held.jobs.scored(job, start)
    rows = sum(map(len, there))
    following = there[-1].stop if there else min(start, job.total)
    if limit is not None and limit < rows:
        rows, following = limit, next(islice(chain.from_iterable(there), limit, None))
    elif job.ended:
        following = job.total
    how = FORMATS[wanted]
    chunks = _chunks(held.jobs.lines(job, start), rows=rows)
    headers = {
        **next_link(following if following < job.total else None),
        "Content-Disposition": f'attachment; filename="job-{job.job_id}.{how.extension}"',
        "Vary": "Accept",
    }
    write = as_csv_for_spreadsheets if escapes else WRITERS[wanted]
    parts = _in_turn(write(chunks, job.kind, columns))
    return stream(
        lambda _connection: parts,
        content_type=how.content_type,
        headers=headers,
        within=held.downloads,
        shows_its_end=how.shows_its_end,
    )


def _row(line: bytes) -> int:
    number: int = orjson.loads(line)["row"]
    return number


def _chunks(chunks: Lines, *, rows: int) -> Lines:
    """The first `rows` lines. Raises `StreamBroken` if there are fewer, because they have expired."""
    while rows:
        lines = next(chunks, [])[:rows]
        if not lines:
            raise StreamBroken(f"{rows} rows of a job's results are gone")
        yield lines
        rows -= len(lines)


def _in_turn(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, produced in the converter threads."""
    while (part := _converters.submit(next, parts, None).result()) is not None:
        yield part
