"""The evaluation as a report: Markdown and HTML with the same tables and plots, JSON with the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from sklearn.metrics import precision_recall_curve

from models.evaluation import plots
from models.evaluation.figures import ALERT_SHARES, MODEL, Window, alerted
from models.evaluation.policies import Outcome, overall
from models.failure import HORIZON_NAMES, MORE_LIKELY_THAN_NOT, FailureModel
from models.feature_labels import words
from models.training.history import History
from models.training.labels import DAY_S, UNKNOWN

WEEK: Final = HORIZON_NAMES.index("7d")
LEAD_SHARE: Final = 0.02
LEAD_DAYS: Final = 30.0
LEAD_DRAWS: Final = 500
CONFIDENCE_EDGES: Final = (0.6, 0.7, 0.8, 0.9, 0.95)
PLOTTED_SHARES: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
_FIGURES: Final = (
    ("pr_auc", "PR-AUC"),
    ("beyond", "draws in which the model's PR-AUC is higher"),
    ("roc_auc", "ROC-AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
    ("top_decile", "observed / predicted, top decile"),
    *((f"recall_{share:.0%}", f"recall at {share:.0%} alerted a day") for share in ALERT_SHARES),
)
_JSON: Final = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_STYLE: Final = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:3px 8px;text-align:left}"
)

Table = tuple[list[str], list[list[str]]]


def write(
    folder: Path,
    model: FailureModel,
    history: History,
    judged: Window,
    figures: dict[str, Any],
    costs: Mapping[int, Sequence[Outcome]],
    about: dict[str, str],
) -> tuple[Path, ...]:
    """Write `report.md` with its `*.svg`, `report.html` in one file, and the figures as `report.json`.

    `costs` are the policies' by seed; empty where none were judged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {
        "precision-recall": _precision_recall(judged),
        "reliability": _reliability(judged),
        "recall-by-alerts": _recall_by_alerts(judged),
        "lead-time": _lead_plot(lead_times(history, judged)),
        "importance": _importance(model, judged),
    }
    sections = _sections(model, history, judged, figures, costs, about)
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing)
    markdown, html, figures_file = (folder / f"report.{suffix}" for suffix in ("md", "html", "json"))
    markdown.write_text(_markdown(sections, list(drawings)))
    html.write_text(_html(sections, drawings))
    policies = {"by_seed": costs, "overall": overall(costs)} if costs else None
    document = {"about": about, "horizons": figures, "policies": policies}
    figures_file.write_bytes(orjson.dumps(document, option=_JSON))
    return markdown, html, figures_file


def _sections(
    model: FailureModel,
    history: History,
    judged: Window,
    figures: dict[str, Any],
    costs: Mapping[int, Sequence[Outcome]],
    about: dict[str, str],
) -> list[tuple[str, Table | str]]:
    sections: list[tuple[str, Table | str]] = [("", "\n".join(f"- {key}: {about[key]}" for key in about))]
    for horizon in HORIZON_NAMES:
        entry = figures[horizon]
        title = f"Failure within {horizon}"
        if entry["by"]:
            title += f": {entry['rows']} readings, {entry['prevalence']:.2%} of them followed by one"
            sections.append((title, _figures_table(entry)))
        else:
            sections.append((title, "Too few readings with or without failure to judge."))
    lead = lead_times(history, judged)
    if len(lead):
        sections.append(("Lead time", _lead_text(lead)))
    if (judged.truth[-1] != UNKNOWN).any():
        sections.append(("Confidence", _confidence(model, judged)))
    if costs:
        title = f"Cost a charger and year, simulated: mean and range of {len(costs)} seeds"
        sections.append((title, _cost_table(overall(costs))))
        for seed, outcomes in costs.items():
            sections.append((f"The same, seed {seed}: 95 % intervals over chargers", _cost_table(outcomes)))
    sections.append(("Worst chargers at the window's end", _worst(history, judged)))
    return sections


def lead_times(history: History, judged: Window) -> Any:
    """Days from the first alert in the 30 days before each failure of the window; infinite without one."""
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


