"""Compare the scores of two versions on the same readings. Pure functions on sums that can be added.

Scores are between 0 and 1. They are summed in integer millionths (verdicts have six decimals), so that sums
are exact in any order.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.features.columns import Floats, Ints

# Edges of score bands, narrow where most readings are.
EDGES: Final = (
    *(0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12),
    *(0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
)
BANDS: Final = len(EDGES) + 1
# `failed`: the shadow could not score them. `dropped`: skipped for lack of time.
FIELDS: Final = (
    "readings",
    "failed",
    "dropped",
    "active_sum",
    "shadow_sum",
    "difference_sum",
    "alerts_active",
    "alerts_shadow",
    "alerts_both",
)
LENGTH: Final = len(FIELDS) + BANDS * BANDS
MILLIONTHS: Final = 1_000_000


def count(active: Floats, shadow: Floats, *, threshold: float) -> Ints:
    """Sums [LENGTH] over the scores [n] of two versions for the same readings.

    Scores from `threshold` on are alerts. Raises `ValueError` for different lengths.
    """
    if len(active) != len(shadow):
        raise ValueError(f"{len(active)} and {len(shadow)} scores are not of the same readings")
    alert, shadow_alert = active >= threshold, shadow >= threshold
    sums = {
        "readings": len(active),
        "active_sum": _millionths(active),
        "shadow_sum": _millionths(shadow),
        "difference_sum": _millionths(np.abs(shadow - active)),
        "alerts_active": int(alert.sum()),
        "alerts_shadow": int(shadow_alert.sum()),
        "alerts_both": int((alert & shadow_alert).sum()),
    }
    cells = np.searchsorted(EDGES, active, side="right") * BANDS + np.searchsorted(
        EDGES, shadow, side="right"
    )
    head = [sums.get(field, 0) for field in FIELDS]
    return np.concatenate((head, np.bincount(cells, minlength=BANDS * BANDS))).astype(np.int64)


def report(counts: Ints) -> dict[str, Any]:
    """Figures of sums [LENGTH]; None where undefined.

    `table[a][s]` counts readings by band, row a of the active version, column s of the shadow. The rank
    correlation (Spearman) is computed on the bands. `scored_share` is the share of all readings of the
    comparison that both versions scored.
    """
    sums = dict(zip(FIELDS, (int(number) for number in counts), strict=False))
    table = counts[len(FIELDS) :].reshape(BANDS, BANDS)
    readings = sums["readings"]
    seen = readings + sums["failed"] + sums["dropped"]
    either = sums["alerts_active"] + sums["alerts_shadow"] - sums["alerts_both"]
    return {
        "readings": readings,
        "failed": sums["failed"],
        "dropped": sums["dropped"],
        "scored_share": round(readings / seen, 4) if seen else None,
        "mean_active": _mean(sums["active_sum"], readings),
        "mean_shadow": _mean(sums["shadow_sum"], readings),
        "mean_absolute_difference": _mean(sums["difference_sum"], readings),
        "rank_correlation": _rank_correlation(table),
        "alerts_active": sums["alerts_active"],
        "alerts_shadow": sums["alerts_shadow"],
        "alerts_both": sums["alerts_both"],
        "alert_agreement": round(sums["alerts_both"] / either, 4) if either else None,
        "bands": list(EDGES),
        "table": table.tolist(),
    }


def _millionths(scores: Floats) -> int:
    return int(np.round(scores * MILLIONTHS).sum())


def _mean(total: int, readings: int) -> float | None:
    return round(total / MILLIONTHS / readings, 6) if readings else None


def _rank_correlation(table: Ints) -> float | None:
    """Spearman's rank correlation, mean ranks for ties; None if a version's scores are all in one band."""
    total = table.sum()
    if not total:
        return None
    centred = []
    for margin in (table.sum(axis=1), table.sum(axis=0)):
        ranks = np.cumsum(margin) - (margin - 1) / 2
        centred.append(ranks - (ranks * margin).sum() / total)
    rows, columns = centred
    spread = (rows**2 * table.sum(axis=1)).sum() * (columns**2 * table.sum(axis=0)).sum()
    if spread == 0:
        return None
    return round(float((rows[:, None] * columns[None, :] * table).sum() / np.sqrt(spread)), 4)
