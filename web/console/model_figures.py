"""The figures of a model in plain words: what each measures, and which values are good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

DRIFT_MEANINGS: Final = {
    "stable": "like training",
    "look": "somewhat different from training: look at it",
    "drifted": "clearly different from training",
    "too_few_readings": "too few readings to judge: 500 are needed",
    "short_history": "stored histories are still shorter than in training: not judged",
}

# Field of the manifest -> name, meaning, and which values are good.
_RANKING: Final = {
    "prevalence": (
        "Base rate",
        "Share of the test readings that a failure followed within this time.",
        "There is no target. It is the level of chance for PR-AUC.",
    ),
    "pr_auc": (
        "PR-AUC",
        "How well readings before a failure are ranked above the others, mostly at the top of the list.",
        "1 is perfect. The base rate is chance, so many times chance is good for rare failures.",
    ),
    "roc_auc": (
        "ROC-AUC",
        "Of a reading before a failure and another one, how often the first has the higher risk.",
        "1 is perfect, 0.5 is chance. From 0.7 on it is useful, from 0.8 on good.",
    ),
    "brier": (
        "Brier score",
        "Mean squared error of the probabilities, beside that of always stating the base rate.",
        "0 is perfect. It should be lower than the second number.",
    ),
    "ece": (
        "Calibration error",
        "Mean distance between the stated probability and the observed share of failures (ECE).",
        "0 is perfect. It should be a small part of the base rate.",
    ),
    "top_decile_observed_over_expected": (
        "Riskiest tenth",
        "Observed over predicted failures in the riskiest tenth of the readings.",
        "1 is perfect. Above 1 the risk is understated there, below 1 overstated.",
    ),
}


class Figure(NamedTuple):
    """A figure with its value in each column, as text, its meaning, and which values are good."""

    name: str
    values: list[str]
    meaning: str
    good: str


class FigureTable(NamedTuple):
    """Figures in rows. `columns` are horizons, or the one set of readings that they describe.

    `problems` are the reasons for which a column has no figure.
    """

    columns: list[str]
    rows: list[Figure]
    problems: list[str]


class Bar(NamedTuple):
    """The shares of one bin, from 0 to 1, of two distributions."""

    label: str
    before: float
    now: float


def figures_of(manifest: Mapping[str, Any]) -> FigureTable | None:
    """The figures of a version of the failure or the anomaly model; None if its manifest has none to read."""
    metrics = manifest.get("metrics")
    try:
        return _table(metrics) if isinstance(metrics, Mapping) else None
    except (TypeError, ValueError):  # a version serves whatever its figures are
        return None


def _table(metrics: Mapping[str, Any]) -> FigureTable:
    if "false_alarm_rate" in metrics:
        good = "0 is perfect. Training aims at 1 %: a lower rate finds fewer anomalies too."
        meaning = "Share of the healthy readings that were called an anomaly."
        rate = Figure("False alarm rate", [_percent(metrics["false_alarm_rate"])], meaning, good)
        return FigureTable([f"{metrics.get('healthy_rows', 0):,} healthy readings"], [rate], [])
    horizons = {name: each for name, each in metrics.items() if isinstance(each, Mapping)}
    rows = [
        Figure(name, [_value(field, each) for each in horizons.values()], meaning, good)
        for field, (name, meaning, good) in _RANKING.items()
    ]
    problems = [f"{_days(name)}: {each['reason']}" for name, each in horizons.items() if each.get("reason")]
    return FigureTable([_days(name) for name in horizons], rows, problems)


def _days(horizon: str) -> str:
    return f"{horizon.removesuffix('d')} {'day' if horizon == '1d' else 'days'}"


def _value(field: str, metrics: Mapping[str, Any]) -> str:
    value, base = metrics.get(field), metrics.get("prevalence")
    if value is None:
        return "–"
    if field == "prevalence":
        return _percent(value)
    if field == "pr_auc" and base:
        return f"{value:.3f}, {value / base:.1f} times chance"
    if field == "brier" and base:
        return f"{value:.4f} beside {base * (1 - base):.4f}"
    return f"{value:.4f}" if field in ("brier", "ece") else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def confidence_plot(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The data of the plot of right answers by stated probability; None without them in the manifest."""
    stated = manifest.get("confidence")
    if not isinstance(stated, Mapping):
        return None
    probability, right = stated.get("probability"), stated.get("right")
    if not (isinstance(probability, list) and isinstance(right, list) and 0 < len(right) == len(probability)):
        return None
    series = [{"label": "Answers that were right", "values": right, "colour": "1"}]
    return {"x": probability, "series": series, "time": False, "y": [0, 1]}


def drift_bars(distribution: Mapping[str, Any]) -> list[Bar]:
    """The bins of a distribution in a drift report: training beside now, missing values last."""
    edges, before = distribution["edges"], distribution["shares_training"]
    now = distribution["shares_now"] or [0.0] * len(before)
    labels = [*_ranges(edges), "missing"]
    return [Bar(*each) for each in zip(labels, before, now, strict=True)]


def shadow_bars(report: Mapping[str, Any]) -> list[Bar]:
    """The shares of readings by band of the score: the active version's beside the shadow's."""
    table: Sequence[Sequence[int]] = report["table"]
    total = sum(map(sum, table))
    if not total:
        return []
    by_shadow = [sum(column) for column in zip(*table, strict=True)]
    pairs = zip(_ranges(report["bands"]), map(sum, table), by_shadow, strict=True)
    return [Bar(label, active / total, shadow / total) for label, active, shadow in pairs]


def _ranges(edges: Sequence[float]) -> list[str]:
    if not edges:
        return ["any value"]
    between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]:g}", *between, f"above {edges[-1]:g}"]
