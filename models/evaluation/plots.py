"""Plots of an evaluation. Offline only (matplotlib)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from models.evaluation.figures import LEAD_DAYS, MODEL, WEEK, JudgedWindow, alerted
from models.failure import FailureModel
from models.feature_labels import label_and_unit
from models.horizon_days import HORIZON_NAMES
from models.training.labels import UNKNOWN

COLOURS: Final = ("#0b6e4f", "#c8553d", "#3d5a80", "#8d6a9f", "#7a7a7a", "#b8860b", "#1d1d1d")
WIDTH_IN: Final = 8.0
HEIGHT_IN: Final = 4.2
BAR_HEIGHT_IN: Final = 0.28
MOST_POINTS: Final = 200  # per line; more would not be visible, and each adds text to the file
RELIABILITY_PARTS: Final = 20
BARS: Final = 15
SAMPLE_ROWS: Final = 5000
PLOTTED_SHARES: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)

Points = Sequence[tuple[float, float]]


def svg(figure: Figure) -> str:
    """The figure as SVG text. Equal figures give equal text."""
    text = io.StringIO()
    # The salt of the ids is random by default.
    with mpl.rc_context({"svg.hashsalt": "evaluation"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def precision_recall(judged: JudgedWindow) -> Figure:
    """Precision against recall within 7 days, one line per scorer."""
    _, happened, scores = _week_scores(judged)
    series: dict[str, Points] = {}
    for name, score in scores.items():
        precision, recall, _ = precision_recall_curve(happened, score)
        # scikit-learn appends precision 1 at recall 0, which corresponds to no reading
        points = list(zip(recall[:-1].tolist(), precision[:-1].tolist(), strict=True))
        series[name] = [*points[:: max(len(points) // MOST_POINTS, 1)], (0.0, points[-1][1])]
    return _lines(
        "Failure within 7 days",
        "recall (share of readings before failures)",
        "precision (share of flagged readings)",
        series,
    )


def reliability(judged: JudgedWindow) -> Figure:
    """Observed against predicted frequency in twentieths of the readings, one line per horizon."""
    series: dict[str, Points] = {}
    for column, name in enumerate(HORIZON_NAMES):
        known = judged.truth[column] != UNKNOWN
        score, happened = judged.scores[MODEL][known, column], judged.truth[column][known] == 1
        parts = np.array_split(np.argsort(score, kind="stable"), RELIABILITY_PARTS)
        series[f"within {name}"] = [
            (float(score[part].mean()), float(happened[part].mean())) for part in parts if len(part)
        ]
    return _lines(
        "Reliability by twentieths",
        "predicted probability of a failure",
        "observed share of failures",
        series,
        diagonal="predicted = observed",
    )


def recall_by_alerts(judged: JudgedWindow) -> Figure:
    """Recall within 7 days against the share of chargers alerted per day, one line per scorer."""
    known, happened, scores = _week_scores(judged)
    charger, time_s = judged.charger[known], judged.time_s[known]
    series: dict[str, Points] = {
        name: [
            (100 * share, float(alerted(charger, time_s, score, share)[happened].mean()))
            for share in PLOTTED_SHARES
        ]
        for name, score in scores.items()
    }
    return _lines(
        "Recall within 7 days",
        "chargers alerted a day (%)",
        "recall (share of readings before failures)",
        series,
    )


def lead_time(lead: Any) -> Figure:
    """Share of failures with an alert at least so many days before; `lead` is from `lead_times`."""
    points = [
        (day, float((lead[np.isfinite(lead)] >= day).sum() / max(len(lead), 1)))
        for day in np.arange(0.0, LEAD_DAYS + 1).tolist()
    ]
    title = "Failures with an alert at least so early"
    return _lines(title, "time before the failure (days)", "share of failures", {MODEL: points})


def importance(model: FailureModel, judged: JudgedWindow) -> Figure:
    """Mean absolute contribution of each feature to the 30-day log-odds, largest first."""
    sample = judged.frame[:: max(len(judged.frame) // SAMPLE_ROWS, 1)]
    size = np.abs(model.credits(sample, model.raw(sample))).mean(axis=0)
    top = np.argsort(-size)[:BARS]
    names = [label_and_unit(model.spec.names[int(column)])[0] for column in top]
    figure = Figure(figsize=(WIDTH_IN, 1 + BAR_HEIGHT_IN * len(top)), layout="constrained")
    axes = figure.subplots()
    # Plotted by number, because two features may have the same label.
    bars = axes.barh(range(len(top)), size[top], color=COLOURS[0])
    axes.set_yticks(range(len(top)), names)
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.margins(x=0.2)  # room for the numbers
    axes.invert_yaxis()
    axes.set_title("Mean contribution, 30 days")
    axes.set_xlabel("mean absolute contribution (log-odds)")
    return figure


def differences(figures: Mapping[str, Any]) -> Figure:
    """The model's PR-AUC minus each other scorer's, with its interval, by horizon."""
    lines = [
        (f"{name}, {horizon}", found["difference"])
        for horizon, one in figures.items()
        for name, found in one["by"].items()
        if "difference" in found
    ]
    figure = Figure(figsize=(WIDTH_IN, 1 + BAR_HEIGHT_IN * max(len(lines), 1)), layout="constrained")
    axes = figure.subplots()
    for number, (_, (value, low, high)) in enumerate(lines):
        axes.plot([low, high], [number, number], color=COLOURS[0])
        axes.plot([value], [number], "o", color=COLOURS[0])
    axes.axvline(0, color="#bbb", linestyle="--")
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    axes.invert_yaxis()
    axes.set_title("PR-AUC of the model minus that of others")
    axes.set_xlabel("difference of PR-AUC, with 95 % interval")
    return figure


def _week_scores(judged: JudgedWindow) -> tuple[Any, Any, dict[str, Any]]:
    """Rows with a known 7-day future, whether a failure followed, and each scorer's probabilities."""
    known = judged.truth[WEEK] != UNKNOWN
    happened = judged.truth[WEEK][known] == 1
    scores = {name: score[known, WEEK] for name, score in judged.scores.items()}
    usable = {name: score for name, score in scores.items() if happened.any() and not np.isnan(score).any()}
    return known, happened, usable


def _lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Points], *, diagonal: str = ""
) -> Figure:
    """One line per series. Axes begin at 0; `diagonal` labels a line y = x for comparison."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    axes = figure.subplots()
    if diagonal:
        axes.axline((0, 0), slope=1, color="#bbb", linestyle="--", label=diagonal)
    for number, (name, points) in enumerate(series.items()):
        axes.plot(*zip(*points, strict=True), color=COLOURS[number % len(COLOURS)], label=name)
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if series:
        figure.legend(fontsize="small", loc="outside right upper")  # beside the lines, not on them
    return figure
