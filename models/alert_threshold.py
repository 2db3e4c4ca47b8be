"""Choose the probability from which a failure alert opens, with a guarantee over chargers.

Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052, algorithm 1): each threshold of a fixed grid has
the null hypothesis that it breaks the promise, with an exact binomial p-value. Fixed-sequence tests control
the chance that any accepted threshold breaks it. Readings of one charger depend on each other, so a charger
gives one trial (docs/adr/0024-alert-policies.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.features.columns import Bools, Floats, Ints

if TYPE_CHECKING:
    from settings import Settings

# Fixed before any data is seen. A grid that follows the data would need a test for that choice too.
THRESHOLDS: Final = tuple(step / 100 for step in range(99, 0, -1))
# A sequence stops where few chargers alert. Several starts share the error, so that one may stop early.
STARTS: Final = (0.0, 0.25, 0.5, 0.75)
WINDOW_DAYS: Final = 90.0
_NO_EVIDENCE: Final = "version {version} has no evidence for alerts: train it with this release, on 60 days"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of chargers at each of `THRESHOLDS`, in a window that the model was not trained on.

    `alerting`: chargers with a reading at or above the threshold. `failed`: those of them whose first such
    reading preceded a failure within 30 days. `at_once`: chargers whose newest reading is at or above it.
    `fleet` is the number of chargers in the training data.
    """

    chargers: int
    fleet: int
    alerting: tuple[int, ...]
    failed: tuple[int, ...]
    at_once: tuple[int, ...]

    def to_manifest(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            "chargers": self.chargers,
            "fleet": self.fleet,
            "thresholds": list(THRESHOLDS),
            "alerting": list(self.alerting),
            "failed": list(self.failed),
            "at_once": list(self.at_once),
        }

    @classmethod
    def from_manifest(cls, raw: Mapping[str, Any]) -> Evidence:
        """The inverse of `to_manifest`. Raises `ValueError` for counts of another grid or impossible ones."""
        try:
            counts = [tuple(map(int, raw[name])) for name in ("alerting", "failed", "at_once")]
            found = cls(int(raw["chargers"]), int(raw["fleet"]), *counts)
            grid = tuple(map(float, raw["thresholds"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the alert evidence is incomplete ({error})") from None
        if grid != THRESHOLDS or any(len(count) != len(grid) for count in counts):
            raise ValueError("the alert evidence is on another grid of thresholds")
        rows = zip(*counts, strict=True)
        if not all(0 <= failed <= alerting <= found.chargers >= now >= 0 for alerting, failed, now in rows):
            raise ValueError("the alert evidence has impossible counts")
        return found


@dataclass(frozen=True, slots=True)
class AlertThreshold:
    """The threshold in force for one version: a 30-day failure probability.

    `threshold` is None if no threshold can promise what the policy asks; `reason` then says why.
    """

    policy: str
    threshold: float | None
    reason: str | None = None


def evidence(charger: Ints, time_s: Floats, probability: Floats, failed: Bools, *, fleet: int) -> Evidence:
    """Count the chargers that alert at each threshold, and those that then failed.

    The arguments [n] describe readings of known future, a sample that does not depend on it. `charger` is a
    number, `time_s` epoch seconds, `probability` that of 30 days. `failed`: a failure followed within 30
    days. Only the newest `WINDOW_DAYS` count.
    """
    if not len(charger):
        zeros = (0,) * len(THRESHOLDS)
        return Evidence(0, fleet, zeros, zeros, zeros)
    newer = time_s >= time_s.max() - WINDOW_DAYS * 86_400
    order = np.lexsort((time_s[newer], charger[newer]))
    charger, probability, failed = (part[newer][order] for part in (charger, probability, failed))
    last = np.append(charger[1:] != charger[:-1], True)
    alerting, came_true, at_once = [], [], []
    for threshold in THRESHOLDS:
        above = np.flatnonzero(probability >= threshold)
        first = above[np.unique(charger[above], return_index=True)[1]]
        alerting.append(len(first))
        came_true.append(int(failed[first].sum()))
        at_once.append(int((probability[last] >= threshold).sum()))
    return Evidence(int(last.sum()), fleet, tuple(alerting), tuple(came_true), tuple(at_once))


def at_least(successes: int, trials: int, share: float) -> float:
    """The probability of `successes` or more in `trials`, each with probability `share` (binomial)."""
    if successes <= 0:
        return 1.0
    if successes > trials or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    count = np.arange(successes, trials + 1)
    factorial = _log_factorials(trials)
    logs = factorial[-1] - factorial[count] - factorial[trials - count]
    logs += count * math.log(share) + (trials - count) * math.log1p(-share)
    return min(1.0, float(np.exp(logs).sum()))


@lru_cache(maxsize=512)
def _log_factorials(count: int) -> Floats:
    return np.array([math.lgamma(k + 1) for k in range(count + 1)])


def for_precision(known: Evidence, precision: float, confidence: float) -> float | None:
    """The lowest threshold whose alerts come true in at least `precision` of the chargers; None for none.

    With probability `confidence` over calibration sets, the threshold keeps this promise for chargers like
    those of `known`. Both arguments are shares between 0 and 1.
    """
    level = (1 - confidence) / len(STARTS)
    accepted: list[float] = []
    for start in STARTS:
        # The alerts of a calibrated model keep the promise from `precision` on, so that is the last start.
        first = precision + (1 - precision) * start
        for threshold, alerting, failed in zip(THRESHOLDS, known.alerting, known.failed, strict=True):
            if threshold > first:
                continue
            if at_least(failed, alerting, precision) > level:
                break
            accepted.append(threshold)
    return min(accepted, default=None)


def for_budget(known: Evidence, visits_per_week: float, confidence: float) -> float | None:
    """The lowest threshold at which no more chargers alert at one time than are visited in a week.

    The expected number in the whole fleet is bounded with probability `confidence`. None if no threshold
    does.
    """
    if not known.chargers or not known.fleet:
        return None
    share = visits_per_week / known.fleet
    found = None
    for threshold, now in zip(THRESHOLDS, known.at_once, strict=True):
        # P(this many or fewer) at a share just above the budget.
        if share < 1 and at_least(known.chargers - now, known.chargers, 1 - share) > 1 - confidence:
            break
        found = threshold
    return found


def in_force(manifest: Mapping[str, Any], settings: Settings) -> AlertThreshold:
    """The threshold of a version under the policy of the settings. Without one, `reason` says why."""
    policy, confidence = settings.alert_policy, settings.alert_confidence
    if policy == "threshold":
        return AlertThreshold(policy, settings.alert_threshold)
    raw = manifest.get("alert_evidence")
    if raw is None:
        return AlertThreshold(policy, None, _NO_EVIDENCE.format(version=manifest.get("version")))
    try:
        known = Evidence.from_manifest(raw)
    except ValueError as error:
        return AlertThreshold(policy, None, str(error))
    if policy == "budget":
        threshold = for_budget(known, settings.alert_visits_per_week, confidence)
        promise = f"at most {settings.alert_visits_per_week:g} visits a week"
    else:
        threshold = for_precision(known, settings.alert_precision, confidence)
        promise = f"a precision of {settings.alert_precision:g}"
    reason = f"no threshold promises {promise} at a confidence of {confidence:g}"
    return AlertThreshold(policy, threshold, None if threshold is not None else reason)
