"""Train the anomaly model. Offline only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest

from models import anomaly
from models.features.columns import Floats, Ints
from models.features.frame import Frame, compute
from models.horizon_days import HORIZON_DAYS
from models.monitoring.drift_report import LENGTH_OF_PAST
from models.monitoring.psi import Distribution
from models.training import onnx_export
from models.training.history import History
from models.training.horizons import MIN_HEALTHY, span_days, too_little
from models.training.labels import in_failure, labels
from models.training.manifest import described, golden_frame, golden_of
from models.training.sampling import without_labels
from models.training.train_failure import Progress

HEALTHY_ROWS: Final = 60_000
TREES: Final = 80
ROWS_A_TREE: Final = 256
FALSE_ALARMS: Final = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
# Required length of a history, in horizons. Readings of one horizon's length are then known to be healthy.
SPANS: Final = 2.0


def train_anomaly(history: History, *, seed: int = 0, progress: Progress = lambda _: None) -> tuple[Any, Any]:
    """The manifest and files of an anomaly version. Raises `TooLittleHistory`.

    The forest is fitted on half of the chargers, and its scale on the rest.
    """
    rng = np.random.default_rng(seed)
    progress("healthy readings")
    healthy, healthy_days = _healthy(history)
    index = np.sort(rng.choice(healthy, min(HEALTHY_ROWS, len(healthy)), replace=False))
    full = compute(history.columns, history.spec, index)
    names = list(history.spec.names)
    frame = full[:, [names.index(name) for name in anomaly.FEATURES]]
    with np.errstate(invalid="ignore"):
        median, spread = _usual(frame)
    ready = anomaly.filled(frame, median)
    fit_on = history.columns.charger[index] % 2 == 0
    if fit_on.all() or not fit_on.any():  # e.g. a single charger: use every second reading
        fit_on = np.arange(len(index)) % 2 == 0
    progress("isolation forest")
    forest = IsolationForest(
        n_estimators=TREES, max_samples=min(ROWS_A_TREE, int(fit_on.sum())), random_state=seed
    ).fit(ready[fit_on])
    out_of_fold = -forest.score_samples(ready[~fit_on])
    raw = np.quantile(out_of_fold, [1 - share for share in FALSE_ALARMS])
    score = -25.0 * np.log10(FALSE_ALARMS)
    top = raw[-1] + max(raw[-1] - raw[-4], 1e-3)
    raw = np.concatenate(([raw[0] - 0.2], raw, [top]))
    raw = np.maximum.accumulate(raw + 1e-9 * np.arange(len(raw)))
    scale = [0.0, *score.tolist(), 100.0]
    distributions = {
        name: Distribution.of(full[:, names.index(name)].astype(np.float64)).to_manifest()
        for name in (*anomaly.FEATURES, LENGTH_OF_PAST)
    }
    golden = golden_of(history, without_labels(history, index, full))
    golden_features = golden_frame(golden, history.spec)[:, [names.index(name) for name in anomaly.FEATURES]]
    manifest = {
        "type": "isolation forest and physical rules",
        **described(history),
        "metrics": {
            "false_alarm_rate": float((np.interp(out_of_fold, raw, scale) >= anomaly.THRESHOLD).mean()),
            "healthy_rows": len(index),
            "healthy_days": healthy_days,
        },
        "features": history.spec.to_manifest(),
        "forest_features": list(anomaly.FEATURES),
        "median": median.tolist(),
        "spread": spread.tolist(),
        "scale": {"raw": raw.tolist(), "score": scale},
        "distributions": {
            "features": distributions,
            "anomaly_score": Distribution.of(np.interp(out_of_fold, raw, scale) / 100).to_manifest(),
        },
        "golden": {
            **golden,
            "expected": (-forest.score_samples(anomaly.filled(golden_features, median))).tolist(),
        },
    }
    return manifest, {"model.onnx": onnx_export.forest_to_onnx(forest)}


def _healthy(history: History) -> tuple[Ints, float]:
    """Readings without a failure within the longest horizon that has enough, and that horizon in days.

    Raises `TooLittleHistory`.
    """
    for days in reversed(HORIZON_DAYS):
        healthy = np.flatnonzero((labels(history, days) == 0) & ~in_failure(history))
        if len(healthy) >= MIN_HEALTHY and span_days(history) >= SPANS * days:
            return healthy, days
    needed = f"{SPANS:g} days of readings are needed, there are {span_days(history):.1f}"
    healthy_needed = f"{MIN_HEALTHY} readings without a failure within a day after, there are {len(healthy)}"
    raise too_little(history, f"{needed}, and {healthy_needed}")


def _usual(frame: Frame) -> tuple[Floats, Floats]:
    """Median and robust standard deviation (1.4826 MAD) by column; 0 and 1 for an empty one."""
    width = frame.shape[1]
    median, spread = np.zeros(width), np.ones(width)
    for column in range(width):
        values = frame[:, column].astype(np.float64)
        values = values[~np.isnan(values)]
        if not len(values):
            continue
        median[column] = np.median(values)
        deviation = 1.4826 * np.median(np.abs(values - median[column]))
        spread[column] = deviation or values.std() or 1.0
    return median, spread
