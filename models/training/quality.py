"""Figures of ranking and calibration for predicted probabilities. Offline only."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    roc_auc_score,
)

from models.features.columns import Floats


def calibration_error(happened: Any, probability: Floats, weight: Floats, *, bins: int = 10) -> float:
    """Expected calibration error (ECE) over bins of equal weight. Arguments are [n]."""
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(weight[order]) / weight.sum()
    bin_of = np.minimum((mass * bins - 1e-9).astype(np.int64), bins - 1)
    share = np.bincount(bin_of, weight[order], bins)
    observed = np.bincount(bin_of, weight[order] * happened[order], bins)
    stated = np.bincount(bin_of, weight[order] * probability[order], bins)
    return float(np.abs(observed - stated).sum() / share.sum())


def top_decile_ratio(happened: Any, probability: Floats, weight: Floats) -> float | None:
    """Observed over expected failures in the riskiest tenth of the rows; None if none are expected."""
    order = np.argsort(-probability, kind="stable")
    top = order[np.cumsum(weight[order]) <= 0.1 * weight.sum()]
    expected = float((weight[top] * probability[top]).sum())
    return float((weight[top] * happened[top]).sum()) / expected if expected > 0 else None


def ranking_metrics(happened: Any, probability: Floats, weight: Floats) -> dict[str, float | None]:
    """The manifest's figures of one horizon. Figures that need both outcomes are None without them."""
    happened = (happened == 1).astype(np.float64)
    if not len(happened):
        return {"rows": 0}
    both = 0 < happened.sum() < len(happened)
    return {
        "rows": len(happened),
        "prevalence": float(np.average(happened, weights=weight)),
        "pr_auc": float(average_precision_score(happened, probability, sample_weight=weight))
        if both
        else None,
        "roc_auc": float(roc_auc_score(happened, probability, sample_weight=weight)) if both else None,
        "brier": float(np.average((probability - happened) ** 2, weights=weight)),
        "ece": calibration_error(happened, probability, weight),
        "top_decile_observed_over_expected": top_decile_ratio(happened, probability, weight),
    }
