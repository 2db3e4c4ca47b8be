"""Figures of a failure version on a window of a history, compared with baselines. Offline only.

One reading per charger and day is judged: the day's last, unless it is inside a failure or its future is
unknown. Intervals are 95 % bootstrap intervals over chargers, which keep a charger's days together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from errors import ServiceError
from models.evaluation import baselines
from models.evaluation.counting_rule import COUNTING_RULE, outage_days
from models.failure import FailureModel
from models.features.columns import Floats, Ints
from models.features.frame import Frame, compute
from models.horizon_days import HORIZON_DAYS, HORIZON_NAMES
from models.training.history import History
from models.training.labels import DAY_S, UNKNOWN, labels

ALERT_SHARES: Final = (0.01, 0.02, 0.05)
BASELINE_ROWS: Final = 40_000
MODEL: Final = "model"
WEEK: Final = HORIZON_NAMES.index("7d")
LEAD_SHARE: Final = 0.02
LEAD_DAYS: Final = 30.0
REPLICATES: Final = 200


class NothingToJudge(ServiceError):
    """Raised for a window without a reading that can be judged."""

    code = "nothing_to_judge"


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """Judged rows of a window. `truth[h]` [n] is 1, 0 or -1 by horizon; `scores[name]` is [n, horizons]."""

    rows: Ints
    charger: Ints
    time_s: Floats
    truth: list[Any]
    scores: dict[str, Floats]
    frame: Frame


def judge_window(
    model: FailureModel,
    history: History,
    since_s: float,
    to_s: float,
    *,
    others: Mapping[str, Floats] | None = None,
    seed: int = 0,
) -> JudgedWindow:
    """Score the window with the model, and with baselines fitted on data that ends one horizon before it.

    `history` must have the model's spec. Failures after the window are known up to the history's end.
    `others` are scores of the history's readings by scorer, [n, horizons]. With them only readings that all
    have scored are judged. Raises `NothingToJudge` if no reading in the window can be judged.
    """
    columns, others = history.columns, others or {}
    truth = [labels(history, days) for days in HORIZON_DAYS]
    inside = np.flatnonzero((columns.time_s >= since_s) & (columns.time_s <= to_s))
    # Select the day's last reading first, and then those with a known future. In the other order, the reading
    # just before the onset would be selected on the day of a failure, and failures would look more frequent.
    rows = _last_of_day(columns.charger[inside], columns.time_s[inside], inside)
    rows = rows[truth[0][rows] != UNKNOWN]
    if not len(rows):
        raise NothingToJudge("no reading in the window has a known future")
    for name, score in others.items():
        has = ~np.isnan(score).all(axis=0)  # it need not have scores of all horizons
        rows = rows[~np.isnan(score[rows][:, has]).any(axis=1)]
        if not has.any() or not len(rows):
            raise NothingToJudge(f"no reading in the window has scores of the {name}")
    frame = compute(columns, model.spec, rows)
    scores = {MODEL: model.probabilities(frame)} | {name: score[rows] for name, score in others.items()}
    scores[COUNTING_RULE] = np.tile(outage_days(columns, rows)[:, None], (1, len(HORIZON_DAYS)))
    rng = np.random.default_rng(seed)
    for column, days in enumerate(HORIZON_DAYS):
        older = np.flatnonzero((columns.time_s < since_s - days * DAY_S) & (truth[column] != UNKNOWN))
        if len(older) < 100:
            continue
        older = np.sort(rng.choice(older, min(BASELINE_ROWS, len(older)), replace=False))
        fitted = baselines.fit(compute(columns, model.spec, older), truth[column][older], model.spec)
        for name, predict in fitted.items():
            scores.setdefault(name, np.full((len(rows), len(HORIZON_DAYS)), np.nan))[:, column] = predict(
                frame
            )
    return JudgedWindow(
        rows, columns.charger[rows], columns.time_s[rows], [one[rows] for one in truth], scores, frame
    )


def _last_of_day(charger: Ints, time_s: Floats, rows: Ints) -> Ints:
    day = np.floor(time_s / DAY_S)
    last = np.ones(len(rows), np.bool_)
    last[:-1] = (charger[1:] != charger[:-1]) | (day[1:] != day[:-1])
    kept: Ints = rows[last]
    return kept


class Ranking:
    """Figures of one scorer for many charger weights.

    Rows are sorted once, riskiest first, with ties together. Without `probability` the scores only rank.
    """

    def __init__(
        self, happened: Any, score: Floats, alerts: dict[float, Any], *, probability: bool = True
    ) -> None:
        self._order = np.argsort(-score, kind="stable")
        self._score = score[self._order]
        self._ends = np.flatnonzero(np.append(self._score[1:] != self._score[:-1], True))
        self._hit = (happened[self._order] == 1).astype(np.float64)
        self._error = (self._score - self._hit) ** 2
        self._tenth = tenths(self._score) if probability else None
        self._alerts = {share: alerted[self._order].astype(np.float64) for share, alerted in alerts.items()}

    def figures(self, weight: Floats) -> dict[str, float]:
        """PR-AUC, ROC-AUC, precision and recall by alerted share; of probabilities also Brier, ECE, and
        observed / predicted of the riskiest tenth (NaN if nothing is predicted there).

        `weight` [n] is the weight of each row. Empty without a failure.
        """
        weight = weight[self._order]
        hits, mass = weight * self._hit, np.cumsum(weight)
        positives, total = np.cumsum(hits)[self._ends], mass[self._ends]
        if not positives[-1]:
            return {}
        precision = positives / np.maximum(total, 1e-12)
        found, others = np.diff(positives, prepend=0.0), np.diff(total - positives, prepend=0.0)
        result = {
            "pr_auc": float((found * precision).sum() / positives[-1]),
            # probability that a reading before a failure scores above another one; ties count half
            "roc_auc": float(
                (others * (positives - found / 2)).sum() / (positives[-1] * max(others.sum(), 1e-12))
            ),
        }
        if self._tenth is not None:
            observed, stated = np.bincount(self._tenth, hits), np.bincount(self._tenth, weight * self._score)
            result |= {
                "brier": float((weight * self._error).sum() / mass[-1]),
                "ece": float(np.abs(observed - stated).sum() / mass[-1]),
                "top_decile": float(observed[-1] / stated[-1]) if stated[-1] else float("nan"),
            }
        for share, alerted_rows in self._alerts.items():
            caught = float((alerted_rows * hits).sum())
            result[f"precision_{share:.0%}"] = caught / max(float((alerted_rows * weight).sum()), 1e-12)
            result[f"recall_{share:.0%}"] = caught / float(positives[-1])
        return result


def tenths(score: Floats) -> Ints:
    """The tenth of each score [n], 0 for the lowest. Equal scores share one, so there may be fewer."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, 11)))
    number: Ints = np.searchsorted(edges[1:-1], score, side="left")
    return number


