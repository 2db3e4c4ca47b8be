"""The failure model: probability and time of failure, confidence, recommended actions.

Pure functions of a frame and readings. Each horizon has separate boosted trees for readings with history and
for those without, each with its own calibration. A running maximum keeps the horizons monotone. One ONNX
graph contains all trees (`models/training/onnx_export.py`). Reasons are exact SHAP values
(`models/tree_shap.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypedDict

import numpy as np

from models.actions import Action, action, steps, unsafe_to_reset
from models.calibration import Calibration, logit, sigmoid
from models.features.columns import Floats, Ints
from models.features.frame import FeatureSpec, Frame
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.reasons import Factor, Reasons
from readings.reading import Reading, rfc3339

if TYPE_CHECKING:
    from models.costs import CostPolicy, Saving
    from models.onnx_session import Session
    from models.tree_shap import TreeShap

TOP_FACTORS: Final = 5
MORE_LIKELY_THAN_NOT: Final = 0.5
# The failure window is the interquartile range of the predicted failure time, around its median.
WINDOW_QUANTILES: Final = (0.25, MORE_LIKELY_THAN_NOT, 0.75)
_WINDOW_HAZARD: Final = -np.log1p(-np.array(WINDOW_QUANTILES))
_DAYS: Final = np.array((0.0, *HORIZON_DAYS))
# Calibration is not verified beyond these. They also exclude probabilities of exactly 0 and 1.
MIN_P, MAX_P = 1e-5, 0.9995


class FailureWindow(TypedDict):
    """The start and end of the predicted failure window (RFC 3339), or None."""

    start: str | None
    end: str | None


class FailureVerdict(TypedDict):
    """A failure verdict, as published in the HTTP API."""

    charger_id: str
    failure_probability: float
    horizons: dict[str, float]
    predicted_failure_date: str | None
    predicted_failure_window: FailureWindow
    confidence: float
    recommended_action: Action
    recommended_actions: list[str]
    top_contributing_factors: list[Factor]
    in_failure: bool
    cost_of_waiting: float
    currency: str
    cost_policy: str
    model_version: str
    reading_timestamp: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """Calibrations of one horizon: for readings with recent history, and for readings without.

    `faulty_shift` is added to the log-odds of a FAULTY reading, whose probability means "still or again
    failed". It is the log-odds of that among FAULTY readings of the training data, minus the log-odds of the
    base rate.
    """

    days: float
    with_history: Calibration
    without_history: Calibration
    faulty_shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Model outputs for n rows, as columns. `FailureModel.verdicts` makes verdicts of them.

    `curve` [n, horizons] and `confidence` [n] are probabilities. `top` and `weight` [n, factors] are the
    frame's columns with the largest contributions, and these contributions, largest first. `days` [n, 3] are
    the days until each quantile of `WINDOW_QUANTILES`. They are NaN if failure within the last horizon is
    less likely than not.
    """

    curve: Floats
    confidence: Floats
    top: Ints
    weight: Floats
    days: Floats


