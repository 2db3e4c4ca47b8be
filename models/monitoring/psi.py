"""Measure how far a distribution has moved from training. Pure functions.

The population stability index (PSI) compares shares of bins: sum of (now - then) * ln(now / then). By the
usual rule of thumb, below 0.1 is stable, 0.1-0.25 needs a look, and above 0.25 is another population.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.features.columns import Floats

BINS: Final = 10
PSI_LOOK: Final = 0.1
PSI_DRIFTED: Final = 0.25
# Minimum share of a bin in training. If it was empty there, 3 % now give `look`, 5 % give `drifted`.
MIN_SHARE: Final = 1e-4
# By chance alone a feature with eleven bins has a PSI of about 10 / rows, and one in a hundred has 25 / rows.
MIN_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of one feature in training. `edges` [k] make k + 1 bins of known values.

    `shares` [k + 2] are the shares of the bins; the last is that of missing values. A feature with few
    distinct values has fewer bins than `BINS`.
    """

    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, values: Floats, weight: Floats | None = None) -> Distribution:
        """Learn bins and shares from `values` [n], NaN for missing, each with the weight of `weight` rows."""
        known = values[~np.isnan(values)]
        quantiles = np.quantile(known, np.arange(1, BINS) / BINS) if len(known) else np.empty(0)
        quantiles = np.array([float(f"{quantile:.7g}") for quantile in quantiles])  # as the manifest has them
        edges: Floats = np.unique(quantiles)
        return cls(edges, _shares(count(values, edges, weight)))

    def to_manifest(self) -> dict[str, list[float]]:
        """Edges and shares as JSON values, shares with six decimals."""
        return {"edges": self.edges.tolist(), "shares": [round(float(share), 6) for share in self.shares]}

    def among_known(self, unknown: float) -> Distribution:
        """The distribution without a share `unknown` of rows, which are missing for a known reason."""
        shares = self.shares.copy()
        shares[-1] -= unknown
        return Distribution(self.edges, np.maximum(shares / (1 - unknown), MIN_SHARE))

    @classmethod
    def from_manifest(cls, raw: dict[str, Any]) -> Distribution:
        """The inverse of `to_manifest`. Shares are at least `MIN_SHARE`."""
        # shares are rounded to six decimals; none was zero before
        return cls(np.array(raw["edges"], np.float64), np.maximum(raw["shares"], MIN_SHARE))


def count(values: Floats, edges: Floats, weight: Floats | None = None) -> Floats:
    """Weight of each bin [k + 2]; the last is that of missing values. Counts of parts add up.

    A value on an edge belongs to the lower bin, so that 0 and 1 of a flag are never in the same bin.
    """
    bins = np.searchsorted(edges, values, side="left")
    bins[np.isnan(values)] = len(edges) + 1
    result: Floats = np.bincount(bins, weight, len(edges) + 2).astype(np.float64)
    return result


def _shares(counts: Floats) -> Floats:
    """Shares with half a row added to each bin, so that no share is zero."""
    result: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return result


def psi(training: Distribution, counts: Floats) -> float | None:
    """PSI of `counts` [k + 2] against training; None for fewer than `MIN_ROWS` rows."""
    if counts.sum() < MIN_ROWS:
        return None
    now = _shares(counts)
    return float(((now - training.shares) * np.log(now / training.shares)).sum())
