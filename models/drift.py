"""Has the traffic moved away from training, and do two versions agree? Pure functions on numbers.

The population stability index (PSI) compares shares of bins: sum of (now - then) * ln(now / then). By the
usual rule of thumb below 0.1 is stable, 0.1-0.25 worth a look, above 0.25 another population.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.columns import Floats
from models.features import Frame

BINS: Final = 10
PSI_LOOK: Final = 0.1
PSI_DRIFTED: Final = 0.25
MIN_SHARE: Final = 1e-6
MIN_ROWS: Final = 200  # with fewer rows chance alone moves a PSI of ten bins by 0.05 and more


@dataclass(frozen=True, slots=True)
class Distribution:
    """Shares of one feature in training: `edges` [k] cut known values into k + 1 bins, missing is the last.

    A feature with few values (a flag, a count) has fewer bins than `BINS`.
    """

    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, values: Floats, weight: Floats | None = None) -> Distribution:
        """Learn the bins of `values` [n], NaN for missing, each standing for `weight` rows."""
        known = values[~np.isnan(values)]
        quantiles = np.quantile(known, np.arange(1, BINS) / BINS) if len(known) else np.empty(0)
        quantiles = np.array([float(f"{quantile:.7g}") for quantile in quantiles])  # as the manifest has them
        edges: Floats = np.unique(quantiles)
        return cls(edges, _shares(count(values, edges, weight)))

    def to_manifest(self) -> dict[str, list[float]]:
        return {"edges": self.edges.tolist(), "shares": [round(float(share), 6) for share in self.shares]}

    @classmethod
    def from_manifest(cls, raw: dict[str, Any]) -> Distribution:
        # shares are written with six decimals; none was nought
        return cls(np.array(raw["edges"], np.float64), np.maximum(raw["shares"], MIN_SHARE))


def count(values: Floats, edges: Floats, weight: Floats | None = None) -> Floats:
    """Weight in each bin; the last is that of missing values. Counts of parts add up to those of the whole.

    A value equal to an edge belongs to the bin below it, so that a flag's 0 and 1 never share one.
    """
    bins = np.searchsorted(edges, values, side="left")
    bins[np.isnan(values)] = len(edges) + 1
    result: Floats = np.bincount(bins, weight, len(edges) + 2).astype(np.float64)
    return result


def _shares(counts: Floats) -> Floats:
    """Shares with half a row added to each bin, so that an empty bin is rare and not impossible."""
    result: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return result


def psi(training: Distribution, counts: Floats) -> float | None:
    """PSI of `counts` (as `count` gives them) against training; None for fewer than `MIN_ROWS` rows."""
    if counts.sum() < MIN_ROWS:
        return None
    now = _shares(counts)
    return float(((now - training.shares) * np.log(now / training.shares)).sum())


def counts_by_feature(frame: Frame, training: Sequence[Distribution]) -> list[Floats]:
    """Bin counts of each column of a batch, for adding up over batches and processes."""
    return [
        count(frame[:, column].astype(np.float64), distribution.edges)
        for column, distribution in enumerate(training)
    ]


def compare(active: Floats, shadow: Floats, *, threshold: float) -> dict[str, float | int | None]:
    """How a shadow version's probabilities [n] differ from the active version's on the same readings.

    `threshold` is the alert threshold. Rank correlation is None where one side is constant.
    """
    if len(active) != len(shadow):
        raise ValueError(f"{len(active)} and {len(shadow)} probabilities are not of the same readings")
    if not len(active):
        return {"readings": 0}
    gap = shadow - active
    alerts, shadow_alerts = active >= threshold, shadow >= threshold
    return {
        "readings": len(active),
        "mean_active": float(active.mean()),
        "mean_shadow": float(shadow.mean()),
        "mean_absolute_difference": float(np.abs(gap).mean()),
        "largest_difference": float(np.abs(gap).max()),
        "rank_correlation": _rank_correlation(active, shadow),
        "alerts_active": int(alerts.sum()),
        "alerts_shadow": int(shadow_alerts.sum()),
        "alerts_both": int((alerts & shadow_alerts).sum()),
    }


def _rank_correlation(a: Floats, b: Floats) -> float | None:
    ranks = [_ranks(values) for values in (a, b)]
    if any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks with ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    result: Floats = (ends - (counts - 1) / 2)[inverse].astype(np.float64)
    return result