@dataclass(frozen=True)
class FailureModel:
    """One version, ready to score. Immutable and thread-safe.

    `mean_log_odds` are the raw log-odds of the mean training row, with history and without: the base of
    contributions. `confidence` are breakpoints: probability, and share of correct out-of-fold predictions of
    whether a failure within 30 days is more likely than not. `base_30d` is the base rate of failure within 30
    days. `shap` computes contributions with history and without. Versions of earlier releases have none.
    """

    version: str
    spec: FeatureSpec
    session: Session
    horizons: tuple[Horizon, ...]
    mean_log_odds: tuple[float, float]
    confidence: tuple[Floats, Floats]
    base_30d: float
    shap: tuple[TreeShap, TreeShap] | None = None

    def raw(self, frame: Frame) -> Floats:
        """Output of the graph [n, horizons + features]: log-odds, then contributions to the last horizon."""
        return self.session.run(frame)

    def probabilities(self, frame: Frame, raw: Floats | None = None) -> Floats:
        """Failure probabilities [n, horizons], monotone along a row, strictly between 0 and 1.

        `raw` is the result of `raw(frame)`, if available.
        """
        known = has_history(frame, self.spec)
        log_odds = (self.raw(frame) if raw is None else raw)[:, : len(self.horizons)]
        return calibrated(log_odds, self.horizons, known, is_faulty(frame, self.spec))

    def credits(self, frame: Frame, raw: Floats) -> Floats:
        """Contributions [n, features] of each feature within the trees of the last horizon.

        Without `shap` they are the approximate ones of the graph, the second part of `raw`.
        """
        if self.shap is None:
            return raw[:, len(self.horizons) :]
        known = has_history(frame, self.spec)
        credit = np.empty(frame.shape)
        for rows, shap in zip((known, ~known), self.shap, strict=True):
            credit[rows] = shap.values(frame[rows])
        return credit

    def contributions(self, frame: Frame, raw: Floats, probability: Floats) -> tuple[Floats, Floats]:
        """Contributions [n, features] to the log-odds of the last horizon, and their bases [n].

        A base is the probability of the mean training row, with or without history as the row itself. A row's
        contributions add up to logit(probability) - logit(base). The trees' own contributions are scaled by
        the calibration's slope between base and row.
        """
        credit = self.credits(frame, raw)
        base = np.where(has_history(frame, self.spec), *self._bases)
        raw_gap = credit.sum(axis=1)
        gap = logit(probability) - logit(base)
        stretch = np.where(np.abs(raw_gap) > 1e-3, gap / np.where(raw_gap == 0, 1, raw_gap), 1.0)
        # Calibration, monotone horizons or missing history may turn the gap's sign. Scaling would then invert
        # every reason. In that case the contributions are kept, and the rest is added in proportion to size.
        honest = (stretch > 0.1) & (stretch < 10)
        credit = credit * np.where(honest, stretch, 1.0)[:, None]
        rest = gap - credit.sum(axis=1)
        size = np.abs(credit)
        share = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)
        return credit + rest[:, None] * share, base

    @cached_property
    def _bases(self) -> tuple[float, float]:
        """The probability of the mean training row, with history and without."""
        last = self.horizons[-1]
        with_history, without = (
            float(sigmoid(calibration.log_odds(np.array([mean])))[0])
            for mean, calibration in zip(
                self.mean_log_odds, (last.with_history, last.without_history), strict=True
            )
        )
        return with_history, without

    @cached_property
    def _reasons(self) -> Reasons:
        return Reasons(self.spec)

    def score(
        self, readings: Sequence[Reading], frame: Frame, raw: Floats | None = None, *, policy: CostPolicy
    ) -> list[FailureVerdict]:
        """One verdict per reading, in order. `frame` [n, features] and `raw` must be in the same order."""
        return self.verdicts(readings, frame, self.outcomes(frame, raw), policy)

    def outcomes(self, frame: Frame, raw: Floats | None = None) -> Outcomes:
        """The model's outputs for each row of `frame`, without text."""
        raw = self.raw(frame) if raw is None else raw
        curve = self.probabilities(frame, raw)
        credit, _ = self.contributions(frame, raw, curve[:, -1])
        top = np.argsort(-np.abs(credit), axis=1, kind="stable")[:, :TOP_FACTORS]
        return Outcomes(
            curve=curve,
            confidence=np.interp(curve[:, -1], *self.confidence),
            top=top,
            weight=credit[np.arange(len(frame))[:, None], top],
            days=failure_windows(curve),
        )

    def verdicts(
        self, readings: Sequence[Reading], frame: Frame, outcomes: Outcomes, policy: CostPolicy
    ) -> list[FailureVerdict]:
        """One verdict per reading, in order, from the outcomes of `frame`."""
        factors = self._reasons.factors(frame, outcomes.top, outcomes.weight)
        curve, confidence, days = (
            outcomes.curve.round(6).tolist(),
            outcomes.confidence.round(4).tolist(),
            outcomes.days.tolist(),
        )
        rows = zip(readings, curve, confidence, days, factors, strict=True)
        savings = policy.savings(readings, curve)
        return [
            self._verdict(*row, saving, policy.version) for row, saving in zip(rows, savings, strict=True)
        ]

    def _verdict(
        self,
        reading: Reading,
        curve: list[float],
        confidence: float,
        days: list[float],
        factors: list[Factor],
        saving: Saving,
        cost_policy: str,
    ) -> FailureVerdict:
        horizons = dict(zip(HORIZON_NAMES, curve, strict=True))
        unsafe = unsafe_to_reset(reading)
        urgency = action(horizons, in_failure=reading.in_failure, pays=saving.amount > 0, unsafe=unsafe)
        start, date, end = (None, None, None) if math.isnan(days[0]) else _dates(reading, days)
        return {
            "charger_id": reading.charger_id,
            "failure_probability": horizons["30d"],
            "horizons": horizons,
            "predicted_failure_date": date,
            "predicted_failure_window": {"start": start, "end": end},
            "confidence": confidence,
            "recommended_action": urgency,
            "recommended_actions": steps(reading, urgency, unsafe=unsafe),
            "top_contributing_factors": factors,
            "in_failure": reading.in_failure,
            "cost_of_waiting": saving.amount,
            "currency": saving.currency,
            "cost_policy": cost_policy,
            "model_version": self.version,
            "reading_timestamp": rfc3339(reading.timestamp),
        }


def has_history(frame: Frame, spec: FeatureSpec) -> Any:
    """Whether each row has any history entry [n], i.e. `history_days` is not missing."""
    return ~np.isnan(frame[:, spec.first_history])


def is_faulty(frame: Frame, spec: FeatureSpec) -> Any:
    """Whether each reading is in failure itself [n]."""
    return frame[:, spec.names.index("is_faulty")] == 1


def calibrated(raw: Floats, horizons: Sequence[Horizon], with_history: Any, faulty: Any) -> Floats:
    """Monotone probabilities [n, horizons] from raw log-odds [n, horizons].

    `with_history` and `faulty` are boolean [n].
    """
    log_odds = np.empty(raw.shape, np.float64)
    for column, horizon in enumerate(horizons):
        scores = raw[:, column]
        log_odds[:, column] = np.where(
            with_history, horizon.with_history.log_odds(scores), horizon.without_history.log_odds(scores)
        )
    shift = np.array([horizon.faulty_shift for horizon in horizons])
    log_odds += np.where(np.asarray(faulty)[:, None], shift, 0.0)
    probability = sigmoid(log_odds).clip(MIN_P, MAX_P)
    monotone: Floats = np.maximum.accumulate(probability, axis=1)
    return monotone


def failure_windows(curve: Floats) -> Floats:
    """Days [n, 3] until the curves reach each quantile of `WINDOW_QUANTILES`.

    The hazard is constant between horizons. Values are capped at the last horizon, and NaN for curves that do
    not reach the median.
    """
    days = np.full((len(curve), len(WINDOW_QUANTILES)), np.nan)
    for row in np.flatnonzero(curve[:, -1] >= MORE_LIKELY_THAN_NOT).tolist():
        hazard = np.concatenate(([0.0], -np.log1p(-curve[row])))
        days[row] = np.interp(_WINDOW_HAZARD, hazard, _DAYS)
    return days


def _dates(reading: Reading, days: list[float]) -> list[str]:
    return [rfc3339(reading.timestamp + timedelta(days=after)) for after in days]
