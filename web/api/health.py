"""`/health`, `/health/ready` and `/metrics`: answered from the monitor's last snapshot, without blocking.

Addresses and versions are for callers with a key. Without a valid one, the health has its `status` only: a
probe must not fail because of its key.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from flask_smorest import Blueprint
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from admin_port import Health
from errors import Unauthorized
from metrics import exposition
from tasks.monitoring.snapshot_metrics import SnapshotCollector
from web.http.messages import Response, current_request
from web.http.services import services
from web.openapi import schemas

blueprint = Blueprint("health", __name__, description="For operations.")

KEY_OR_NONE: Final[list[dict[str, list[str]]]] = [{}, {"ApiKey": []}]


@blueprint.route("/health")
@blueprint.doc(security=KEY_OR_NONE)
@blueprint.response(200, schemas.HealthSchema)
def health() -> Response:
    """200 while the process lives; with a key, `checks` name each part that is down"""
    return _json(_shown(services().health()))


@blueprint.route("/health/ready")
@blueprint.doc(security=KEY_OR_NONE)
@blueprint.response(200, schemas.HealthSchema)
@blueprint.alt_response(503, schema=schemas.HealthSchema, description="No prediction can be served now.")
def ready() -> Response:
    """503 unless a prediction can be served now; with a key, `checks` name the reason"""
    found = services().health()
    return _json(_shown(found), status=200 if found.ready else 503)


@blueprint.route("/metrics")
@blueprint.doc(security=[])
@blueprint.response(200, {"type": "string"}, content_type="text/plain", description="Prometheus text format.")
def metrics_page() -> Response:
    """Metrics of all processes on this host, and the queues' lengths"""
    registry = exposition.of_host(SnapshotCollector(services().monitor))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _shown(found: Health) -> dict[str, Any]:
    document = found.document()
    try:
        services().access.key(current_request().headers.get)
    except Unauthorized:
        return {"status": document["status"]}
    return document


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
