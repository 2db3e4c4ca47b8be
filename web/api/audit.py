"""`GET /api/v1/audit`: what administrators did."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint

from web.http.messages import Response
from web.http.paging import page
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1/audit", description="What administrators did.")


@blueprint.route("")
@blueprint.arguments(schemas.PageQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint)
@needs("admin")
def list_audit(query: dict[str, Any]) -> Response:
    """Which key did what, when, from where; the newest 10,000 entries of all hosts"""
    offset, limit = query["cursor"], query["limit"]
    entries, total = services().audit.newest(offset=offset, limit=limit)
    return page(entries, following=offset + limit if offset + limit < total else None, total=total)
