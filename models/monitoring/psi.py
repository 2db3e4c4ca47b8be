"""Has a population of numbers moved away from the one of training? Pure functions.

The population stability index (PSI) compares shares of bins: sum of (now - then) * ln(now / then). By the
usual rule of thumb below 0.1 is stable, 0.1-0.25 worth a look, above 0.25 another population.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.features.columns import Floats

BINS: Final = 10
PSI_LOOK: Final = 0.1
PSI_DRIFTED: Final = 0.25
# A bin that training left empty: 3 % there now are worth a look, 5 % are drift.
MIN_SHARE: Final = 1e-4
# Chance alone gives a feature of eleven bins a PSI of about 10 / rows, one feature in a hundred 25 / rows.
MIN_ROWS: Final = 500


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

    def among_known(self, unknown: float) -> Distribution:
        """The same without a share of rows that is missing here for a reason of its own."""
        shares = self.shares.copy()
        shares[-1] -= unknown
        return Distribution(self.edges, np.maximum(shares / (1 - unknown), MIN_SHARE))

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
