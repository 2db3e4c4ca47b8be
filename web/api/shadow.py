"""`/api/v1/models/{name}/shadow`: a second version that scores the same readings for comparison only."""

from __future__ import annotations

from typing import Final

import orjson
from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import model_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint("shadow", __name__, url_prefix="/api/v1/models", description="Versions side by side.")

_VERSION: Final = model_schemas.ActivateSchema()


@blueprint.route("/<string:name>/shadow")
class Shadow(MethodView):
    """`GET`, `POST` and `DELETE` of a model's shadow version."""

    @blueprint.response(200, model_schemas.ShadowSchema)
    @refuses(blueprint, 404, 409)
    @needs("read")
    def get(self, name: str) -> Response:
        """Compare the active version with its shadow on a sample of the traffic of all tenants"""
        return Response(orjson.dumps(services().shadows.report(name)), content_type="application/json")

    @takes(blueprint, model_schemas.ActivateSchema)
    @blueprint.response(200, model_schemas.SwitchSchema)
    @blueprint.alt_response(
        202, schema=model_schemas.SwitchSchema, description="Not every worker holds it yet."
    )
    @refuses(blueprint, 400, 404, 408, 409, 413, 415, 422, 504)
    @needs("admin")
    def post(self, name: str) -> Response:
        """Verify a version in a worker and have it score beside the active one"""
        version: str = loaded_body(_VERSION)["version"]
        settled = begin_shadow(name, version)
        body = {"name": name, "version": version, "status": "shadow" if settled else "requested"}
        return Response(orjson.dumps(body), status=200 if settled else 202, content_type="application/json")

    @blueprint.response(204)
    @refuses(blueprint, 404)
    @needs("admin")
    def delete(self, name: str) -> None:
        """Have no version score beside the active one; the sums of the pair are kept for 30 days"""
        end_shadow(name)


def begin_shadow(name: str, version: str) -> bool:
    """Set a shadow for the API or the console. Returns and raises like `Versions.set_shadow`."""
    with services().waiting_threads:
        settled = services().versions.set_shadow(name, version)
    metrics.ADMIN_ACTIONS.labels(action="set_shadow").inc()
    return settled


def end_shadow(name: str) -> bool:
    """Clear a shadow for the API or the console. Returns and raises like `Versions.clear_shadow`."""
    with services().waiting_threads:
        settled = services().versions.clear_shadow(name)
    metrics.ADMIN_ACTIONS.labels(action="clear_shadow").inc()
    return settled