def figures(judged: JudgedWindow, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Any]:
    """By horizon and scorer: ranking, calibration and alert figures, each as [value, low, high].

    All scorers use the same bootstrap draws of chargers. `difference` is the model's PR-AUC minus that
    scorer's, and `beyond` the share of draws in which it is above zero.
    """
    rng = np.random.default_rng(seed)
    present, number = np.unique(judged.charger, return_inverse=True)
    draws = rng.multinomial(len(present), np.full(len(present), 1 / len(present)), replicates).astype(float)
    result: dict[str, Any] = {}
    for column, horizon in enumerate(HORIZON_NAMES):
        known = judged.truth[column] != UNKNOWN
        happened = judged.truth[column][known] == 1
        entry: dict[str, Any] = {"rows": int(known.sum()), "positives": int(happened.sum()), "by": {}}
        result[horizon] = entry
        if not 0 < entry["positives"] < entry["rows"]:
            continue
        entry["prevalence"] = entry["positives"] / entry["rows"]
        drawn: dict[str, list[dict[str, float]]] = {}
        for name, scores in judged.scores.items():
            score = scores[known, column]
            if np.isnan(score).any():
                continue
            alerts = {
                share: alerted(judged.charger[known], judged.time_s[known], score, share)
                for share in ALERT_SHARES
            }
            probability = name != COUNTING_RULE and bool(((score >= 0) & (score <= 1)).all())
            ranking = Ranking(happened, score, alerts, probability=probability)
            drawn[name] = [ranking.figures(draw[number[known]]) for draw in draws]
            value = ranking.figures(np.ones(len(score)))
            entry["by"][name] = {
                **{key: [one, *_interval(drawn[name], key)] for key, one in value.items()},
                **_compared(entry["by"].get(MODEL, {}), drawn[MODEL], value, drawn[name]),
            }
    return result


def _interval(drawn: list[dict[str, float]], key: str) -> list[float]:
    return _middle(np.array([one[key] for one in drawn if one]))


def _middle(drawn: Floats) -> list[float]:
    """The middle 95 % of the draws, without those that have no value."""
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return [float(low), float(high)]


def _compared(
    model: dict[str, Any], drawn: list[dict[str, float]], other: dict[str, float], drawn_other: Any
) -> dict[str, list[float]]:
    """The model's PR-AUC against another scorer's, over the same draws; empty for the model itself."""
    if not model:
        return {}
    gaps = np.array([a["pr_auc"] - b["pr_auc"] for a, b in zip(drawn, drawn_other, strict=True) if a and b])
    return {
        "difference": [model["pr_auc"][0] - other["pr_auc"], *_middle(gaps)],
        "beyond": [float((gaps > 0).mean()) if len(gaps) else float("nan")],
    }


def alerted(charger: Ints, time_s: Floats, score: Floats, share: float) -> Any:
    """Whether each row is among the day's riskiest `share` of chargers, at least one per day [n]."""
    day = np.floor(time_s / DAY_S).astype(np.int64)
    order = np.lexsort((charger, -score, day))
    first = np.searchsorted(day[order], day[order], side="left")
    rank = np.arange(len(order)) - first
    per_day = np.bincount(day - day.min())[day[order] - day.min()]
    result = np.zeros(len(score), np.bool_)
    result[order] = rank < np.maximum(np.round(share * per_day), 1)
    return result


def lead_times(history: History, judged: JudgedWindow) -> Any:
    """Days from the first alert to each failure of the window, 30 at most; infinite without an alert."""
    alert = alerted(judged.charger, judged.time_s, judged.scores[MODEL][:, WEEK], LEAD_SHARE)
    alert_charger, alert_s = judged.charger[alert], judged.time_s[alert]
    failures = history.failures
    inside = failures.time_s > judged.time_s.min() + LEAD_DAYS * DAY_S
    inside &= failures.time_s <= judged.time_s.max()
    leads = []
    for charger, onset_s in zip(failures.charger[inside], failures.time_s[inside], strict=True):
        ahead = (onset_s - alert_s[alert_charger == charger]) / DAY_S
        ahead = ahead[(ahead > 0) & (ahead <= LEAD_DAYS)]
        leads.append(ahead.max() if len(ahead) else np.inf)
    return np.array(leads)
