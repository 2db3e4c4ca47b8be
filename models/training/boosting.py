"""Gradient-boosted trees of one horizon: how fine, how many, fitted on what. Offline only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models.failure import HORIZON_NAMES
from models.features.columns import Floats
from models.features.frame import FeatureSpec, Frame
from models.training.labels import UNKNOWN
from models.training.sampling import Rows

TREES: Final = 160
BOOSTING: Final[dict[str, Any]] = {"learning_rate": 0.06, "max_features": 0.3, "early_stopping": False}
# More of these never means less risk, in any fleet; the rest is left to the data.
RISING: Final = (
    "temperature_c",
    "codes",
    *(f"codes_{name}" for name in ("ground", "current", "thermal", "voltage", "power_switch", "internal")),
)


def complexity(failures: int) -> dict[str, Any]:
    """How fine the trees may be, by the number of failures there is to learn from.

    Readings before one failure are no independent examples: 43 failures of 36 real chargers (Perth &
    Kinross) gave a PR-AUC of .033 with 16 leaves and .062 with 4 larger ones, while 1,600 failures of a
    simulated fleet gave .330 with 8 leaves and .333 with 16.
    """
    return {
        "max_leaf_nodes": int(np.clip(failures // 50, 4, 16)),
        "min_samples_leaf": int(max(40, 20_000 / max(failures, 10))),
        "l2_regularization": max(5.0, 2_000 / max(failures, 10)),
    }


def fit(rows: Rows, column: int, spec: FeatureSpec, trees: int, seed: int) -> HistGradientBoostingClassifier:
    """Trees for one horizon. Raises `ValueError` where the rows have failures only, or none."""
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
    # scikit-learn bins weighted rows by weighted percentiles: 10 s a fit where 2,000 rows without took 0.1 s.
    sample_weight = None if (weight == 1).all() else weight
    model.fit(_without_empty(rows.train_frame[known]), happened, sample_weight=sample_weight)
    return model


def staged(model: HistGradientBoostingClassifier, frame: Frame) -> Frame:
    """[trees, n] raw log-odds after the first tree, the second, …"""
    return np.stack([raw.ravel().astype(np.float32) for raw in model.staged_decision_function(frame)])


def losses(stages: Frame, rows: Rows, column: int) -> Floats:
    """[trees] log loss of each stage on the rows of known future, summed by weight."""
    known = rows.labels[column] != UNKNOWN
    sign = np.where(rows.labels[column][known] == 1, -1.0, 1.0)
    weight = rows.weight[known]
    return np.array([float((weight * np.logaddexp(0.0, sign * stage[known])).sum()) for stage in stages])


def _without_empty(frame: Frame) -> Frame:
    """Columns that no row knows become 0: scikit-learn cannot bin them, and no tree asks a constant."""
    empty = np.isnan(frame).all(axis=0)
    if not empty.any():
        return frame
    frame = frame.copy()
    frame[:, empty] = 0.0
    return frame
