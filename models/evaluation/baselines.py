"""Baselines that the model must beat: base rate, error-count rule, logistic regression. Offline only.

They are fitted on older readings of the same fleet, which is an advantage over a version trained elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models import calibration
from models.features.columns import Floats
from models.features.frame import FeatureSpec, Frame
from models.training import calibration_fit
from models.training.labels import UNKNOWN, Labels

Predict = Callable[[Frame], Floats]


def error_count(frame: Frame, spec: FeatureSpec) -> Floats:
    """Rule of thumb [n]: error codes now, plus an estimate of readings with codes in the last week."""
    now = np.nan_to_num(frame[:, spec.names.index("codes")].astype(np.float64))
    week = np.nan_to_num(frame[:, spec.names.index("codes_share_7d")].astype(np.float64))
    return np.minimum(now, 10) + 14 * week  # 14 readings a week: the share becomes a count


def fit(frame: Frame, happened: Labels, spec: FeatureSpec) -> dict[str, Predict]:
    """Fit each baseline on the rows of known future of one horizon. Returns predictors by name."""
    known = happened != UNKNOWN
    rows, truth = frame[known], happened[known].astype(np.float64)
    rate = (truth.sum() + 0.5) / (len(truth) + 1)
    rule = calibration_fit.fit(error_count(rows, spec), truth)
    result: dict[str, Predict] = {
        "base rate": lambda other: np.full(len(other), rate),
        "error-count rule": lambda other: calibration.sigmoid(rule.log_odds(error_count(other, spec))),
    }
    if 0 < truth.sum() < len(truth):
        for name, width in (("", spec.first_history), (", all features", rows.shape[1])):
            if not np.isnan(rows[:, :width]).all():  # readings of bare times have no value
                result[f"logistic regression{name}"] = _logistic(rows, truth, width)
    return result


def _logistic(rows: Frame, truth: Floats, width: int) -> Predict:
    """Logistic regression on the first `width` columns; missing values become medians, with a flag."""
    columns = np.flatnonzero(~np.isnan(rows[:, :width]).all(axis=0))
    pipeline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=300),
    )
    pipeline.fit(rows[:, columns].astype(np.float64), truth)

    def predict(frame: Frame) -> Floats:
        scores: Floats = pipeline.predict_proba(frame[:, columns].astype(np.float64))[:, 1]
        return scores

    return predict
