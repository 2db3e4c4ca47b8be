"""Train the failure model: a fleet's history in, a manifest and files out. Offline only.

The model is fitted twice. First without a part of the data (`models/training/cross_validation.py`): that part
serves to choose the number of trees, to calibrate, and to measure the manifest's metrics. Then on all data,
with that number of trees and that calibration.

A horizon that the history is too short for is extrapolated from the longest learned one
(`models/training/horizons.py`). It gets the same trees with another calibration, so that serving needs no
special case.

A version may begin from another one (`models/training/base_version.py`): own trees then correct its log-odds.
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
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.monitoring.psi import Distribution
from models.training import base_version, boosting, calibration_fit, onnx_export
from models.training.base_version import BaseVersion
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


def train_failure(
    history: History,
    *,
    base: BaseVersion | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> tuple[Any, Any]:
    """The manifest and files of a failure version. Raises `TooLittleHistory`.

    With `base`, a version of fewer than `FEW_FAILURES` failures begins from that one. `history.spec` must
    then name all codes of its spec.
    """
    rng = np.random.default_rng(seed)
    truth = tuple(labels(history, days) for days in HORIZON_DAYS)
    learnt = learnable(history, truth)
    progress("features")
    rows = sample(history, truth[: learnt.count], rng)
    if rows.failures() >= FEW_FAILURES:
        # Held-out models are weaker than the final ones, and would give the base too large a share.
        base = None
    out_of_fold = by_time(rows, history.spec, seed, progress)
    metrics = None if out_of_fold is None else _measured(out_of_fold, base, history.spec)
    if out_of_fold is None or rows.failures() < FEW_FAILURES:
        out_of_fold = by_blocks(rows, history.spec, seed, progress)
    if out_of_fold is None:
        raise too_little(history, "failures of more chargers, or at more times, are needed to judge by")
    metrics = metrics or _measured(out_of_fold, base, history.spec)
    progress("judge on chargers it has not seen")
    chargers: dict[str, Any] = seen_vs_unseen(rows, history.spec, seed)
    progress("calibrate")
    alerts = None if learnt.reasons else _alert_evidence(history, out_of_fold, base, seed)
    shares = None
    if base is not None:
        everything = np.ones(len(out_of_fold.raw), np.bool_)
        out_of_fold, shares = base_version.corrected(out_of_fold, base, history.spec, everything)
    base_rates = tuple(_base_rate(rows, column) for column in range(learnt.count))
    horizons = tuple(
        replace(horizon, faulty_shift=_faulty_shift(history, column, base_rates[column]))
        for column, horizon in enumerate(_horizons(out_of_fold, np.ones(len(out_of_fold.raw), np.bool_)))
    )
    final: list[list[HistGradientBoostingClassifier]] = [[], []]
    for number, (kind, train_rows) in enumerate(zip(KINDS, (rows, bare_of(rows, history.spec)), strict=True)):
        for column, name in enumerate(HORIZON_NAMES[: learnt.count]):
            progress(f"fit {name} {kind}, on everything")
            trees = out_of_fold.sizes[number][column]
            model = boosting.fit(train_rows, column, history.spec, trees, seed)
            onnx_export.round_thresholds(model)
            if shares is not None:
                onnx_export.scale(model, float(shares.own[number, column]))
            final[number].append(model)
    horizons, base_rates = carried_on(horizons, base_rates)
    # An extrapolated horizon has the trees of the horizon it is extrapolated from.
    taught_by = [min(column, learnt.count - 1) for column in range(len(HORIZON_NAMES))]
    with_history, without_history = ([models[column] for column in taught_by] for models in final)
    raw = out_of_fold.raw[:, taught_by]
    probability = calibrated(raw, horizons, *_healthy_and_known(raw))[:, -1]
    means = [onnx_export.mean_log_odds(models[-1]) for models in (with_history, without_history)]
    golden = golden_of(history, rows)
    frame = golden_frame(golden, history.spec)
    golden_raw = _raw(with_history, without_history, frame, history.spec)
    more: list[onnx_export.Tree] = []
    explained = [onnx_export.trees_of(models[-1]) for models in (with_history, without_history)]
    if base is not None and shares is not None and shares.base.any():
        usual = base_version.means(base, rows, history.spec)
        more = base_version.trees(base, shares, taught_by, usual, history.spec)
        theirs = base_version.explained(base, shares, taught_by[-1], rows, history.spec)
        explained = [tree_shap.joined(*pair) for pair in zip(explained, theirs, strict=True)]
        factors = shares.base[:, taught_by]
        means = [
            own + float(factor[-1] * mean[taught_by[-1]])
            for own, factor, mean in zip(means, factors, usual, strict=True)
        ]
        kind_of = np.where(has_history(frame, history.spec), 0, 1)
        golden_raw = golden_raw + base.raw(frame, history.spec)[:, taught_by] * factors[kind_of]
    expected = calibrated(
        golden_raw, horizons, has_history(frame, history.spec), is_faulty(frame, history.spec)
    )
    manifest = {
        "type": "gradient-boosted trees by horizon, calibrated",
        **described(history),
        "from_version": None if base is None or shares is None else shares.to_manifest(base.model.version),
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
        "mean_log_odds": dict(zip(("with_history", "without_history"), means, strict=True)),
        "alert_evidence": None if alerts is None else alerts.to_manifest(),
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
    graph = onnx_export.boosted_to_onnx(
        with_history, without_history, told_by=history.spec.first_history, more=more
    )
    return manifest, {"model.onnx": graph, tree_shap.FILE: tree_shap.to_bytes(*explained)}


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


def _measured(out_of_fold: OutOfFold, base: BaseVersion | None, spec: FeatureSpec) -> dict[str, Any]:
    """Metrics on every second charger, calibrated (and corrected, with `base`) on the others."""
    rows = out_of_fold.rows
    fit_on = np.unique(rows.charger, return_inverse=True)[1] % 2 == 0
    if base is not None:
        out_of_fold, _ = base_version.corrected(out_of_fold, base, spec, fit_on)
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


def _alert_evidence(
    history: History, out_of_fold: OutOfFold, base: BaseVersion | None, seed: int
) -> alert_threshold.Evidence:
    """Counts for alert thresholds, on every second charger, calibrated (and corrected) on the others.

    Sampling keeps more readings before failures. Keeping each in proportion to its weight undoes that.
    """
    rows, fleet = out_of_fold.rows, len(history.charger_ids)
    fit_on = np.unique(rows.charger, return_inverse=True)[1] % 2 == 0
    if base is not None:
        out_of_fold, _ = base_version.corrected(out_of_fold, base, history.spec, fit_on)
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


def _raw(
    with_history: list[HistGradientBoostingClassifier],
    without_history: list[HistGradientBoostingClassifier],
    frame: Frame,
    spec: FeatureSpec,
) -> Floats:
    """Log-odds [n, horizons] of own trees."""
    raw, raw_bare = (
        np.column_stack([model.decision_function(frame) for model in models])
        for models in (with_history, without_history)
    )
    return np.where(has_history(frame, spec)[:, None], raw, raw_bare)
