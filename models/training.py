"""Training: a fleet's history in, a version folder out. Offline only.

The failure model is fitted twice. First on the older part of the history, with a gap of one horizon before
the newer part, on which the number of trees is chosen, probabilities are calibrated and the manifest's
metrics are measured; then on everything, with that number of trees and that calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models import calibration, export
from models.columns import STATUS_INDEX, Floats
from models.drift import Distribution
from models.failure import (
    HORIZON_DAYS,
    HORIZON_NAMES,
    Horizon,
    calibrated,
    chosen,
    has_history,
    is_faulty,
)
from models.features import FeatureSpec, Frame
from models.history import History
from models.labels import DAY_S, UNKNOWN, days_to_failure, inside_recorded, labels
from models.manifest import described, golden_frame, golden_of
from models.metrics import ranking_metrics
from models.sampling import Rows, bare_of, sample, split

Progress = Callable[[str], None]
TREES: Final = 160
BOOSTING: Final[dict[str, Any]] = {"learning_rate": 0.06, "max_features": 0.3, "early_stopping": False}
# More of these never means less risk, in any fleet; the rest is left to the data.
RISING: Final = (
    "temperature_c",
    "codes",
    *(f"codes_{name}" for name in ("ground", "current", "thermal", "voltage", "power_switch", "internal")),
)


def train_failure(history: History, *, seed: int = 0, progress: Progress = lambda _: None) -> tuple[Any, Any]:
    """The manifest and files of a failure version. Raises `ValueError` where there is nothing to learn."""
    rng = np.random.default_rng(seed)
    progress("labels")
    truth = tuple(labels(history, days) for days in HORIZON_DAYS)
    progress("features")
    rows = sample(history, truth, rng)
    older, newer = split(rows)
    bare, newer_bare = bare_of(rows, history.spec), bare_of(newer, history.spec)
    fitted: list[HistGradientBoostingClassifier] = []
    trees: list[int] = []
    for judged, parts in ((newer, older), (newer_bare, [bare_of(part, history.spec) for part in older])):
        for column, name in enumerate(HORIZON_NAMES):
            kind = "with history" if judged is newer else "without history"
            progress(f"fit {name} {kind} on the older part")
            model = _fit(parts[column], column, history.spec, TREES, seed)
            best = _best_size(model, judged, column)
            trees.append(best)
            fitted.append(_cut(model, best))
    progress("calibrate")
    half = len(HORIZON_NAMES)
    raw = np.column_stack([model.decision_function(newer.frame) for model in fitted[:half]])
    raw_bare = np.column_stack([model.decision_function(newer_bare.frame) for model in fitted[half:]])
    metrics = _measured(newer, raw, history.spec)
    horizons = _horizons(newer, raw, raw_bare, np.ones(len(newer.index), np.bool_))
    horizons = tuple(
        replace(horizon, faulty_shift=_faulty_shift(history, rows, column))
        for column, horizon in enumerate(horizons)
    )
    final: list[HistGradientBoostingClassifier] = []
    for number, size in enumerate(trees):
        column = number % half
        progress(
            f"fit {HORIZON_NAMES[column]} {'with' if number < half else 'without'} history on everything"
        )
        model = _fit(rows if number < half else bare, column, history.spec, size, seed)
        export.round_thresholds(model)
        final.append(model)
    probability = calibrated(raw, horizons, *_healthy_and_known(raw))[:, -1]
    golden = golden_of(history, rows)
    expected = _scored(final, horizons, golden, history.spec)
    manifest = {
        "type": "gradient-boosted trees by horizon, calibrated",
        **described(history),
        "metrics": metrics,
        "base_rate": {name: _base_rate(rows, column) for column, name in enumerate(HORIZON_NAMES)},
        "features": history.spec.to_manifest(),
        "horizons": {
            name: {
                "days": horizon.days,
                "trees": size,
                "faulty_shift": horizon.faulty_shift,
                "calibration": {
                    "with_history": horizon.with_history.to_manifest(),
                    "without_history": horizon.without_history.to_manifest(),
                },
            }
            for name, horizon, size in zip(HORIZON_NAMES, horizons, trees[:half], strict=True)
        },
        "confidence": _confidence(probability, newer),
        "distributions": {
            "features": {
                name: Distribution.of(rows.frame[:, column].astype(np.float64), rows.weight).to_manifest()
                for column, name in enumerate(history.spec.names)
            },
            "probability_30d": Distribution.of(probability, newer.weight).to_manifest(),
        },
        "golden": {**golden, "expected": expected.tolist()},
    }
    files = {
        "model.onnx": export.boosted_to_onnx(final),
        "trees.npz": export.boosted_to_trees(final[half - 1]).to_bytes(),
        "trees_without_history.npz": export.boosted_to_trees(final[-1]).to_bytes(),
    }
    return manifest, files


def complexity(failures: int) -> dict[str, Any]:
    """How fine the trees may be, by the number of failures there is to learn from.

    Readings before one failure are no independent examples: 43 failures of 36 real chargers (Perth &
    Kinross) gave a PR-AUC of .033 with 16 leaves and .062 with 4 larger ones, while 1,600 failures of a
    simulated fleet gave .330 with 8 leaves and .333 with 16.
    """
    return {
        "max_leaf_nodes": int(np.clip(failures // 50, 4, 16)),
        "min_samples_leaf": int(max(40, 20_000 / max(failures, 10))),
        "l2_regularization": max(5.0, 2_000 / max(failures, 10)),
    }


def _fit(rows: Rows, column: int, spec: FeatureSpec, trees: int, seed: int) -> HistGradientBoostingClassifier:
    known = rows.labels[column] != UNKNOWN
    model = HistGradientBoostingClassifier(
        max_iter=trees,
        random_state=seed,
        monotonic_cst=[int(name in RISING) for name in spec.names],
        **complexity(rows.failures),
        **BOOSTING,
    )
    happened = rows.labels[column][known]
    if len(np.unique(happened)) < 2:
        raise ValueError(f"failures within {HORIZON_NAMES[column]} are too few to learn from")
    model.fit(_without_empty(rows.lessons[known]), happened, sample_weight=rows.weight[known])
    return model


def _without_empty(frame: Frame) -> Frame:
    """Columns that no row knows become 0: scikit-learn cannot bin them, and no tree asks a constant."""
    empty = np.isnan(frame).all(axis=0)
    if not empty.any():
        return frame
    frame = frame.copy()
    frame[:, empty] = 0.0
    return frame


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
    probability = calibrated(raw, horizons, *_healthy_and_known(raw))
    result: dict[str, Any] = {}
    for column, name in enumerate(HORIZON_NAMES):
        judged = ~fit_on & (newer.labels[column] != UNKNOWN)
        result[name] = ranking_metrics(
            newer.labels[column][judged], probability[judged, column], newer.weight[judged]
        )
    return result


def _healthy_and_known(raw: Floats) -> tuple[Any, Any]:
    """For rows of the sample: history stands behind the score, and none is in failure."""
    return np.ones(len(raw), np.bool_), np.zeros(len(raw), np.bool_)


def _faulty_shift(history: History, rows: Rows, column: int) -> float:
    """How many log-odds a FAULTY reading is likelier to be still or again failed than another to fail.

    Where a fleet has few FAULTY readings, ten at a share of 0.7 are added.
    """
    columns = history.columns
    faulty = np.flatnonzero(columns.status == STATUS_INDEX["FAULTY"])
    days = HORIZON_DAYS[column]
    faulty = faulty[columns.time_s[faulty] <= history.end_s - days * DAY_S]
    failed = inside_recorded(history)[faulty] | (days_to_failure(history)[faulty] <= days)
    share = (float(failed.sum()) + 7.0) / (len(failed) + 10.0)
    return float(calibration.logit(np.array(share)) - calibration.logit(np.array(_base_rate(rows, column))))


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


def _scored(
    models: list[HistGradientBoostingClassifier],
    horizons: tuple[Horizon, ...],
    golden: dict[str, Any],
    spec: FeatureSpec,
) -> Floats:
    frame = golden_frame(golden, spec)
    raw = np.column_stack([model.decision_function(frame) for model in models])
    raw = chosen(raw, has_history(frame, spec))
    return calibrated(raw, horizons, has_history(frame, spec), is_faulty(frame, spec))
