"""Gradient-boosted trees of one horizon: size, number and fit. Offline only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models.features.columns import Bools, Floats
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.training.sampling import Rows

TREES: Final = 160
MAX_BINS: Final = 255  # scikit-learn's most
BOOSTING: Final[dict[str, Any]] = {
    "learning_rate": 0.06,
    "max_features": 0.3,
    "max_depth": 10,  # and so many features on a path: models/tree_shap.py makes a table of each
    "early_stopping": False,
}
# Risk must not decrease with these features, in any fleet. All others are unconstrained.
RISING: Final = (
    "temperature_c",
    "codes",
    *(f"codes_{name}" for name in ("ground", "current", "thermal", "voltage", "power_switch", "internal")),
)


def complexity(failures: int) -> dict[str, Any]:
    """Limits on tree size (scikit-learn parameters), by the number of distinct failures.

    Readings before the same failure are not independent examples. 43 failures of 36 real chargers (Perth &
    Kinross) gave a PR-AUC of .033 with 16 leaves, and .062 with 4 larger ones. 1,600 failures of a simulated
    fleet gave .330 with 8 leaves and .333 with 16.
    """
    return {
        "max_leaf_nodes": int(np.clip(failures // 50, 4, 16)),
        "min_samples_leaf": int(max(40, 20_000 / max(failures, 10))),
        "l2_regularization": max(5.0, 2_000 / max(failures, 10)),
    }


def fit(rows: Rows, column: int, spec: FeatureSpec, trees: int, seed: int) -> HistGradientBoostingClassifier:
    """Fit trees for one horizon. Raises `ValueError` if the rows contain only failures, or none.

    A row whose charger was seen in service for a third of the horizon counts as a third of a healthy row.
    With rare failures this is the likelihood of a constant hazard (docs/adr/0023).
    """
    failing, weight = _seen(rows, column)
    known = weight > 0
    if len(np.unique(failing[known])) < 2:
        raise ValueError(f"failures within {HORIZON_NAMES[column]} are too few to learn from")
    model = HistGradientBoostingClassifier(
        max_iter=trees,
        random_state=seed,
        monotonic_cst=[int(name in RISING) for name in spec.names],
        **complexity(rows.failures()),
        **BOOSTING,
    )
    frame = rows.train_frame[known]
    bins = _Bins(frame)
    model.fit(bins.numbers(frame), failing[known], sample_weight=weight[known])
    bins.restore(model)
    return model


def staged(model: HistGradientBoostingClassifier, frame: Frame) -> Frame:
    """Raw log-odds [trees, n] after the first tree, the second, …"""
    return np.stack([raw.ravel().astype(np.float32) for raw in model.staged_decision_function(frame)])


def losses(stages: Frame, rows: Rows, column: int) -> Floats:
    """Log loss [trees] of each stage on rows, as far as their future is known, summed by weight."""
    failing, weight = _seen(rows, column)
    sign = np.where(failing, -1.0, 1.0)
    return np.array([float((weight * np.logaddexp(0.0, sign * stage)).sum()) for stage in stages])


def _seen(rows: Rows, column: int) -> tuple[Bools, Floats]:
    """Whether each row's charger was seen to fail within the horizon [n], and the row's weight [n]."""
    failing = rows.failing(column)
    share = np.where(failing, 1.0, np.minimum(rows.known_days / HORIZON_DAYS[column], 1.0))
    return failing, rows.weight * share


class _Bins:
    """Features as numbers of bins with equal shares of the rows.

    scikit-learn does this by itself. But for weighted rows it sorts each feature 254 times: 10 s a fit of
    2,000 rows, against 0.1 s.
    """

    def __init__(self, frame: Frame) -> None:
        self._edges = [_edges(column[~np.isnan(column)]) for column in frame.T]

    def numbers(self, frame: Frame) -> Frame:
        """The number of each value's bin [n, features]. Missing values stay missing; empty columns are 0."""
        numbers = np.empty(frame.shape, np.float32)
        for column, edges in enumerate(self._edges):
            values = frame[:, column]
            missing = np.isnan(values)
            numbers[:, column] = np.searchsorted(edges, values, side="left")
            # scikit-learn cannot bin a column without any value, and no tree splits on a constant.
            numbers[missing, column] = 0.0 if missing.all() else np.nan
        return numbers

    def restore(self, model: HistGradientBoostingClassifier) -> None:
        """Let a model that was fitted on numbers of bins ask for the values themselves."""
        for (predictor,) in model._predictors:
            for node in predictor.nodes:
                if not node["is_leaf"] and np.isfinite(node["num_threshold"]):
                    edges = self._edges[node["feature_idx"]]
                    node["num_threshold"] = edges[int(node["num_threshold"])]


def _edges(values: Floats) -> Floats:
    """Upper edges of all bins but the last."""
    distinct = np.unique(values).astype(np.float64)
    if len(distinct) <= MAX_BINS:
        return (distinct[:-1] + distinct[1:]) / 2
    shares = np.linspace(0, 1, MAX_BINS + 1)[1:-1]
    return np.unique(np.quantile(values.astype(np.float64), shares, method="averaged_inverted_cdf"))
