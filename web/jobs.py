"""`/api/v1/predictions/batch` and `/api/v1/jobs`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
from flask import request, url_for
from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from errors import FieldError, InvalidReading, ServiceError
from tasks.jobs import Job
from tasks.names import SCHEMA_VERSION, Queues, TaskNames
from web import schemas
from web.bodies import batch_rows
from web.documented import refuses, takes
from web.http import Response, current_request
from web.paging import page
from web.services import services

submission = Blueprint(
    "batch", __name__, url_prefix="/api/v1/predictions", description="A whole fleet at once."
)
blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs", description="Batch jobs.")

PREFER_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})\"?", re.IGNORECASE)
MAX_WAIT_S: Final = 30.0
POLL_S: Final = 0.05
IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


@submission.route("/batch", methods=["POST"])
@takes(submission, schemas.BatchRequestSchema)
@submission.arguments(schemas.BatchQuerySchema, location="query")
@submission.response(202, schemas.JobSchema)
@submission.alt_response(
    200, schema=schemas.BatchResultSchema, description="With `Prefer: wait=N`, ended in N s."
)
@refuses(submission, 400, 409, 413, 415, 422)
@submission.doc(
    parameters=[
        {
            "name": "Prefer",
            "in": "header",
            "required": False,
            "description": "`wait=N`: answer with the results if the job ends within N s (RFC 7240).",
            "schema": {"type": "string"},
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A repeated request with the same key and body returns the same job.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
    ]
)
def submit_batch(query: dict[str, Any]) -> Response:
    """Score many readings as a job"""
    key = _idempotency_key()
    body_hash = hashlib.blake2b(request.query_string + request.get_data(), digest_size=16).hexdigest()
    rows = batch_rows()
    jobs, keys = services().jobs, services().idempotency_keys
    known = keys.claim(current_request().tenant, key, body_hash) if key else None
    if known is not None:
        return _answer(jobs.get(known, current_request().tenant))
    job_id: str | None = None
    try:
        job = _submit(rows, query)
        job_id = job.job_id
    finally:
        if key:
            keys.settle(current_request().tenant, key, body_hash, job_id)
    return _answer(job)


def _submit(rows: Sequence[Any], query: dict[str, Any]) -> Job:
    """Record the job first, then enqueue its chunks: what is accepted is never lost."""
    held = services()
    job, chunks = held.jobs.create(
        rows, kind=query["kind"], tenant=current_request().tenant, store=query["store"], now=time.time()
    )
    try:
        for chunk in chunks:
            message = {"v": SCHEMA_VERSION, "job_id": job.job_id, "chunk": chunk}
            held.sender.send(TaskNames.SCORE_CHUNK, message, queue=Queues.BATCH)
    except ServiceError:
        held.jobs.forget(job)
        raise
    metrics.JOBS.labels(status="accepted").inc()
    return job


def _answer(job: Job) -> Response:
    """200 with the results if the caller waits and the job ends in time, otherwise 202."""
    held = services()
    wait_s = _preferred_wait_s()
    if wait_s:
        with held.waiting_threads:
            deadline = time.monotonic() + wait_s
            while not job.ended and time.monotonic() < deadline:
                time.sleep(POLL_S)
                job = held.jobs.get(job.job_id, current_request().tenant)
    location = url_for("jobs.JobResource", job_id=job.job_id)
    headers = {"Location": location}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
    if wait_s and job.ended:
        results = held.jobs.results(job, start=0, limit=job.total)
        body = {
            "job_id": job.job_id,
            "predictions": [orjson.Fragment(result) for result in results],
            "total": job.total,
            "timestamp": job.document(time.time())["finished_at"],
        }
        return Response(orjson.dumps(body), content_type="application/json", headers=headers)
    return _json(job.document(time.time()), status=202, headers=headers)


def _preferred_wait_s() -> float:
    found = PREFER_WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found.group(1)), MAX_WAIT_S) if found else 0.0


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        detail = "Must be 1 to 255 visible ASCII characters."
        raise InvalidReading([FieldError("/headers/Idempotency-Key", detail, "pattern")])
    return key


@blueprint.route("")
@blueprint.arguments(schemas.JobsQuerySchema, location="query")
@blueprint.response(200, schemas.JobPageSchema)
@refuses(blueprint)
def list_jobs(query: dict[str, Any]) -> Response:
    """Jobs, newest first"""
    offset, limit = query["cursor"], query["limit"]
    found = services().jobs.recent(
        current_request().tenant, offset=offset, limit=limit + 1, status=query["status"]
    )
    now = time.time()
    following = offset + limit if len(found) > limit else None
    return page([orjson.dumps(job.document(now)) for job in found[:limit]], following=following)


@blueprint.route("/<string:job_id>")
class JobResource(MethodView):
    @blueprint.response(200, schemas.JobSchema)
    @refuses(blueprint, 404)
    def get(self, job_id: str) -> Response:
        """Status and progress of a job"""
        return _json(services().jobs.get(job_id, current_request().tenant).document(time.time()))

    @blueprint.response(200, schemas.JobSchema)
    @refuses(blueprint, 404)
    def delete(self, job_id: str) -> Response:
        """Cancel a job; what is done stays readable"""
        jobs = services().jobs
        if jobs.cancel(jobs.get(job_id, current_request().tenant), time.time()):
            metrics.JOBS.labels(status="cancelled").inc()
        return _json(jobs.get(job_id, current_request().tenant).document(time.time()))


@blueprint.route("/<string:job_id>/results")
@blueprint.arguments(schemas.PageQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint, 404)
def job_results(query: dict[str, Any], job_id: str) -> Response:
    """Results in input order, also of a job that still runs: up to the first row that is missing

    `next` is null at the end of the input, and the same cursor again where the next row is not scored yet.
    """
    jobs = services().jobs
    job = jobs.get(job_id, current_request().tenant)
    start = query["cursor"]
    results = jobs.results(job, start=start, limit=query["limit"])
    end = start + len(results)
    more = end < job.total and not (job.ended and not results)
    return page(results, following=end if more else None, total=job.total)


def _json(document: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json", headers=headers)
