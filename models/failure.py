"""The failure model: when will this charger lose service, how sure, and what to do about it.

Pure: a frame and readings in, verdicts out. Each horizon has boosted trees of its own for readings with
history and for those without (one ONNX graph holds all), each with its own calibration, and a running
maximum keeps the horizons monotone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import numpy as np

from models.actions import Action, action, steps
from models.calibration import Calibration, logit, sigmoid
from models.columns import Floats
from models.features import FeatureSpec, Frame
from models.trees import Trees
from models.words import shown, words

if TYPE_CHECKING:
    from models.onnx_session import Session
    from models.reading import Reading

HORIZON_DAYS: Final = (1.0, 7.0, 30.0)
HORIZON_NAMES: Final = ("1d", "7d", "30d")
TOP_FACTORS: Final = 5
# A share of the log-odds below which a factor is noise to a reader.
MIN_WEIGHT: Final = 0.01
MORE_LIKELY_THAN_NOT: Final = 0.5
# The window is the middle half of the curve's failures.
WINDOW: Final = (0.25, 0.75)
# No calibration is known beyond this; it also keeps 1 and 0 out of the answers.
MIN_P, MAX_P = 1e-5, 0.9995


class Factor(TypedDict):
    factor: str
    feature: str
    value: float | None
    unit: str
    text: str
    direction: Literal["increases", "decreases"]
    weight: float


class Window(TypedDict):
    start: str | None
    end: str | None


class FailureVerdict(TypedDict):
    charger_id: str
    failure_probability: float
    horizons: dict[str, float]
    predicted_failure_date: str | None
    predicted_failure_window: Window
    confidence: float
    recommended_action: Action
    recommended_actions: list[str]
    top_contributing_factors: list[Factor]
    in_failure: bool
    model_version: str
    reading_timestamp: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """Calibrations of one horizon: for readings with recent history, and for readings without.

    `faulty_shift` is added to the log-odds of a FAULTY reading, whose probability means "still or again
    failed": how much likelier that was, among training's FAULTY readings, than a failure among the others.
    """

    days: float
    with_history: Calibration
    without_history: Calibration
    faulty_shift: float = 0.0


@dataclass(frozen=True, slots=True)
class FailureModel:
    """One version, ready to score.

    `confidence` are breakpoints (probability, share of held-out calls "within 30 days: more likely than
    not, or not" that proved right).
    """

    version: str
    spec: FeatureSpec
    session: Session
    trees: Trees
    trees_without_history: Trees
    horizons: tuple[Horizon, ...]
    confidence: tuple[Floats, Floats]

    def probabilities(self, frame: Frame) -> Floats:
        """[n, horizons], monotone along a row, strictly between 0 and 1."""
        known = has_history(frame, self.spec)
        raw = chosen(self.session.run(frame), known)
        return calibrated(raw, self.horizons, known, is_faulty(frame, self.spec))

    def contributions(self, frame: Frame, probability: Floats) -> tuple[Floats, Floats]:
        """Contributions [n, features] to the log-odds of the last horizon, and the bases [n] they start from.

        A base is the probability of the mean training row, with history or without as the row itself has
        it; a row's contributions add up to logit(probability) - logit(base). The trees' own credits are
        stretched by the calibration's slope between the mean row and this one.
        """
        known = has_history(frame, self.spec)
        last = self.horizons[-1]
        credit = np.zeros(frame.shape)
        base = np.zeros(len(frame))
        for which, trees, calibration in (
            (known, self.trees, last.with_history),
            (~known, self.trees_without_history, last.without_history),
        ):
            if which.any():
                credit[which] = trees.contributions(frame[which])
                base[which] = sigmoid(calibration.log_odds(np.array([trees.mean()])))[0]
        raw_gap = credit.sum(axis=1)
        gap = logit(probability) - logit(base)
        stretch = np.where(np.abs(raw_gap) > 1e-3, gap / np.where(raw_gap == 0, 1, raw_gap), 1.0)
        # Where calibration, monotone horizons or missing history turn the gap's sign, stretching would turn
        # every reason round: then the trees' own credits stay, and what is left is spread evenly over them.
        honest = (stretch > 0.1) & (stretch < 10)
        credit = credit * np.where(honest, stretch, 1.0)[:, None]
        rest = gap - credit.sum(axis=1)
        size = np.abs(credit)
        share = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)
        return credit + rest[:, None] * share, base

    def score(self, readings: Sequence[Reading], frame: Frame) -> list[FailureVerdict]:
        """One verdict for each reading, in order."""
        curves = self.probabilities(frame)
        credit, _ = self.contributions(frame, curves[:, -1])
        certain = np.interp(curves[:, -1], *self.confidence)
        top = np.argsort(-np.abs(credit), axis=1, kind="stable")[:, :TOP_FACTORS]
        return [
            self._verdict(reading, curves[row], float(certain[row]), frame[row], credit[row], top[row])
            for row, reading in enumerate(readings)
        ]

    def _verdict(
        self, reading: Reading, curve: Floats, confidence: float, features: Any, credit: Floats, top: Any
    ) -> FailureVerdict:
        horizons = dict(zip(HORIZON_NAMES, (round(float(p), 6) for p in curve), strict=True))
        start = date = end = None
        if curve[-1] >= MORE_LIKELY_THAN_NOT:
            start, date, end = (
                failure_day(curve, share) for share in (WINDOW[0], MORE_LIKELY_THAN_NOT, WINDOW[1])
            )
        urgency = action(horizons, in_failure=reading.in_failure)
        factors = [
            _factor(
                self.spec.names[int(column)],
                float(features[column]),
                float(credit[column]),
                features,
                self.spec,
            )
            for column in top
            if abs(float(credit[column])) >= MIN_WEIGHT
        ]
        return {
            "charger_id": reading.charger_id,
            "failure_probability": horizons["30d"],
            "horizons": horizons,
            "predicted_failure_date": None if date is None else _after(reading, date),
            "predicted_failure_window": {
                "start": _after(reading, start) if date is not None and start is not None else None,
                "end": None if date is None else _after(reading, HORIZON_DAYS[-1] if end is None else end),
            },
            "confidence": round(confidence, 4),
            "recommended_action": urgency,
            "recommended_actions": steps(reading, urgency),
            "top_contributing_factors": factors,
            "in_failure": reading.in_failure,
            "model_version": self.version,
            "reading_timestamp": rfc3339(reading.timestamp),
        }


def has_history(frame: Frame, spec: FeatureSpec) -> Any:
    """[n] whether any recent entry stood behind the row (`history_days` is stated)."""
    return ~np.isnan(frame[:, spec.first_past])


def is_faulty(frame: Frame, spec: FeatureSpec) -> Any:
    """[n] whether the reading itself is in failure."""
    return frame[:, spec.names.index("is_faulty")] == 1


def chosen(raw: Floats, with_history: Any) -> Floats:
    """[n, horizons] of the graph's [n, 2 x horizons]: the trees with history come first."""
    half = raw.shape[1] // 2
    return np.where(with_history[:, None], raw[:, :half], raw[:, half:])


def calibrated(raw: Floats, horizons: Sequence[Horizon], with_history: Any, faulty: Any) -> Floats:
    """Raw log-odds [n, horizons] to monotone probabilities; `with_history` and `faulty` are [n] bools."""
    log_odds = np.empty(raw.shape, np.float64)
    for column, horizon in enumerate(horizons):
        scores = raw[:, column].astype(np.float64)
        log_odds[:, column] = np.where(
            with_history, horizon.with_history.log_odds(scores), horizon.without_history.log_odds(scores)
        )
        log_odds[:, column] += np.where(faulty, horizon.faulty_shift, 0.0)
    probability = np.clip(sigmoid(log_odds), MIN_P, MAX_P)
    monotone: Floats = np.maximum.accumulate(probability, axis=1)
    return monotone


def failure_day(curve: Floats, share: float) -> float | None:
    """Days until the curve reaches `share`, between horizons at a constant hazard; None if beyond them."""
    hazard = np.concatenate(([0.0], -np.log1p(-curve)))
    wanted = -np.log1p(-share)
    if hazard[-1] < wanted:
        return None
    return float(np.interp(wanted, hazard, (0.0, *HORIZON_DAYS)))


def rfc3339(moment: datetime) -> str:
    """UTC with three decimals and Z: texts then sort like the times they name."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _after(reading: Reading, days: float) -> str:
    return rfc3339(reading.timestamp + timedelta(days=days))


def _factor(name: str, value: float, weight: float, features: Any, spec: FeatureSpec) -> Factor:
    label, unit = words(name)
    number = shown(value, unit)
    if number is None:
        text = f"{label} not known"
    else:
        text = f"{label} {number:g}{' ' + unit if unit else ''}" + _usually(name, features, spec)
    return {
        "factor": label,
        "feature": name,
        "value": number,
        "unit": unit,
        "text": text,
        "direction": "increases" if weight > 0 else "decreases",
        "weight": round(weight, 4),
    }


def _usually(name: str, features: Any, spec: FeatureSpec) -> str:
    """What is usual for this very charger, where its history tells."""
    if name != "temperature_c":
        return ""
    mean = float(features[spec.names.index("temperature_mean_30d")])
    spread = float(features[spec.names.index("temperature_std_30d")])
    if np.isnan(mean) or np.isnan(spread):
        return ""
    return f", usually {mean - spread:.0f} to {mean + spread:.0f} °C for this charger"
