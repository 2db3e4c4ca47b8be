"""`/health`, `/health/ready` and `/metrics`: answered from the monitor's last snapshot, without blocking."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from typing import Any, Final

import orjson
from flask_smorest import Blueprint
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest, multiprocess
from prometheus_client import REGISTRY as DEFAULT_REGISTRY

import metrics
from settings import ROOT
from tasks.monitoring.drift_counts import JUDGED, STATUSES
from tasks.monitoring.service_health import Snapshot
from web.http.messages import Response
from web.http.services import services
from web.openapi import schemas

_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICE: Final[str] = _PROJECT["name"]
VERSION: Final[str] = _PROJECT["version"]

blueprint = Blueprint("health", __name__, description="For operations.")


@blueprint.route("/health")
@blueprint.doc(security=[])
@blueprint.response(200, schemas.HealthSchema)
def health() -> Response:
    """200 while the process lives; what is down is in `checks`"""
    snapshot = services().monitor.snapshot
    return _json(_document("healthy" if snapshot.healthy else "degraded", snapshot))


@blueprint.route("/health/ready")
@blueprint.doc(security=[])
@blueprint.response(200, schemas.HealthSchema)
@blueprint.alt_response(503, schema=schemas.HealthSchema, description="No prediction can be served now.")
def ready() -> Response:
    """503 unless a prediction can be served now"""
    snapshot = services().monitor.snapshot
    document = _document("healthy" if snapshot.healthy else "degraded", snapshot)
    return _json(document, status=200 if snapshot.ready else 503)


@blueprint.route("/metrics")
@blueprint.doc(security=[])
@blueprint.response(200, {"type": "string"}, content_type="text/plain", description="Prometheus text format.")
def metrics_page() -> Response:
    """Metrics of all processes on this host, and the queues' lengths"""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped in prometheus_client
    else:
        registry.register(DEFAULT_REGISTRY)
    registry.register(_SnapshotCollector(services().monitor.snapshot))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _SnapshotCollector:
    """Gauges from the monitor's last snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> list[Metric]:
        tasks, up = metrics.QUEUE_TASKS.family(), metrics.UP.family()
        for queue, length in self._snapshot.queue_lengths.items():
            tasks.add_metric([queue], length)
        for name, check in self._snapshot.checks.items():
            up.add_metric([name], float(check.state == "ok"))
        return [tasks, up, *self._drift()]

    def _drift(self) -> list[Metric]:
        """Drift gauges. Leaves out PSI values of few readings or short histories: they raise false alarms."""
        readings = metrics.DRIFT_READINGS.family()
        scores, features = metrics.DRIFT_SCORE_PSI.family(), metrics.DRIFT_PSI.family()
        judged = metrics.DRIFT_FEATURES.family()
        for name, report in self._snapshot.drift.items():
            readings.add_metric([name], report["readings"])
            if report["score"]["status"] in JUDGED:
                scores.add_metric([name], report["score"]["psi"])
            found = Counter(each["status"] for each in report["features"])
            for status in STATUSES:
                judged.add_metric([name, status], found[status])
            for each in report["features"]:
                if each["status"] in JUDGED:
                    features.add_metric([name, each["feature"]], each["psi"])
        return [readings, scores, features, judged]


def _document(status: str, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "status": status,
        "service": SERVICE,
        "version": VERSION,
        "checks": {
            name: {"status": check.state, "detail": check.detail} for name, check in snapshot.checks.items()
        },
    }


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
