"""Training: a fleet's history in, a version folder out. Offline only.

The failure model is fitted twice. First on the older part of the history, with a gap of one horizon before
the newer part, on which the number of trees is chosen, probabilities are calibrated and the manifest's
metrics are measured; then on everything, with that number of trees and that calibration.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import skl2onnx  # type: ignore[import-untyped]
import sklearn  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    HistGradientBoostingClassifier,
    IsolationForest,
)

from models import anomaly, calibration, export, registry
from models.columns import Columns, Floats, Ints
from models.failure import HORIZON_DAYS, HORIZON_NAMES, Horizon, calibrated, rfc3339
from models.features import MAX_ENTRIES, FeatureSpec, Frame, compute
from models.history import History
from models.labels import DAY_S, UNKNOWN, Labels, in_failure, labels
from models.metrics import ranking_metrics
from models.scorer import columns_to_manifest

Progress = Callable[[str], None]

# Rows kept for fitting: all rarer ones first. Beyond this, more rows of the same fleet moved PR-AUC by less
# than its bootstrap interval, and a million rows must train within five minutes.
MAX_ROWS: Final = {"week": 50_000, "month": 50_000, "healthy": 80_000}
NEWER_SHARE: Final = 0.3
MIN_POSITIVES: Final = 10
# Share of training rows whose past is cut off, and cut short: a server without history must answer too.
NO_PAST, SHORT_PAST = 0.25, 0.15
TREES: Final = 150
BOOSTING: Final[dict[str, Any]] = {
    "learning_rate": 0.1,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 20,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "early_stopping": False,
}
# More of these never means less risk, in any fleet; the rest is left to the data.
RISING: Final = (
    "temperature_c",
    "codes",
    *(f"codes_{name}" for name in ("ground", "current", "thermal", "voltage", "power_switch", "internal")),
)
HEALTHY_ROWS: Final = 60_000
FOREST: Final[dict[str, Any]] = {"n_estimators": 80, "max_samples": 256}
FALSE_ALARMS: Final = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


@dataclass(frozen=True, slots=True)
class Rows:
    """Sampled readings: where they stand, how many each stands for, what came after, and their features."""

    index: Ints
    weight: Floats
    labels: tuple[Labels, ...]
    frame: Frame
    time_s: Floats
    charger: Ints

    def take(self, which: Any) -> Rows:
        return Rows(
            self.index[which],
            self.weight[which],
            tuple(label[which] for label in self.labels),
            self.frame[which],
            self.time_s[which],
            self.charger[which],
        )


def train_failure(history: History, *, seed: int = 0, progress: Progress = lambda _: None) -> tuple[Any, Any]:
    """The manifest and files of a failure version. Raises `ValueError` where there is nothing to learn."""
    rng = np.random.default_rng(seed)
    progress("labels")
    truth = tuple(labels(history, days) for days in HORIZON_DAYS)
    progress("features")
    rows = _sample(history, truth, rng)
    older, newer = _split(rows)
    fitted: list[HistGradientBoostingClassifier] = []
    trees: list[int] = []
    for column, name in enumerate(HORIZON_NAMES):
        progress(f"fit {name} on the older part")
        model = _fit(older[column], column, history.spec, TREES, seed)
        best = _best_size(model, newer, column)
        trees.append(best)
        fitted.append(_cut(model, best))
    progress("calibrate")
    bare = newer.frame.copy()
    bare[:, history.spec.first_past :] = np.nan
    raw = np.column_stack([model.decision_function(newer.frame) for model in fitted])
    raw_bare = np.column_stack([model.decision_function(bare) for model in fitted])
    metrics = _measured(newer, raw, history.spec)
    horizons = _horizons(newer, raw, raw_bare, np.ones(len(newer.index), np.bool_))
    final: list[HistGradientBoostingClassifier] = []
    for column, name in enumerate(HORIZON_NAMES):
        progress(f"fit {name} on everything")
        model = _fit(rows, column, history.spec, trees[column], seed)
        export.round_thresholds(model)
        final.append(model)
    probability = calibrated(raw, horizons, np.ones(len(raw), np.bool_))[:, -1]
    golden = _golden(history, rows)
    expected = _scored(final, horizons, golden, history.spec)
    manifest = {
        "type": "gradient-boosted trees by horizon, calibrated",
        **_described(history),
        "metrics": metrics,
        "base_rate": {name: _base_rate(rows, column) for column, name in enumerate(HORIZON_NAMES)},
        "features": history.spec.to_manifest(),
        "horizons": {
            name: {
                "days": horizon.days,
                "trees": size,
                "calibration": {
                    "with_history": horizon.with_history.to_manifest(),
                    "without_history": horizon.without_history.to_manifest(),
                },
            }
            for name, horizon, size in zip(HORIZON_NAMES, horizons, trees, strict=True)
        },
        "confidence": _confidence(probability, newer),
        "golden": {**golden, "expected": expected.tolist()},
    }
    files = {
        "model.onnx": export.boosted_to_onnx(final),
        "trees.npz": export.boosted_to_trees(final[-1]).to_bytes(),
    }
    return manifest, files


def _sample(history: History, truth: tuple[Labels, ...], rng: np.random.Generator) -> Rows:
    """At most `MAX_ROWS` readings of known future, each with its weight and features."""
    day, week, month = truth
    known = day != UNKNOWN
    strata = {
        "week": known & (week == 1),
        "month": known & (week != 1) & (month == 1),
        "healthy": known & (week != 1) & (month != 1),
    }
    picked: list[Ints] = []
    weights: list[Floats] = []
    for name, mask in strata.items():
        where = np.flatnonzero(mask)
        kept = where if len(where) <= MAX_ROWS[name] else rng.choice(where, MAX_ROWS[name], replace=False)
        picked.append(kept)
        weights.append(np.full(len(kept), len(where) / max(len(kept), 1)))
    index = np.concatenate(picked)
    order = np.argsort(index)
    index, weight = index[order], np.concatenate(weights)[order]
    if sum(int((label[index] == 1).sum()) for label in truth) == 0:
        raise ValueError("no reading is followed by a failure within 30 days: there is nothing to learn")
    luck = rng.random(len(index))
    depth = np.full(len(index), MAX_ENTRIES, np.int64)
    short = luck < NO_PAST + SHORT_PAST
    depth[short] = rng.integers(1, MAX_ENTRIES, int(short.sum()))
    depth[luck < NO_PAST] = 0
    return Rows(
        index,
        weight,
        tuple(label[index] for label in truth),
        compute(history.columns, history.spec, index, depth),
        history.columns.time_s[index],
        history.columns.charger[index],
    )


def _split(rows: Rows) -> tuple[list[Rows], Rows]:
    """Older rows for each horizon, ending one horizon before the newer ones begin.

    Where the history is too short for that, by charger instead: a quarter of the chargers is the newer part.
    """
    usable = rows.labels[-1] != UNKNOWN
    order = np.argsort(rows.time_s[usable], kind="stable")
    mass = np.cumsum(rows.weight[usable][order])
    begin = rows.time_s[usable][order][int(np.searchsorted(mass, mass[-1] * (1 - NEWER_SHARE)))]
    newer = rows.take(rows.time_s > begin)
    older = [rows.take(rows.time_s <= begin - days * DAY_S) for days in HORIZON_DAYS]
    if all(
        _failing(part, k) >= MIN_POSITIVES and _failing(newer, k) >= MIN_POSITIVES
        for k, part in enumerate(older)
    ):
        return older, newer
    held_out = rows.charger % 4 == 0
    return [rows.take(~held_out)] * len(HORIZON_DAYS), rows.take(held_out)


def _failing(rows: Rows, column: int) -> int:
    return int((rows.labels[column] == 1).sum())


def _fit(rows: Rows, column: int, spec: FeatureSpec, trees: int, seed: int) -> HistGradientBoostingClassifier:
    known = rows.labels[column] != UNKNOWN
    model = HistGradientBoostingClassifier(
        max_iter=trees,
        random_state=seed,
        monotonic_cst=[int(name in RISING) for name in spec.names],
        **BOOSTING,
    )
    happened = rows.labels[column][known]
    if len(np.unique(happened)) < 2:
        raise ValueError(f"failures within {HORIZON_NAMES[column]} are too few to learn from")
    model.fit(rows.frame[known], happened, sample_weight=rows.weight[known])
    return model


def _best_size(model: HistGradientBoostingClassifier, newer: Rows, column: int) -> int:
    """The number of trees with the least log loss on the newer rows, at least 10."""
    known = newer.labels[column] != UNKNOWN
    happened, weight = newer.labels[column][known], newer.weight[known]
    if not len(happened):
        return 50
    losses = [
        float((weight * np.logaddexp(0.0, np.where(happened == 1, -raw.ravel(), raw.ravel()))).sum())
        for raw in model.staged_decision_function(newer.frame[known])
    ]
    return max(10, int(np.argmin(losses)) + 1)


def _cut(model: HistGradientBoostingClassifier, trees: int) -> HistGradientBoostingClassifier:
    model._predictors = model._predictors[:trees]
    return model


def _horizons(rows: Rows, raw: Floats, raw_bare: Floats, which: Any) -> tuple[Horizon, ...]:
    """Calibrations fitted on the rows of `which`."""
    result = []
    for column, days in enumerate(HORIZON_DAYS):
        known = which & (rows.labels[column] != UNKNOWN)
        happened = rows.labels[column][known].astype(np.float64)
        weight = rows.weight[known]
        result.append(
            Horizon(
                days,
                calibration.fit(raw[known, column], happened, weight),
                calibration.fit(raw_bare[known, column], happened, weight),
            )
        )
    return tuple(result)


def _measured(newer: Rows, raw: Floats, spec: FeatureSpec) -> dict[str, Any]:
    """Metrics on the newer rows of every second charger, calibrated on the others."""
    fit_on = newer.charger % 2 == 0
    horizons = _horizons(newer, raw, raw, fit_on)
    probability = calibrated(raw, horizons, np.ones(len(raw), np.bool_))
    result: dict[str, Any] = {}
    for column, name in enumerate(HORIZON_NAMES):
        judged = ~fit_on & (newer.labels[column] != UNKNOWN)
        result[name] = ranking_metrics(
            newer.labels[column][judged], probability[judged, column], newer.weight[judged]
        )
    return result


def _confidence(probability: Floats, rows: Rows) -> dict[str, list[float]]:
    """By probability, the share of newer rows on which "more likely than not, or not" was right."""
    known = rows.labels[-1] != UNKNOWN
    p, weight = probability[known], rows.weight[known]
    right = ((p >= 0.5) == (rows.labels[-1][known] == 1)).astype(np.float64)
    edges = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    middle = (edges[:-1] + edges[1:]) / 2
    bin_of = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, len(middle) - 1)
    mass = np.bincount(bin_of, weight, len(middle))
    hits = np.bincount(bin_of, weight * right, len(middle))
    prior = np.maximum(middle, 1 - middle)  # what a calibrated model would get; worth 20 rows
    return {"probability": middle.tolist(), "right": ((hits + 20 * prior) / (mass + 20)).tolist()}


def _base_rate(rows: Rows, column: int) -> float:
    known = rows.labels[column] != UNKNOWN
    return float(np.average(rows.labels[column][known] == 1, weights=rows.weight[known]))


def _golden(history: History, rows: Rows) -> dict[str, Any]:
    """A few readings with what came before them, spread over the sample."""
    picked = rows.index[np.linspace(0, len(rows.index) - 1, 6).astype(np.int64)]
    parts: list[Ints] = []
    at: list[int] = []
    number: list[int] = []
    for row in picked.tolist():
        start = max(row - 40, int(np.searchsorted(history.columns.charger, history.columns.charger[row])))
        number.extend([len(parts)] * (row - start + 1))
        parts.append(np.arange(start, row + 1))
        at.append(sum(map(len, parts)) - 1)
    index = np.concatenate(parts)
    taken = {name: getattr(history.columns, name)[index] for name in Columns.__dataclass_fields__}
    taken["charger"] = np.array(number, np.int64)
    return {"columns": columns_to_manifest(Columns(**taken)), "rows": at}


def golden_frame(golden: dict[str, Any], spec: FeatureSpec) -> Frame:
    """The frame of a manifest's golden rows."""
    from models.scorer import columns_from_manifest

    return compute(columns_from_manifest(golden["columns"]), spec, np.array(golden["rows"], np.int64))


