"""`DELETE /api/v1/chargers/{id}`, `DELETE /api/v1/tenants/{id}`: erase all data, as a job."""

from __future__ import annotations

import orjson
from flask import url_for
from flask_smorest import Blueprint

import metrics
import tracing
from errors import Forbidden
from tasks.jobs.erase_jobs import Target
from tasks.storage import redis_clock
from web.http.messages import Response, current_request
from web.http.paths import CHARGER_ID, TENANT_ID, check_charger_id, check_tenant_id
from web.http.roles import needs
from web.http.services import services
from web.openapi import job_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("erasures", __name__, url_prefix="/api/v1", description="Erase a charger or a tenant.")


@blueprint.route(
    "/chargers/<string:charger_id>",
    methods=["DELETE"],
    parameters=[CHARGER_ID],
)
@blueprint.response(202, job_schemas.JobSchema)
@refuses(blueprint)
@needs("admin")
def erase_charger(charger_id: str) -> Response:
    """Erase all data of a charger of this tenant by a job, which returns a receipt"""
    check_charger_id(charger_id)
    return _accepted(current_request().tenant, charger_id)


@blueprint.route(
    "/tenants/<string:tenant_id>",
    methods=["DELETE"],
    parameters=[TENANT_ID],
)
@blueprint.response(202, job_schemas.JobSchema)
@refuses(blueprint)
@needs("admin")
def erase_tenant(tenant_id: str) -> Response:
    """Erase all data of a tenant and end its keys, by a job, which returns a receipt"""
    check_tenant_id(tenant_id)
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
