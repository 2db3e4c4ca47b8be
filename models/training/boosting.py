"""Gradient-boosted trees of one horizon: size, number and fit. Offline only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models.features.columns import Floats
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_NAMES
from models.training.labels import UNKNOWN
from models.training.sampling import Rows
from models.tree_shap import MOST_FEATURES

TREES: Final = 160
BOOSTING: Final[dict[str, Any]] = {
    "learning_rate": 0.06,
    "max_features": 0.3,
    "max_depth": MOST_FEATURES,
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
    """Fit trees for one horizon. Raises `ValueError` if the rows contain only failures, or none."""
    known = rows.labels[column] != UNKNOWN
    happened = rows.labels[column][known]
    if len(np.unique(happened)) < 2:
        raise ValueError(f"failures within {HORIZON_NAMES[column]} are too few to learn from")
    model = HistGradientBoostingClassifier(
        max_iter=trees,
        random_state=seed,
        monotonic_cst=[int(name in RISING) for name in spec.names],
        **complexity(rows.failures()),
        **BOOSTING,
    )
    weight = rows.weight[known]
    # With weights scikit-learn bins by weighted percentiles: 10 s a fit of 2,000 rows, against 0.1 s without.
    sample_weight = None if (weight == 1).all() else weight
    model.fit(_without_empty(rows.train_frame[known]), happened, sample_weight=sample_weight)
    return model


def staged(model: HistGradientBoostingClassifier, frame: Frame) -> Frame:
    """Raw log-odds [trees, n] after the first tree, the second, …"""
    return np.stack([raw.ravel().astype(np.float32) for raw in model.staged_decision_function(frame)])


def losses(stages: Frame, rows: Rows, column: int) -> Floats:
    """Log loss [trees] of each stage on rows of known future, summed by weight."""
    known = rows.labels[column] != UNKNOWN
    sign = np.where(rows.labels[column][known] == 1, -1.0, 1.0)
    weight = rows.weight[known]
    return np.array([float((weight * np.logaddexp(0.0, sign * stage[known])).sum()) for stage in stages])


def _without_empty(frame: Frame) -> Frame:
    """Set columns without any value to 0: scikit-learn cannot bin them, and no tree splits on a constant."""
    empty = np.isnan(frame).all(axis=0)
    if not empty.any():
        return frame
    frame = frame.copy()
    frame[:, empty] = 0.0
    return frame
