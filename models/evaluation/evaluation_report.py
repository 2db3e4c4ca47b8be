"""Write an evaluation report: Markdown and HTML with the same tables and plots, JSON with the figures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import numpy as np
import orjson

from models.evaluation import plots
from models.evaluation.figures import ALERT_SHARES, LEAD_DAYS, LEAD_SHARE, MODEL, JudgedWindow, lead_times
from models.evaluation.policies import Outcome, overall
from models.failure import MORE_LIKELY_THAN_NOT, FailureModel
from models.horizon_days import HORIZON_NAMES
from models.training.history import History
from models.training.labels import UNKNOWN

LEAD_DRAWS: Final = 500
CONFIDENCE_EDGES: Final = (0.6, 0.7, 0.8, 0.9, 0.95)
TEMPLATES: Final = Path(__file__).with_name("templates")
_FIGURES: Final = (
    ("pr_auc", "PR-AUC"),
    ("difference", "difference to the model"),
    ("beyond", "draws in which the model's PR-AUC is higher"),
    ("roc_auc", "ROC-AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
    ("top_decile", "observed / predicted, riskiest tenth"),
    *(
        (f"{name}_{share:.0%}", f"{name} at {share:.0%} alerted a day")
        for share in ALERT_SHARES
        for name in ("precision", "recall")
    ),
)
_JSON: Final = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class Table(NamedTuple):
    """A table with text cells."""

    header: list[str]
    rows: list[list[str]]


class Section(NamedTuple):
    """A title with a table or a paragraph below it."""

    title: str
    content: Table | str


def write(
    folder: Path,
    model: FailureModel,
    history: History,
    judged: JudgedWindow,
    figures: dict[str, Any],
    costs: Mapping[int, Sequence[Outcome]],
    about: dict[str, str],
) -> tuple[Path, ...]:
    """Write `report.md` with its `*.svg`, `report.html` as a single file, and the figures as `report.json`.

    `costs` are the policies' outcomes by seed; empty if none were simulated. Returns the three report files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lead = lead_times(history, judged)
    figures_by_name = {
        "precision-recall": plots.precision_recall(judged),
        "reliability": plots.reliability(judged),
        "recall-by-alerts": plots.recall_by_alerts(judged),
        "lead-time": plots.lead_time(lead),
        "importance": plots.importance(model, judged),
        "differences": plots.differences(figures),
    }
    drawings = {name: plots.svg(figure) for name, figure in figures_by_name.items()}
    for name, drawing in drawings.items():
        (folder / f"{name}.svg").write_text(drawing)
    sections = _sections(model, history, judged, figures, lead, costs)
    templates = _templates()
    markdown, html, figures_file = (folder / f"report.{suffix}" for suffix in ("md", "html", "json"))
    for page in (markdown, html):
        template = templates.get_template(page.name)
        page.write_text(template.render(about=about, sections=sections, drawings=drawings))
    policies = {"by_seed": costs, "overall": overall(costs)} if costs else None
    document = {"about": about, "horizons": figures, "policies": policies}
    figures_file.write_bytes(orjson.dumps(document, option=_JSON))
    return markdown, html, figures_file


def _templates() -> jinja2.Environment:
    """The report's Jinja environment. HTML templates escape their values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda text: b64encode(text.encode()).decode()
    return environment


def _sections(
    model: FailureModel,
    history: History,
    judged: JudgedWindow,
    figures: dict[str, Any],
    lead: Any,
    costs: Mapping[int, Sequence[Outcome]],
) -> list[Section]:
    sections: list[Section] = []
    for horizon in HORIZON_NAMES:
        entry = figures[horizon]
        title = f"Failure within {horizon}"
        if entry["by"]:
            title += f": {entry['rows']} readings, {entry['prevalence']:.2%} of them followed by one"
            sections.append(Section(title, _figures_table(entry)))
        else:
            sections.append(Section(title, "Too few readings with or without failure to judge."))
    if len(lead):
        sections.append(Section("Lead time", _lead_text(lead)))
    if (judged.truth[-1] != UNKNOWN).any():
        sections.append(Section("Confidence", _confidence(model, judged)))
    if costs:
        title = f"Cost a charger and year, simulated: mean and range of {len(costs)} seeds"
        sections.append(Section(title, _cost_table(overall(costs))))
        for seed, outcomes in costs.items():
            sections.append(
                Section(f"The same, seed {seed}: 95 % intervals over chargers", _cost_table(outcomes))
            )
    sections.append(Section("Worst chargers at the window's end", _worst(history, judged)))
    return sections


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


def _confidence(model: FailureModel, judged: JudgedWindow) -> Table:
    """How often the prediction "more likely than not within 30 days" was right, by stated confidence."""
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
    return Table(["confidence", "readings", "mean stated", "calls that were right"], rows)


def number(value: Sequence[float]) -> str:
    """A figure as text, with its interval if it has one."""
    if np.isnan(value[0]):
        return "-"
    digits = 4 if abs(value[0]) < 0.1 else 3
    first, *interval = (f"{one:.{digits}f}" for one in value)
    return f"{first} ({' to '.join(interval)})" if interval else first


def _figures_table(entry: dict[str, Any]) -> Table:
    rows = [
        [name, *(number(found[key]) if key in found else "-" for key, _ in _FIGURES)]
        for name, found in entry["by"].items()
    ]
    return Table(["", *(label for _, label in _FIGURES)], rows)


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
    return Table(
        ["policy", "failures", "ordinary rounds", "visits", "cost", "saved against the row above"], rows
    )


def _money(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.0f} ({value[1]:.0f} to {value[2]:.0f})"


def _worst(history: History, judged: JudgedWindow) -> Table:
    last = np.flatnonzero(np.append(judged.charger[1:] != judged.charger[:-1], True))
    order = last[np.argsort(-judged.scores[MODEL][last, -1], kind="stable")][:10]
    rows = [
        [history.charger_ids[int(judged.charger[row])], *(f"{p:.3f}" for p in judged.scores[MODEL][row])]
        for row in order
    ]
    return Table(["charger", *(f"within {name}" for name in HORIZON_NAMES)], rows)