def _scored(
    models: list[HistGradientBoostingClassifier],
    horizons: tuple[Horizon, ...],
    golden: dict[str, Any],
    spec: FeatureSpec,
) -> Floats:
    frame = golden_frame(golden, spec)
    raw = np.column_stack([model.decision_function(frame) for model in models])
    return calibrated(raw, horizons, ~np.isnan(frame[:, spec.first_past]))


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
    golden = _golden(history, _bare_rows(history, index, full))
    golden_features = golden_frame(golden, history.spec)[:, [names.index(name) for name in anomaly.FEATURES]]
    manifest = {
        "type": "isolation forest and physical rules",
        **_described(history),
        "metrics": {
            "false_alarm_rate": float(
                (np.interp(held_out, raw, [0.0, *score, 100.0]) >= anomaly.THRESHOLD).mean()
            ),
            "healthy_rows": len(index),
        },
        "features": history.spec.to_manifest(),
        "forest_features": list(anomaly.FEATURES),
        "median": median.tolist(),
        "spread": spread.tolist(),
        "scale": {"raw": raw.tolist(), "score": [0.0, *score.tolist(), 100.0]},
        "golden": {
            **golden,
            "expected": (-forest.score_samples(anomaly.filled(golden_features, median))).tolist(),
        },
    }
    return manifest, {"model.onnx": export.forest_to_onnx(forest, ready)}


def _bare_rows(history: History, index: Ints, frame: Frame) -> Rows:
    columns = history.columns
    return Rows(index, np.ones(len(index)), (), frame, columns.time_s[index], columns.charger[index])


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


def _described(history: History) -> dict[str, Any]:
    """What the manifest says of the training data and of the libraries."""
    columns = history.columns
    first, last = (
        datetime.fromtimestamp(float(t), UTC) for t in (columns.time_s.min(), columns.time_s.max())
    )
    # reproducible builds state their time (reproducible-builds.org)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return {
        "trained_at": rfc3339(now),
        "training_data": {
            "readings": len(columns),
            "chargers": len(history.charger_ids),
            "failures": len(history.failures.charger),
            "maintenance": len(history.maintenance.charger),
            "from": rfc3339(first),
            "to": rfc3339(last),
            "absent_columns": list(history.absent),
        },
        "libraries": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "registry_schema": registry.MANIFEST_SCHEMA,
    }
