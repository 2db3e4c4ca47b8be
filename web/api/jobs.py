"""`/api/v1/jobs`: list, show and cancel batch jobs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Any

import orjson
from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from errors import Conflict
from tasks.jobs.job_record import Job, JobKind
from tasks.storage import redis_clock
from web.http.messages import Response, current_request
from web.http.paging import page
from web.http.roles import needs
from web.http.services import services
from web.openapi import job_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs", description="Batch jobs.")


@blueprint.route("")
@blueprint.arguments(job_schemas.JobsQuerySchema, location="query")
@blueprint.response(200, job_schemas.JobPageSchema)
@refuses(blueprint)
@needs("read")
def list_jobs(query: dict[str, Any]) -> Response:
    """Jobs, newest first"""
    found, following = find(query)
    now = redis_clock.now()
    return page([orjson.dumps(job.document(now)) for job in found], following=following)


@blueprint.route("/<string:job_id>")
class JobResource(MethodView):
    """`GET` and `DELETE` of one job."""

    @blueprint.response(200, job_schemas.JobSchema)
    @refuses(blueprint, 404)
    @needs("read")
    def get(self, job_id: str) -> Response:
        """Status and progress of a job"""
        return _json(services().jobs.get(job_id, current_request().tenant).document(redis_clock.now()))

    @blueprint.response(200, job_schemas.JobSchema)
    @refuses(blueprint, 404, 409)
    @needs("predict")
    def delete(self, job_id: str) -> Response:
        """Cancel a job; what is done stays readable

        An erasure cannot be cancelled: what is deleted would stay deleted, and the rest would stay.
        """
        cancel(job_id)
        return _json(services().jobs.get(job_id, current_request().tenant).document(redis_clock.now()))


def find(query: dict[str, Any]) -> tuple[list[Job], int | None]:
    """The page of this tenant's jobs that a loaded `JobsQuerySchema` asks for, and the next one's cursor."""
    offset, limit = query["cursor"], query["limit"]
    after = query.get("created_after")
    found = matching(
        services().jobs.newest_first(current_request().tenant),
        status=query.get("status"),
        kind=query.get("kind"),
        created_after=None if after is None else after.timestamp(),
        offset=offset,
        limit=limit + 1,
    )
    return found[:limit], offset + limit if len(found) > limit else None


def cancel(job_id: str) -> None:
    """Cancel a job of this tenant, and count that. Raises `UnknownJob`, and `Conflict` for an erasure."""
    jobs = services().jobs
    job = jobs.get(job_id, current_request().tenant)
    if job.kind == "erase":
        raise Conflict("An erasure cannot be cancelled.")
    if jobs.cancel(job, redis_clock.now()):
        metrics.JOBS.labels(status="cancelled").inc()


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")


def matching(
    newest_first: Iterable[Job],
    *,
    status: str | None,
    kind: JobKind | None,
    created_after: float | None,
    offset: int,
    limit: int,
) -> list[Job]:
    """The jobs that match all filters (None: any), without the first `offset`, at most `limit`.

    `created_after` is in epoch seconds. The iteration stops at the first older job.
    """
    recent = takewhile(lambda job: created_after is None or job.created_at >= created_after, newest_first)
    wanted = (job for job in recent if status in (None, job.status) and kind in (None, job.kind))
    return list(islice(wanted, offset, offset + limit))
