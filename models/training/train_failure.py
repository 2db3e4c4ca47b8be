"""Train the failure model: a fleet's history in, a manifest and files out. Offline only.

The model is fitted twice. First without a part of the data (`models/training/cross_validation.py`): that part
serves to choose the number of trees, to calibrate, and to measure the manifest's metrics. Then on all data,
with that number of trees and that calibration.

A horizon that the history is too short for is extrapolated from the longest learned one
(`models/training/horizons.py`). It gets the same trees with another calibration, so that serving needs no
special case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models import alert_threshold, calibration, tree_shap
from models.failure import Horizon, calibrated, has_history, is_faulty
from models.features.columns import STATUS_INDEX, Floats
from models.features.frame import FeatureSpec
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.monitoring.psi import Distribution
from models.training import boosting, calibration_fit, onnx_export
from models.training.cross_validation import (
    FEW_FAILURES,
    KINDS,
    OutOfFold,
    by_blocks,
    by_time,
    seen_vs_unseen,
)
from models.training.history import History
from models.training.horizons import Learnable, carried_on, learnable, too_little
from models.training.labels import DAY_S, UNKNOWN, days_to_failure, inside_recorded, labels
from models.training.manifest import described, golden_frame, golden_of
from models.training.quality import ranking_metrics
from models.training.sampling import Rows, bare_of, sample

Progress = Callable[[str], None]


def train_failure(history: History, *, seed: int = 0, progress: Progress = lambda _: None) -> tuple[Any, Any]:
    """The manifest and files of a failure version. Raises `TooLittleHistory`."""
    rng = np.random.default_rng(seed)
    truth = tuple(labels(history, days) for days in HORIZON_DAYS)
    learnt = learnable(history, truth)
    progress("features")
    rows = sample(history, truth[: learnt.count], rng)
    out_of_fold = by_time(rows, history.spec, seed, progress)
    metrics = None if out_of_fold is None else _measured(out_of_fold)
    if out_of_fold is None or rows.failures() < FEW_FAILURES:
        out_of_fold = by_blocks(rows, history.spec, seed, progress)
    if out_of_fold is None:
        raise too_little(history, "failures of more chargers, or at more times, are needed to judge by")
    metrics = metrics or _measured(out_of_fold)
    progress("judge on chargers it has not seen")
    chargers: dict[str, Any] = seen_vs_unseen(rows, history.spec, seed)
    progress("calibrate")
    base_rates = tuple(_base_rate(rows, column) for column in range(learnt.count))
    horizons = tuple(
        replace(horizon, faulty_shift=_faulty_shift(history, column, base_rates[column]))
        for column, horizon in enumerate(_horizons(out_of_fold, np.ones(len(out_of_fold.raw), np.bool_)))
    )
    final: list[list[HistGradientBoostingClassifier]] = [[], []]
    for models, kind, train_rows, sizes in zip(
        final, KINDS, (rows, bare_of(rows, history.spec)), out_of_fold.sizes, strict=True
    ):
        for column, name in enumerate(HORIZON_NAMES[: learnt.count]):
            progress(f"fit {name} {kind}, on everything")
            model = boosting.fit(train_rows, column, history.spec, sizes[column], seed)
            onnx_export.round_thresholds(model)
            models.append(model)
    horizons, base_rates = carried_on(horizons, base_rates)
    # An extrapolated horizon has the trees of the horizon it is extrapolated from.
    taught_by = [min(column, learnt.count - 1) for column in range(len(HORIZON_NAMES))]
    with_history, without_history = ([models[column] for column in taught_by] for models in final)
    raw = out_of_fold.raw[:, taught_by]
    probability = calibrated(raw, horizons, *_healthy_and_known(raw))[:, -1]
    golden = golden_of(history, rows)
    expected = _scored(with_history, without_history, horizons, golden, history.spec)
    manifest = {
        "type": "gradient-boosted trees by horizon, calibrated",
        **described(history),
        "metrics": metrics | {name: {"rows": 0, "reason": why} for name, why in _not_learnt(learnt).items()},
        "metrics_by_charger_7d": chargers or {"reason": "too few failures within 7 days to judge by"},
        "base_rate": dict(zip(HORIZON_NAMES, base_rates, strict=True)),
        "features": history.spec.to_manifest(),
        "horizons": {
            name: {
                "days": horizon.days,
                "trees": out_of_fold.sizes[0][column],
                "carried_from": learnt.longest if name in _not_learnt(learnt) else None,
                "faulty_shift": horizon.faulty_shift,
                "calibration": {
                    "with_history": horizon.with_history.to_manifest(),
                    "without_history": horizon.without_history.to_manifest(),
                },
            }
            for name, horizon, column in zip(HORIZON_NAMES, horizons, taught_by, strict=True)
        },
        "mean_log_odds": {
            "with_history": onnx_export.mean_log_odds(with_history[-1]),
            "without_history": onnx_export.mean_log_odds(without_history[-1]),
        },
        "alert_evidence": None
        if learnt.reasons
        else _alert_evidence(out_of_fold, seed, fleet=len(history.charger_ids)).to_manifest(),
        "confidence": _confidence(probability, out_of_fold.rows, observed=not learnt.reasons),
        "distributions": {
            "features": {
                name: Distribution.of(rows.frame[:, column].astype(np.float64), rows.weight).to_manifest()
                for column, name in enumerate(history.spec.names)
            },
            "probability_30d": Distribution.of(probability, out_of_fold.rows.weight).to_manifest(),
        },
        "golden": {**golden, "expected": expected.tolist()},
    }
    graph = onnx_export.boosted_to_onnx(with_history, without_history, told_by=history.spec.first_history)
    trees = tree_shap.to_bytes(
        *(onnx_export.trees_of(models[-1]) for models in (with_history, without_history))
    )
    return manifest, {"model.onnx": graph, tree_shap.FILE: trees}


def _not_learnt(learnt: Learnable) -> dict[str, str]:
    """The extrapolated horizons, each with the reason."""
    how = f"not observed, carried from {learnt.longest} at a constant hazard"
    names = HORIZON_NAMES[learnt.count :]
    return {name: f"{how}: {why}" for name, why in zip(names, learnt.reasons, strict=True)}


def _horizons(out_of_fold: OutOfFold, which: Any) -> tuple[Horizon, ...]:
    """Calibrations of the learned horizons, fitted on the rows of `which`."""
    rows = out_of_fold.rows
    result = []
    for column, days in enumerate(HORIZON_DAYS[: len(rows.labels)]):
        known = which & (rows.labels[column] != UNKNOWN)
        happened = rows.labels[column][known].astype(np.float64)
        weight, failures = rows.weight[known], rows.take(known).failures(column)
        with_history, without_history = (
            calibration_fit.fit(raw[known, column], happened, weight, failures=failures)
            for raw in (out_of_fold.raw, out_of_fold.raw_bare)
        )
        result.append(Horizon(days, with_history, without_history))
    return tuple(result)


def _measured(out_of_fold: OutOfFold) -> dict[str, Any]:
    """Metrics on every second charger, calibrated on the others."""
    rows = out_of_fold.rows
    fit_on = np.unique(rows.charger, return_inverse=True)[1] % 2 == 0
    probability = calibrated(
        out_of_fold.raw, _horizons(out_of_fold, fit_on), *_healthy_and_known(out_of_fold.raw)
    )
    result: dict[str, Any] = {}
    for column, name in enumerate(HORIZON_NAMES[: len(rows.labels)]):
        judged = ~fit_on & (rows.labels[column] != UNKNOWN)
        result[name] = ranking_metrics(
            rows.labels[column][judged], probability[judged, column], rows.weight[judged]
        )
        if result[name].get("pr_auc") is None:
            result[name]["reason"] = "the readings held out do not have both outcomes"
    return result


def _alert_evidence(out_of_fold: OutOfFold, seed: int, *, fleet: int) -> alert_threshold.Evidence:
    """Counts for alert thresholds, on every second charger, calibrated on the others.

    Sampling keeps more readings before failures. Keeping each in proportion to its weight undoes that, so
    that the first alert of a charger is not more often right than in service.
    """
    rows = out_of_fold.rows
    fit_on = np.unique(rows.charger, return_inverse=True)[1] % 2 == 0
    raw = out_of_fold.raw
    probability = calibrated(raw, _horizons(out_of_fold, fit_on), *_healthy_and_known(raw))[:, -1]
    drawn = np.random.default_rng(seed).random(len(raw)) < rows.weight / rows.weight.max()
    used = ~fit_on & drawn & (rows.labels[-1] != UNKNOWN)
    return alert_threshold.evidence(
        rows.charger[used], rows.time_s[used], probability[used], rows.labels[-1][used] == 1, fleet=fleet
    )


def _healthy_and_known(raw: Floats) -> tuple[Any, Any]:
    """The masks `with_history` and `faulty` for `calibrated`: sampled rows have history and no failure."""
    return np.ones(len(raw), np.bool_), np.zeros(len(raw), np.bool_)


def _faulty_shift(history: History, column: int, base_rate: float) -> float:
    """Log-odds of "still or again failed" among FAULTY readings, minus those of the base rate.

    Ten FAULTY readings at a share of 0.7 are added as a prior.
    """
    columns = history.columns
    faulty = np.flatnonzero(columns.status == STATUS_INDEX["FAULTY"])
    days = HORIZON_DAYS[column]
    faulty = faulty[columns.time_s[faulty] <= history.end_s - days * DAY_S]
    failed = inside_recorded(history)[faulty] | (days_to_failure(history)[faulty] <= days)
    share = (float(failed.sum()) + 7.0) / (len(failed) + 10.0)
    return float(calibration.logit(np.array(share)) - calibration.logit(np.array(base_rate)))


def _confidence(probability: Floats, rows: Rows, *, observed: bool) -> dict[str, list[float]]:
    """Share of out-of-fold rows with a correct prediction of "more likely than not", by probability.

    If the longest horizon was not observed, the share that a calibrated model would have.
    """
    known = (rows.labels[-1] != UNKNOWN) & observed
    p, weight = probability[known], rows.weight[known]
    right = ((p >= 0.5) == (rows.labels[-1][known] == 1)).astype(np.float64)
    edges = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    middle = (edges[:-1] + edges[1:]) / 2
    bin_of = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, len(middle) - 1)
    mass = np.bincount(bin_of, weight, len(middle))
    hits = np.bincount(bin_of, weight * right, len(middle))
    prior = np.maximum(middle, 1 - middle)  # the share of a calibrated model; worth 20 rows
    return {"probability": middle.tolist(), "right": ((hits + 20 * prior) / (mass + 20)).tolist()}


def _base_rate(rows: Rows, column: int) -> float:
    known = rows.labels[column] != UNKNOWN
    return float(np.average(rows.labels[column][known] == 1, weights=rows.weight[known]))


def _scored(
    with_history: list[HistGradientBoostingClassifier],
    without_history: list[HistGradientBoostingClassifier],
    horizons: tuple[Horizon, ...],
    golden: dict[str, Any],
    spec: FeatureSpec,
) -> Floats:
    frame = golden_frame(golden, spec)
    known = has_history(frame, spec)
    raw, raw_bare = (
        np.column_stack([model.decision_function(frame) for model in models])
        for models in (with_history, without_history)
    )
    raw = np.where(known[:, None], raw, raw_bare)
    return calibrated(raw, horizons, known, is_faulty(frame, spec))
