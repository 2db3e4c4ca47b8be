"""`POST /api/v1/predictions/batch`: score a file as a job. `Prefer: wait=N` returns its results directly."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
from flask import request, url_for
from flask_smorest import Blueprint
from redis import RedisError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_list_header, unquote_header_value

import metrics
import tracing
from errors import (
    FieldError,
    InvalidParameter,
    InvalidReading,
    ServiceError,
    Unauthorized,
)
from tasks.jobs.idempotency import Claim
from tasks.jobs.job_limits import Reservation
from tasks.jobs.job_record import Job
from tasks.jobs.job_store import Draft
from tasks.monitoring import watermarks
from tasks.storage import redis_clock
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.http.streaming import StreamBroken, check_length, stream
from web.openapi import job_schemas
from web.openapi.decorators import LIMIT_HEADERS, refuses, takes, takes_headers
from web.openapi.header_schemas import BatchHeadersSchema
from web.uploads import chunking
from web.uploads.upload import Upload, received

log = logging.getLogger(__name__)

blueprint = Blueprint(
    "batch", __name__, url_prefix="/api/v1/predictions", description="A whole fleet at once."
)

MAX_WAIT_S: Final = 30.0
# Redis notifies waiting requests of the end; this polling covers a lost notification.
LOOK_EVERY_S: Final = 1.0
# Up to this many rows (a kilobyte each) are sent in one piece, more rows chunk by chunk.
HELD_WHOLE_ROWS: Final = 4_096
_FILES: Final = {
    "application/x-ndjson": "A reading (schema Reading) a line.",
    "text/csv": "RFC 4180 in UTF-8, a header with the reading's fields; an empty cell is missing; several "
    "`error_codes` have `;` between them.",
    "application/vnd.apache.parquet": "A column for each of the reading's fields.",
}
# Of a file that can be read and holds nothing to score.
NO_ROWS: Final = {
    "application/x-ndjson": "The file is empty.",
    "text/csv": "The file has a header but no rows.",
    "application/vnd.apache.parquet": "The file has columns but no rows.",
}
IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


@blueprint.route("/batch", methods=["POST"])
@takes(blueprint, job_schemas.BatchRequestSchema, _FILES)
@takes_headers(blueprint, BatchHeadersSchema)
@blueprint.arguments(job_schemas.BatchQuerySchema, location="query")
@blueprint.response(202, job_schemas.JobSchema, headers=LIMIT_HEADERS)
@blueprint.alt_response(
    200,
    schema=job_schemas.BatchResultSchema,
    description="With `Prefer: wait=N`, ended in N s.",
    headers=LIMIT_HEADERS,
)
@refuses(blueprint, 400, 408, 409, 413, 415, 422, 429, 507)
@needs("predict")
def submit_batch(query: dict[str, Any]) -> Response:
    """Score many readings as a job"""
    return _job_response(accept(query))


def accept(query: dict[str, Any]) -> Job:
    """Receive this request's body as a job, and begin it. `query` is loaded by `BatchQuerySchema`.

    A request with an `Idempotency-Key` that was used before has the job of then. Blocks until the body is
    received and its rows are stored.

    Raises `InsufficientStorage`, `RateLimited`, `QueueFull`, `UnsupportedMediaType`, `MalformedBody`,
    `InvalidReading`, `InvalidParameter`, `Conflict`, and werkzeug's 408, 411 and 413.
    """
    held, tenant, key = services(), current_request().tenant, _idempotency_key()
    media_type = chunking.media_type_of(current_request())
    held.check_room()
    if media_type in chunking.OF_LINES:
        check_length(current_request())
    store: bool = query.get("store", media_type == "application/json")
    check_disk = partial(watermarks.check_disk, held.settings)
    with (
        _reserved(key) as reservation,
        received(current_request(), held.settings.max_batch_bytes, check_disk) as upload,
    ):
        draft = held.jobs.draft(
            kind=query["kind"],
            tenant=tenant,
            store=store,
            remember=query["history"],
            encoding=chunking.ENCODINGS[media_type],
            chunk_rows=held.chunk_sizer.chunk_rows(
                query["kind"],
                rows=chunking.rows_about(upload, media_type),
                processes=held.chunks.processes(),
            ),
            now=redis_clock.now(),
            trace=tracing.traceparent_of(current_request().span),
            reservation=reservation,
        )
        asked = f"{upload.digest}-{media_type}-{query['kind']}-{store}-{query['history']}"
        claim = held.idempotency_keys.claim(tenant, key, asked, draft.job_id) if key else None
        if isinstance(claim, str):
            reservation.give_back()
            return held.jobs.get(claim, tenant)
        try:
            reservation.start()
            _fill(draft, upload, media_type, claim)
        except Exception:
            draft.discard()
            if claim:
                claim.give_back()
            raise
        job = draft.commit(extra_commands=claim.settle if claim else lambda pipeline: None)
        current_request().limits = reservation.limits
    metrics.JOBS.labels(status="accepted").inc()
    try:
        held.chunks.feed(job.job_id)
    except (ServiceError, RedisError) as error:
        # The job is accepted: workers recover jobs whose chunks were not sent (tasks/worker/recovery.py).
        log.warning("job %s waits for a worker to find it: %s", job.job_id, error)
    return job


@contextmanager
def _reserved(idempotency_key: str | None) -> Iterator[Reservation]:
    """Reserve room for the job within the limits of its key and tenant, before the body is read.

    A request that may be a repeated one reserves later: its job is there, and may use the last room.

    Raises `RateLimited`.
    """
    held, caller = services(), current_request().caller
    if caller is None:
        raise Unauthorized("A batch needs a key.")
    with held.job_limits.reserved(caller.key.key_id, caller.key.limits, caller.tenant) as reservation:
        may_be_repeated = idempotency_key is not None and reservation.ledgers
        if not (may_be_repeated and held.idempotency_keys.is_used(caller.tenant, idempotency_key or "")):
            reservation.start()
        yield reservation


def _fill(draft: Draft, upload: Upload, media_type: str, claim: Claim | None) -> None:
    most_rows = services().settings.max_batch_rows
    for rows, data in chunking.cut(upload, media_type, draft.chunk_rows):
        if draft.rows + rows > most_rows:
            raise RequestEntityTooLarge(f"The batch holds more than {most_rows} readings.")
        draft.add(rows, data)
        if claim:
            claim.renew()
    if not draft.rows:
        pointer, detail = "", NO_ROWS.get(media_type, "")
        if not detail:
            pointer, detail = "/chargers", f"Must hold 1 to {most_rows} readings."
        raise InvalidReading([FieldError(pointer, detail, "range")])
    draft.ignored_columns, draft.blank_lines = upload.ignored_columns, upload.blank_lines


def _job_response(job: Job) -> Response:
    """200 with the results if the caller waits and the job ends in time, otherwise 202.

    The job is accepted already, so errors while waiting never change the status to a failure.
    """
    headers = {"Location": url_for("jobs.JobResource", job_id=job.job_id)}
    wait_s = min(preferred_wait_s(request.headers.get("Prefer", "")), MAX_WAIT_S)
    if wait_s:
        try:
            job = _some_time_later(job, wait_s)
            headers["Preference-Applied"] = f"wait={wait_s:g}"
            if job.ended:
                return _with_results(job, headers)
        except (ServiceError, RedisError, StreamBroken) as error:
            log.warning("the wait for job %s ended early: %s", job.job_id, error)
    return Response(
        orjson.dumps(job.document(redis_clock.now())), 202, content_type="application/json", headers=headers
    )


def _some_time_later(job: Job, wait_s: float) -> Job:
    """Wait until the job has ended, for at most `wait_s`. Raises `QueueFull` if too many requests wait."""
    held, deadline = services(), time.monotonic() + wait_s
    with held.waiting_threads, held.jobs.end_of(job.job_id) as wait:
        job = held.jobs.get(job.job_id, job.tenant)
        while not job.ended and (left_s := deadline - time.monotonic()) > 0:
            wait(min(left_s, LOOK_EVERY_S))
            job = held.jobs.get(job.job_id, job.tenant)
    return job


def _with_results(job: Job, headers: dict[str, str]) -> Response:
    body = _answered(job, services().jobs.texts(job))
    if job.total <= HELD_WHOLE_ROWS:
        return Response([b"".join(body)], content_type="application/json", headers=headers)
    return stream(lambda _connection: body, content_type="application/json", headers=headers)


def _answered(job: Job, chunks: Iterable[tuple[range, bytes]]) -> Iterator[bytes]:
    """The body of a 200, a chunk at a time: the results of a large batch are far larger than its request.

    Rows are not decoded. JSON escapes line breaks in texts as \\n, so every line break ends a row.
    """
    yield orjson.dumps({"job_id": job.job_id})[:-1] + b',"predictions":['
    done = 0
    for rows, lines in chunks:
        if done:
            yield b","
        yield lines.replace(b"\n", b",")
        done += len(rows)
    if done < job.total and job.status != "CANCELLED":
        raise StreamBroken(f"{job.total - done} rows of a job's results are gone")
    rest = {"total": job.total, "timestamp": job.document(redis_clock.now())["finished_at"]}
    yield b"]," + orjson.dumps(rest)[1:]


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        detail = "Must be 1 to 255 visible ASCII characters."
        raise InvalidParameter([FieldError("/headers/Idempotency-Key", detail, "pattern")])
    return key


_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,19}")


def preferred_wait_s(header: str) -> float:
    """The seconds of `wait` in a `Prefer` header (RFC 7240); 0 without the preference.

    The RFC requires to ignore an invalid preference, and to use only the first of several `wait`.
    """
    for preference in parse_list_header(header):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = unquote_header_value(value.strip())
            return float(seconds) if _WHOLE_SECONDS.fullmatch(seconds) else 0.0
    return 0.0
