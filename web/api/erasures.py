"""`DELETE /api/v1/chargers/{id}`, `DELETE /api/v1/tenants/{id}`: erase all data, as a job."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from flask import url_for
from flask_smorest import Blueprint

import metrics
import tracing
from errors import FieldError, Forbidden, InvalidParameter
from readings.reading import CHARGER_ID_PATTERN, TENANT_ID_PATTERN
from tasks.jobs.erase_jobs import Target
from tasks.storage import redis_clock
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import job_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("erasures", __name__, url_prefix="/api/v1", description="Erase a charger or a tenant.")

CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN)
TENANT_ID: Final = re.compile(TENANT_ID_PATTERN)


def _described(name: str, pattern: str, example: str) -> dict[str, Any]:
    """The description of a path's id."""
    schema = {"type": "string", "pattern": pattern.replace("(?!\\n)", "")}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


@blueprint.route(
    "/chargers/<string:charger_id>",
    methods=["DELETE"],
    parameters=[_described("charger_id", CHARGER_ID_PATTERN, "EVZ-0042")],
)
@blueprint.response(202, job_schemas.JobSchema)
@refuses(blueprint)
@needs("admin")
def erase_charger(charger_id: str) -> Response:
    """Erase all data of a charger of this tenant by a job, which returns a receipt"""
    if not CHARGER_ID.match(charger_id):
        detail = "Must be 1 to 128 characters of A-Z a-z 0-9 * _ = : + | @ . -"
        raise InvalidParameter([FieldError("/path/charger_id", detail, "pattern")])
    return _accepted(current_request().tenant, charger_id)


@blueprint.route(
    "/tenants/<string:tenant_id>",
    methods=["DELETE"],
    parameters=[_described("tenant_id", TENANT_ID_PATTERN, "acme")],
)
@blueprint.response(202, job_schemas.JobSchema)
@refuses(blueprint)
@needs("admin")
def erase_tenant(tenant_id: str) -> Response:
    """Erase all data of a tenant and end its keys, by a job, which returns a receipt"""
    if not TENANT_ID.match(tenant_id):
        detail = "Must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        raise InvalidParameter([FieldError("/path/tenant_id", detail, "pattern")])
    request = current_request()
    # A key for all tenants may leave the header out. With the header it must name the same tenant.
    if request.tenant not in (None, tenant_id):
        raise Forbidden(f"This request acts for tenant {request.tenant}.")
    return _accepted(tenant_id, None)


def _accepted(tenant: str | None, charger_id: str | None) -> Response:
    request = current_request()
    key_id = request.caller.key.key_id if request.caller else ""
    job = services().erasures.submit(
        Target(tenant, charger_id, key_id, request.request_id),
        owner=request.tenant,
        trace=tracing.traceparent_of(request.span),
    )
    metrics.JOBS.labels(status="accepted").inc()
    headers = {"Location": url_for("jobs.JobResource", job_id=job.job_id)}
    body = orjson.dumps(job.document(redis_clock.now()))
    return Response(body, 202, content_type="application/json", headers=headers)
