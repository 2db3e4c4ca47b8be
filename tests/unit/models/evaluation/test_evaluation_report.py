"""The report has the same tables on both pages, escapes what a history brings, and draws readable plots."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from models import registry
from models.evaluation import evaluation_report, plots
from models.evaluation.evaluate_version import evaluate
from models.evaluation.figures import JudgedWindow, figures, judge_window
from models.evaluation.policies import Outcome
from models.failure import FailureModel
from models.scorer import failure_model
from models.simulation.simulate import simulate
from models.training.history import History, load
from models.training.labels import DAY_S
from tests.unit.models.samples import VERSIONS

PLOTS = ("precision-recall", "reliability", "recall-by-alerts", "lead-time", "importance", "differences")
ODD_ID = "<b>A|B</b>"


@pytest.fixture(scope="module")
def model() -> FailureModel:
    return failure_model(registry.load(VERSIONS, "failure", registry.active_version(VERSIONS, "failure")))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fleet with odd ids."""
    folder = Path(tmp_path_factory.mktemp("history"))
    simulate(40, 120, 5).write(folder)
    for path in folder.glob("*.parquet"):
        table = pd.read_parquet(path)
        table.assign(charger_id=ODD_ID + table["charger_id"]).to_parquet(path, index=False)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def report(model: FailureModel, history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The report's files by name."""
    out = Path(tmp_path_factory.mktemp("report")) / "new"
    manifest = registry.load(VERSIONS, "failure", model.version).manifest
    evaluate(model, manifest, out, history=history, mapping={}, since=None, to=None, chargers=0, seed=0)
    return contents(out)


def cells_of_markdown(page: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.replace("\\|", "|") for cell in line[2:-2].split(" | ")] for line in lines]


def cells_of_html(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", row)] for row in rows]


def test_the_report_has_its_files(report: dict[str, str]) -> None:
    assert set(report) == {"report.md", "report.html", "report.json", *(f"{name}.svg" for name in PLOTS)}


def test_both_pages_have_the_same_tables(report: dict[str, str]) -> None:
    rows = cells_of_markdown(report["report.md"])
    assert rows == cells_of_html(report["report.html"])
    assert ["confidence", "readings", "mean stated", "calls that were right"] in rows
    assert [len(row) for row in rows if row[0].startswith(ODD_ID)] == [4] * 10
    assert [row[0] for row in rows].count("logistic regression") == 3


def test_ids_of_chargers_are_text_in_html(report: dict[str, str]) -> None:
    assert "<b>" not in report["report.html"]
    assert "&lt;b&gt;A|B&lt;/b&gt;" in report["report.html"]


def test_each_page_has_each_plot(report: dict[str, str]) -> None:
    for name in PLOTS:
        assert f"![{name}]({name}.svg)\n" in report["report.md"]
        assert f'<img alt="{name}" src="data:image/svg+xml;base64,' in report["report.html"]
        assert report[f"{name}.svg"].endswith("</svg>\n")


@pytest.fixture(scope="module")
def past(model: FailureModel, history: Path) -> History:
    return load(history, spec=model.spec)


@pytest.fixture(scope="module")
def judged(model: FailureModel, past: History) -> JudgedWindow:
    return judge_window(model, past, past.end_s - 40 * DAY_S, past.end_s)


def test_the_same_figures_are_written_as_the_same_files(
    model: FailureModel, past: History, judged: JudgedWindow, tmp_path: Path
) -> None:
    found = figures(judged, replicates=3)
    costs = {
        seed: [
            Outcome("run to failure", 1.5, 0.0, 0.0, (4000.0, 3900.0, 4100.0), None),
            Outcome("fixed intervals", 1.1, 1.9, 0.0, (3500.0, 3400.0, 3600.0), (500.0, 400.0, 600.0)),
        ]
        for seed in (1, 2)
    }
    for name in ("one", "two"):
        evaluation_report.write(tmp_path / name, model, past, judged, found, costs, {"about": "it"})
    one, two = (contents(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert "| fixed intervals | 1.10 | 1.90 | 0.00 | 3500 (3400 to 3600) |" in one["report.md"]


def test_each_plot_names_its_axes_and_its_lines(model: FailureModel, judged: JudgedWindow) -> None:
    for figure, lines in (
        (plots.precision_recall(judged), set(judged.scores)),
        (plots.recall_by_alerts(judged), set(judged.scores)),
        (plots.reliability(judged), {"predicted = observed", "within 1d", "within 7d", "within 30d"}),
        (plots.importance(model, judged), set()),
    ):
        (axes,) = figure.axes
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel() or not lines
        named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert set(named) == lines


def test_a_plot_of_nothing_has_no_lines(judged: JudgedWindow) -> None:
    judged_without_failures = JudgedWindow(
        judged.rows,
        judged.charger,
        judged.time_s,
        [one * 0 for one in judged.truth],
        judged.scores,
        judged.frame,
    )
    (axes,) = plots.precision_recall(judged_without_failures).axes
    assert not axes.get_lines()
