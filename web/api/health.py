"""`/health`, `/health/ready` and `/metrics`: answered from the monitor's last snapshot, without blocking."""

from __future__ import annotations

from typing import Any

import orjson
from flask_smorest import Blueprint
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from metrics import exposition
from tasks.monitoring.snapshot_metrics import SnapshotCollector
from web.http.messages import Response
from web.http.services import services
from web.openapi import schemas

blueprint = Blueprint("health", __name__, description="For operations.")


@blueprint.route("/health")
@blueprint.doc(security=[])
@blueprint.response(200, schemas.HealthSchema)
def health() -> Response:
    """200 while the process lives; what is down is in `checks`"""
    return _json(services().health().document())


@blueprint.route("/health/ready")
@blueprint.doc(security=[])
@blueprint.response(200, schemas.HealthSchema)
@blueprint.alt_response(503, schema=schemas.HealthSchema, description="No prediction can be served now.")
def ready() -> Response:
    """503 unless a prediction can be served now"""
    found = services().health()
    return _json(found.document(), status=200 if found.ready else 503)


@blueprint.route("/metrics")
@blueprint.doc(security=[])
@blueprint.response(200, {"type": "string"}, content_type="text/plain", description="Prometheus text format.")
def metrics_page() -> Response:
    """Metrics of all processes on this host, and the queues' lengths"""
    registry = exposition.of_host(SnapshotCollector(services().monitor))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
