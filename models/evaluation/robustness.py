"""`python -m models robustness`: figures on other fleets and in other simulated worlds. Offline only.

New fleets with the default assumptions are scored by the given version. A world with assumptions moved by
half is like another operator's fleet. There a version is trained on the older two thirds of the history, as
that operator would do, and judged on the rest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models import registry
from models.evaluation.evaluate_version import SIMULATED_DAYS, WINDOW_SHARE
from models.evaluation.figures import MODEL, figures, judge_window
from models.failure import FailureModel
from models.horizon_days import HORIZON_NAMES
from models.scorer import failure_model
from models.simulation.assumptions import Assumptions, moved
from models.simulation.simulate import simulate
from models.training.history import History, load, origin
from models.training.train_failure import train_failure

BASELINES: Final = ("error-count rule", "logistic regression", "logistic regression, all features")
WEEK: Final = "7d"
HEADER: Final = (
    "fleet",
    "failures",
    "7 d PR-AUC",
    *(f"{name}" for name in BASELINES),
    "7 d recall at 2 %",
    "the rule's",
    "ECE 1, 7, 30 d",
    "top decile 1, 7, 30 d",
)


def robustness(
    model: FailureModel,
    *,
    seeds: Sequence[int],
    worlds: Sequence[int],
    chargers: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """Lines of a Markdown table, one per fleet: `seeds` of the default world, then moved `worlds`."""
    yield _row_of_cells(HEADER)
    yield _row_of_cells(["---"] * len(HEADER))
    fleets: list[tuple[str, int, Assumptions | None]] = [(f"seed {seed}", seed, None) for seed in seeds]
    fleets += [(f"moved world {seed}", seed, moved(seed)) for seed in worlds]
    for name, seed, assumed in fleets:
        progress(name)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            simulate(chargers, SIMULATED_DAYS, seed, assumed).write(folder)
            judge = model if assumed is None else _trained(folder)
            yield _row_of_cells(_row(name, judge, load(folder, spec=judge.spec)))


def _row_of_cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _trained(folder: Path) -> FailureModel:
    """A version trained on the older two thirds of the history."""
    until = datetime.fromtimestamp(_window_start_s(load(folder)), UTC)
    manifest, files = train_failure(load(folder, until=until))
    with tempfile.TemporaryDirectory() as scratch:
        registry.write(Path(scratch), "failure", "moved", manifest | origin(folder), files)
        return failure_model(registry.load(Path(scratch), "failure", "moved"))


def _window_start_s(history: History) -> float:
    begin_s = float(history.columns.time_s.min())
    return history.end_s - WINDOW_SHARE * (history.end_s - begin_s)


def _row(name: str, model: FailureModel, history: History) -> list[str]:
    judged = judge_window(model, history, _window_start_s(history), history.end_s)
    found = figures(judged)
    week = found[WEEK]["by"]

    def each(key: str, digits: int) -> str:
        return ", ".join(f"{found[horizon]['by'][MODEL][key][0]:.{digits}f}" for horizon in HORIZON_NAMES)

    return [
        name,
        str(len(history.failures.charger)),
        _interval(week[MODEL]["pr_auc"]),
        *(_interval(week[baseline]["pr_auc"]) for baseline in BASELINES),
        _interval(week[MODEL]["recall_2%"]),
        _interval(week[BASELINES[0]]["recall_2%"]),
        each("ece", 4),
        each("top_decile", 2),
    ]


def _interval(value: Any) -> str:
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"
