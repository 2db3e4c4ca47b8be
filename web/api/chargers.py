"""`/api/v1/chargers`: the fleet by risk, and the history of one charger's verdicts."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from web.http.messages import Response, current_request
from web.http.paging import page
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas
from web.openapi.decorators import refuses

blueprint = Blueprint(
    "chargers", __name__, url_prefix="/api/v1/chargers", description="The fleet, by newest verdicts."
)


@blueprint.route("")
@blueprint.arguments(schemas.FleetQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint)
@needs("read")
def list_chargers(query: dict[str, Any]) -> Response:
    """Newest verdict of each charger, highest probability first"""
    offset, limit = query["cursor"], query["limit"]
    bodies, total = services().fleet.by_risk(current_request().tenant, offset=offset, limit=limit)
    return page(bodies, following=offset + limit if offset + limit < total else None, total=total)


@blueprint.route("/<string:charger_id>/history")
@blueprint.arguments(schemas.PageQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint, 404)
@needs("read")
def charger_history(query: dict[str, Any], charger_id: str) -> Response:
    """Past verdicts of a charger, newest reading first"""
    offset, limit = query["cursor"], query["limit"]
    bodies, total = services().fleet.history(current_request().tenant, charger_id, offset=offset, limit=limit)
    return page(bodies, following=offset + limit if offset + limit < total else None, total=total)
