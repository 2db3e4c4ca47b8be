"""`/jobs` and `/jobs/{id}`: send a file to score, follow its job, cancel it, and download the results."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from tasks.jobs.job_record import JOB_KINDS, LISTED_KINDS, STATUSES, Job
from tasks.storage import redis_clock
from web.api import batch, jobs, results
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import address_with, loaded_query
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import job_schemas

blueprint = page_blueprint("jobs")

_JOBS: Final = job_schemas.JobsQuerySchema()
_UPLOAD: Final = job_schemas.BatchQuerySchema()
_RESULTS: Final = job_schemas.ResultsQuerySchema()
# Jobs of a page of the list.
SHOWN: Final = "25"
# Seconds between two looks of a browser, while a job runs and otherwise.
LOOK_EVERY_S: Final = 2
LOOK_IDLE_S: Final = 15
# By the ending of the address.
MEDIA_TYPES: Final = {each.extension: media_type for media_type, each in results.FORMATS.items()}
DOWNLOADS: Final[tuple[tuple[str, str], ...]] = (("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet"))
KIND_LABELS: Final = {
    "failure": "Failure: risk, reasons and action",
    "maintenance": "Maintenance: the best day for a visit",
    "anomaly": "Anomaly: unusual readings",
    "all": "All three",
}


@blueprint.get("/jobs")
@needs("read")
def show_jobs() -> Response:
    """The form for a file, and the jobs, newest first"""
    query = loaded_query(_JOBS, limit=SHOWN)
    found, following = jobs.find(query)
    held, now = services(), redis_clock.now()
    return render(
        "jobs.html",
        query=query,
        is_filtered=bool(query.keys() & {"status", "kind", "created_after"}),
        statuses=STATUSES,
        kinds=LISTED_KINDS,
        upload_kinds=[(kind, KIND_LABELS[kind]) for kind in JOB_KINDS],
        jobs=[job.document(now) for job in found],
        first=address_with(None) if query["cursor"] else None,
        following=None if following is None else address_with(following),
        look_every_s=LOOK_IDLE_S if all(job.ended for job in found) else LOOK_EVERY_S,
        most_bytes=held.settings.max_batch_bytes,
        most_rows=held.settings.max_batch_rows,
        address=current_request().host_url.rstrip("/"),
    )


@blueprint.post("/jobs")
@needs("predict")
def submit_file() -> Response:
    """Take a file as the API's batch does: the body is the file, `Content-Type` its format"""
    job = batch.accept(loaded_query(_UPLOAD))
    address = url_for("console_jobs.show_job", job_id=job.job_id)
    body = orjson.dumps({"job_id": job.job_id, "address": address})
    return Response(body, HTTPStatus.ACCEPTED, headers={"Location": address}, content_type="application/json")


@blueprint.get("/jobs/<job_id>")
@needs("read")
def show_job(job_id: str) -> Response:
    """A job: its progress, its first errors and its downloads"""
    job = _job(job_id)
    return render(
        "job.html",
        job=job.document(redis_clock.now()),
        has_ended=job.ended,
        took_s=None
        if job.started_at is None or job.finished_at is None
        else job.finished_at - job.started_at,
        error_rows=len({error["row"] for error in job.errors}),
        is_csv=job.encoding == "csv",
        is_stored=job.store,
        is_remembered=job.remember,
        blank_lines=job.blank_lines,
        downloads=[each for each in DOWNLOADS if job.kind != "erase" or each[0] == "ndjson"],
        look_every_s=LOOK_EVERY_S,
    )


@blueprint.post("/jobs/<job_id>/cancel")
@needs("predict")
def cancel_job(job_id: str) -> BaseResponse:
    """Cancel a job; what is done stays readable"""
    jobs.cancel(job_id)
    return go_to("console_jobs.show_job", job_id=job_id, done="cancelled")


@blueprint.get("/jobs/<job_id>/results.<any(ndjson, csv, parquet):extension>")
@needs("read")
def download_results(job_id: str, extension: str) -> Response:
    """The results as a file, with the limits of the API's downloads. People open CSV in spreadsheets."""
    query: dict[str, Any] = loaded_query(_RESULTS)
    return results.download(_job(job_id), MEDIA_TYPES[extension], query, for_spreadsheets=True)


def _job(job_id: str) -> Job:
    return services().jobs.get(job_id, current_request().tenant)
