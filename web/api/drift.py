"""`/api/v1/models/{name}/drift`: compare live readings and scores with those of training."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from flask_smorest import Blueprint

from web.http.roles import needs
from web.http.services import services
from web.openapi import model_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("drift", __name__, url_prefix="/api/v1/models", description="Traffic against training.")


@blueprint.route("/<string:name>/drift")
@blueprint.arguments(model_schemas.DriftQuerySchema, location="query")
@blueprint.response(200, model_schemas.DriftSchema)
@refuses(blueprint, 404, 409)
@needs("read")
def show_drift(query: dict[str, Any], name: str) -> Response:
    """How far readings and scores of all tenants have moved away from what the active version learnt from"""
    report = services().drift.report(name, query["window"])
    return Response(orjson.dumps(report), content_type="application/json")
