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


class Figure(NamedTuple):
    """A figure with its value as text, its meaning, and how good it is."""

    name: str
    value: str
    meaning: str
    good: str


class Bar(NamedTuple):
    """The shares of one bin, from 0 to 1, of two distributions."""

    label: str
    before: float
    now: float


def horizon_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """The figures of one horizon of the failure model. Figures that could not be computed are left out."""
    base, ranking = metrics.get("prevalence"), metrics.get("pr_auc")
    found = []
    if base is not None:
        meaning = "Share of the test readings that were followed by a failure."
        found.append(Figure("Base rate", f"{base:.2%}", meaning, "No target. It is the chance level below."))
    if ranking is not None and base:
        found.append(
            Figure(
                "PR-AUC",
                f"{ranking:.3f}",
                "How well failures are ranked before the rest, with weight on the top of the list.",
                f"1 is perfect, {base:.3f} is chance. This is {ranking / base:.1f} times chance.",
            )
        )
    if metrics.get("roc_auc") is not None:
        meaning = "How often a reading before a failure has the higher risk of a pair."
        good = "1 is perfect, 0.5 is chance. From 0.7 on it is useful, from 0.8 on good."
        found.append(Figure("ROC-AUC", f"{metrics['roc_auc']:.3f}", meaning, good))
    if metrics.get("brier") is not None and base is not None:
        always = base * (1 - base)
        good = f"0 is perfect. Always stating the base rate gives {always:.4f}; lower is better."
        found.append(
            Figure("Brier score", f"{metrics['brier']:.4f}", "Mean squared error of the probabilities.", good)
        )
    if metrics.get("ece") is not None:
        meaning = "Mean distance between the stated probability and the observed share of failures."
        good = "0 is perfect. A small part of the base rate is good."
        found.append(Figure("Calibration error (ECE)", f"{metrics['ece']:.4f}", meaning, good))
    ratio = metrics.get("top_decile_observed_over_expected")
    if ratio is not None:
        meaning = "Observed over predicted failures in the riskiest tenth of the readings."
        good = "1 is perfect. Above 1, the model understates the risk there; below 1, it overstates it."
        found.append(Figure("Observed / predicted, top tenth", f"{ratio:.2f}", meaning, good))
    return found


def figures_of(manifest: Mapping[str, Any]) -> dict[str, list[Figure] | str]:
    """The figures of a version by part: horizons of the failure model, or those of the anomaly model.

    A text in place of figures is the reason why there are none.
    """
    metrics = manifest.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}
    if "false_alarm_rate" in metrics:
        rate, rows = metrics["false_alarm_rate"], metrics.get("healthy_rows", 0)
        meaning = f"Share of {rows:,} healthy readings that were called an anomaly."
        good = "0 is perfect. Training aims at 1 %: a lower rate finds fewer anomalies too."
        return {"Healthy readings": [Figure("False alarm rate", f"{rate:.2%}", meaning, good)]}
    found: dict[str, list[Figure] | str] = {}
    for horizon, each in metrics.items():
        if isinstance(each, Mapping):
            title = f"Failure within {horizon.removesuffix('d')} {'day' if horizon == '1d' else 'days'}"
            found[title] = str(each["reason"]) if "reason" in each else horizon_figures(each)
    return found


def confidence_plot(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The data of the plot of right answers by stated probability; None without them in the manifest."""
    stated = manifest.get("confidence")
    if not isinstance(stated, Mapping) or not stated.get("probability"):
        return None
    series = [{"label": "Answers that were right", "values": stated["right"], "colour": "1"}]
    return {"x": stated["probability"], "series": series, "time": False, "y": [0, 1]}


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