def _lead_text(lead: Any) -> str:
    found = np.isfinite(lead)
    draws = np.random.default_rng(0).integers(len(lead), size=(LEAD_DRAWS, len(lead)))
    share_low, share_high = np.quantile(found[draws].mean(axis=1), [0.025, 0.975])
    text = (
        f"Of {len(lead)} failures, {found.mean():.0%} ({share_low:.0%} to {share_high:.0%}) had an alert in "
        f"the {LEAD_DAYS:.0f} days before (the riskiest {LEAD_SHARE:.0%} of chargers each day)"
    )
    if not found.any():
        return text + "."
    known = np.where(found, lead, np.nan)
    medians = np.nanmedian(known[draws[found[draws].any(axis=1)]], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return (
        f"{text}; from the first of them to the failure it took {np.nanmedian(known):.1f} days "
        f"({low:.1f} to {high:.1f}) in the median."
    )


def _confidence(model: FailureModel, judged: Window) -> Table:
    """How often "within 30 days: more likely than not, or not" proved right, by what was stated of it."""
    known = judged.truth[-1] != UNKNOWN
    score = judged.scores[MODEL][known, -1]
    stated = np.interp(score, *model.confidence)
    right = (score >= MORE_LIKELY_THAN_NOT) == (judged.truth[-1][known] == 1)
    bin_of = np.searchsorted(CONFIDENCE_EDGES, stated, side="right")
    rows = [
        [
            f"{low:.2f} to {high:.2f}",
            str(int((bin_of == number).sum())),
            f"{stated[bin_of == number].mean():.3f}",
            f"{right[bin_of == number].mean():.3f}",
        ]
        for number, (low, high) in enumerate(
            zip((0.0, *CONFIDENCE_EDGES), (*CONFIDENCE_EDGES, 1.0), strict=True)
        )
        if (bin_of == number).any()
    ]
    return ["confidence", "readings", "mean stated", "calls that were right"], rows


def _number(value: Sequence[float]) -> str:
    if np.isnan(value[0]):
        return "-"
    text = f"{value[0]:.4f}" if abs(value[0]) < 0.1 else f"{value[0]:.3f}"
    return text if len(value) < 3 else f"{text} ({value[1]:.3f} to {value[2]:.3f})"


def _figures_table(entry: dict[str, Any]) -> Table:
    rows = [
        [name, *(_number(found[key]) if key in found else "-" for key, _ in _FIGURES)]
        for name, found in entry["by"].items()
    ]
    return ["", *(label for _, label in _FIGURES)], rows


def _cost_table(costs: Sequence[Outcome]) -> Table:
    rows = [
        [
            one.policy,
            f"{one.failures:.2f}",
            f"{one.rounds:.2f}",
            f"{one.visits:.2f}",
            _money(one.cost),
            "-" if one.saved is None else _money(one.saved),
        ]
        for one in costs
    ]
    return ["policy", "failures", "ordinary rounds", "visits", "cost", "saved against the row above"], rows


def _money(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.0f} ({value[1]:.0f} to {value[2]:.0f})"


def _worst(history: History, judged: Window) -> Table:
    last = np.flatnonzero(np.append(judged.charger[1:] != judged.charger[:-1], True))
    order = last[np.argsort(-judged.scores[MODEL][last, -1], kind="stable")][:10]
    rows = [
        [history.charger_ids[int(judged.charger[row])], *(f"{p:.3f}" for p in judged.scores[MODEL][row])]
        for row in order
    ]
    return ["charger", *(f"within {name}" for name in HORIZON_NAMES)], rows


def _week_scores(judged: Window) -> tuple[Any, Any, dict[str, Any]]:
    """Which rows are known for 7 days, what happened, and each scorer's probabilities."""
    known = judged.truth[WEEK] != UNKNOWN
    happened = judged.truth[WEEK][known] == 1
    scores = {name: score[known, WEEK] for name, score in judged.scores.items()}
    usable = {name: score for name, score in scores.items() if happened.any() and not np.isnan(score).any()}
    return known, happened, usable


def _precision_recall(judged: Window) -> str:
    _, happened, scores = _week_scores(judged)
    series: dict[str, plots.Points] = {}
    for name, score in scores.items():
        precision, recall, _ = precision_recall_curve(happened, score)
        # scikit-learn ends with precision 1 at recall 0, which no reading stands for
        points = list(zip(recall[:-1].tolist(), precision[:-1].tolist(), strict=True))
        series[name] = [*points[:: max(len(points) // 200, 1)], (0.0, points[-1][1])]
    return plots.lines("Failure within 7 days", "recall", "precision", series)


def _reliability(judged: Window) -> str:
    series: dict[str, plots.Points] = {}
    for column, name in enumerate(HORIZON_NAMES):
        known = judged.truth[column] != UNKNOWN
        score, happened = judged.scores[MODEL][known, column], judged.truth[column][known] == 1
        parts = [part for part in np.array_split(np.argsort(score, kind="stable"), 20) if len(part)]
        series[name] = [(float(score[part].mean()), float(happened[part].mean())) for part in parts]
    return plots.lines("Reliability by twentieths", "predicted", "observed", series, diagonal=True)


def _recall_by_alerts(judged: Window) -> str:
    known, happened, scores = _week_scores(judged)
    charger, time_s = judged.charger[known], judged.time_s[known]
    series: dict[str, plots.Points] = {
        name: [
            (100 * share, float(alerted(charger, time_s, score, share)[happened].mean()))
            for share in PLOTTED_SHARES
        ]
        for name, score in scores.items()
    }
    return plots.lines("Recall within 7 days", "% of chargers alerted a day", "recall", series)


def _lead_plot(lead: Any) -> str:
    points = [
        (day, float((lead[np.isfinite(lead)] >= day).sum() / max(len(lead), 1)))
        for day in np.arange(0.0, LEAD_DAYS + 1).tolist()
    ]
    return plots.lines("Failures with an alert at least so early", "days before", "share", {MODEL: points})


def _importance(model: FailureModel, judged: Window) -> str:
    sample = judged.frame[:: max(len(judged.frame) // 5000, 1)]
    size = np.abs(model.credits(model.raw(sample))).mean(axis=0)
    top = np.argsort(-size)[:15]
    values = [(words(model.spec.names[int(column)])[0], float(size[column])) for column in top]
    return plots.bars("Mean contribution, 30 days", "log-odds", values)


def _markdown(sections: Sequence[tuple[str, Table | str]], drawings: Sequence[str]) -> str:
    parts = ["# Evaluation"]
    for title, content in sections:
        if title:
            parts.append(f"## {title}")
        if isinstance(content, str):
            parts.append(content)
        else:
            header, rows = content
            lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
            parts.append("\n".join(lines))
    parts.extend(f"![{name}]({name}.svg)" for name in drawings)
    return "\n\n".join(parts) + "\n"


def _html(sections: Sequence[tuple[str, Table | str]], drawings: dict[str, str]) -> str:
    parts = ["<h1>Evaluation</h1>"]
    for title, content in sections:
        if title:
            parts.append(f"<h2>{escape(title)}</h2>")
        if isinstance(content, str):
            parts.append(f"<p>{escape(content).replace(chr(10), '<br>')}</p>")
        else:
            header, rows = content
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
            body = "".join(f"<tr>{line}</tr>" for line in lines)
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
    parts.extend(drawings.values())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Evaluation</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )
