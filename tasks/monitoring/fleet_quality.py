"""The expected quality of a tenant's alerts, from the newest verdicts of its fleet."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np

from errors import ServiceError
from models import alert_threshold, registry
from models.monitoring.expected_quality import COVERED, expected_quality
from settings import Settings
from tasks.storage.fleet_columns import FleetColumns
from tasks.storage.fleet_query import Numbers

_FAILED: Final = ("FAULTY",)


def probabilities(fleet: FleetColumns, *, since_ms: float) -> Numbers:
    """The 30-day probabilities [n] of chargers that are not `FAULTY`, written since this time.

    Chargers with attributes alone have none.
    """
    rows = fleet.rows(since_ms)
    failed = np.array(fleet.vocabularies["status"].codes(_FAILED), np.int32)
    rows = rows[~np.isin(fleet.codes("status")[rows], failed)]
    risk = fleet.numbers("risk")[rows]
    return risk[np.isfinite(risk)]


def expected(settings: Settings, probability: Numbers) -> dict[str, Any]:
    """Expected precision, recall and PR-AUC at the threshold in force, as JSON values.

    Reads the active version's manifest. Without a threshold, `reason` says why. Blocks for about 0.1 s.
    """
    alerts = _alerts(settings)
    quality = expected_quality(probability, alerts.threshold)
    return {
        "threshold": alerts.threshold,
        "reason": alerts.reason,
        "coverage": COVERED,
        **asdict(quality),
    }


def _alerts(settings: Settings) -> alert_threshold.AlertThreshold:
    try:
        version = registry.active_version(settings.model_dir, "failure")
        folder = settings.model_dir / "failure" / version
        manifest = registry.read_manifest(folder, f"failure {version}")
    except ServiceError as error:
        return alert_threshold.AlertThreshold(settings.alert_policy, None, str(error))
    return alert_threshold.in_force(manifest, settings)
