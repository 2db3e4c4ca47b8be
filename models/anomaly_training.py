"""Training the anomaly model. Offline only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest

from models import anomaly, export
from models.baseline import LENGTH_OF_PAST
from models.columns import Floats
from models.drift import Distribution
from models.failure import HORIZON_DAYS
from models.features import Frame, compute
from models.history import History
from models.labels import in_failure, labels
from models.manifest import described, golden_frame, golden_of
from models.sampling import without_labels
from models.training import Progress

HEALTHY_ROWS: Final = 60_000
FOREST: Final[dict[str, Any]] = {"n_estimators": 80, "max_samples": 256}
FALSE_ALARMS: Final = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def train_anomaly(history: History, *, seed: int = 0, progress: Progress = lambda _: None) -> tuple[Any, Any]:
    """The manifest and files of an anomaly version: fitted on half of the chargers, scaled on the rest."""
    rng = np.random.default_rng(seed)
    progress("healthy readings")
    healthy = np.flatnonzero((labels(history, HORIZON_DAYS[-1]) == 0) & ~in_failure(history))
    if len(healthy) < 200:
        raise ValueError("fewer than 200 readings are known to be healthy: too few to say what is usual")
    index = np.sort(rng.choice(healthy, min(HEALTHY_ROWS, len(healthy)), replace=False))
    full = compute(history.columns, history.spec, index)
    names = list(history.spec.names)
    frame = full[:, [names.index(name) for name in anomaly.FEATURES]]
    with np.errstate(invalid="ignore"):
        median, spread = _usual(frame)
    ready = anomaly.filled(frame, median)
    fit_on = history.columns.charger[index] % 2 == 0
    progress("isolation forest")
    forest = IsolationForest(random_state=seed, **FOREST).fit(ready[fit_on])
    held_out = -forest.score_samples(ready[~fit_on])
    raw = np.quantile(held_out, [1 - share for share in FALSE_ALARMS])
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
            "false_alarm_rate": float((np.interp(held_out, raw, scale) >= anomaly.THRESHOLD).mean()),
            "healthy_rows": len(index),
        },
        "features": history.spec.to_manifest(),
        "forest_features": list(anomaly.FEATURES),
        "median": median.tolist(),
        "spread": spread.tolist(),
        "scale": {"raw": raw.tolist(), "score": scale},
        "distributions": {
            "features": distributions,
            "anomaly_score": Distribution.of(np.interp(held_out, raw, scale) / 100).to_manifest(),
        },
        "golden": {
            **golden,
            "expected": (-forest.score_samples(anomaly.filled(golden_features, median))).tolist(),
        },
    }
    return manifest, {"model.onnx": export.forest_to_onnx(forest)}


def _usual(frame: Frame) -> tuple[Floats, Floats]:
    """Median and robust spread of each column; 0 and 1 where a column is never known."""
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
