"""Expected precision, recall and PR-AUC of alerts before outcomes are known.

Confidence-based performance estimation: a calibrated probability p says that an alert is right with
probability p. So the expected number of right alerts is the sum of p over alerts. It sees that a fleet has
other readings than in training. It cannot see that equal readings have come to mean another risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.features.columns import Bools, Floats, Ints

DRAWS: Final = 200
COVERED: Final = 0.95
MIN_CHARGERS: Final = 50
GROUPS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expected share, and the limits within which the realised share is expected (`COVERED`)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ExpectedQuality:
    """Expected quality of the alerts of one moment; None where it is undefined, as precision without alerts.

    `alerts` are chargers at or above the threshold. Recall is undefined without a threshold too.
    """

    chargers: int
    alerts: int
    precision: Estimate | None
    recall: Estimate | None
    pr_auc: Estimate | None


def expected_quality(probability: Floats, threshold: float | None, *, seed: int = 0) -> ExpectedQuality:
    """Estimate the quality of one verdict per charger. Blocks for about 0.1 s.

    `probability` [n] are calibrated 30-day probabilities of chargers that are not in failure, `threshold` is
    that of alerts. Values are expectations. Limits come from draws of chargers with replacement, and of
    whether each fails. All estimates are None for fewer than `MIN_CHARGERS`.
    """
    chargers = len(probability)
    alerting = probability >= (np.inf if threshold is None else threshold)
    alerts = int(alerting.sum())
    if chargers < MIN_CHARGERS:
        return ExpectedQuality(chargers, alerts, None, None, None)
    # Chargers of nearly equal probability are one group, so that a large fleet costs as much as a small one.
    key = -(np.floor(probability * GROUPS) * 2 + alerting)
    _, first, group, size = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    share = np.bincount(group, probability) / size
    alerting = alerting[first]
    rng = np.random.default_rng(seed)
    drawn: list[tuple[float, float, float]] = []
    for _ in range(DRAWS):
        count = rng.multinomial(chargers, size / chargers)
        drawn.append(_figures(count, rng.binomial(count, share), alerting))
    expected = _figures(size, size * share, alerting)
    precision, recall, pr_auc = (
        _estimate(value, np.array(values))
        for value, values in zip(expected, zip(*drawn, strict=True), strict=True)
    )
    return ExpectedQuality(chargers, alerts, precision, recall if threshold is not None else None, pr_auc)


def _figures(count: Ints, failed: Floats | Ints, alerting: Bools) -> tuple[float, float, float]:
    """Precision, recall and PR-AUC of groups in descending order of probability. NaN if undefined.

    `count` [n] chargers were drawn of each group, and `failed` [n] of these failed, or are expected to. The
    PR-AUC is the average precision, as in scikit-learn.
    """
    right, so_far = np.cumsum(failed), np.cumsum(count)
    total, raised = float(right[-1]), int(count[alerting].sum())
    caught = float(failed[alerting].sum())
    at_each = np.divide(right, so_far, out=np.zeros(len(count)), where=so_far > 0)
    return (
        caught / raised if raised else np.nan,
        caught / total if total > 0 else np.nan,
        float((failed * at_each).sum()) / total if total > 0 else np.nan,
    )


def _estimate(value: float, drawn: Floats) -> Estimate | None:
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not np.isfinite(value):
        return None
    low, high = np.quantile(known, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Estimate(value, float(low), float(high))
