"""`python -m models evaluate`: evaluate a version on a history and write the report. Offline only."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from models.costs import Prices, prices
from models.evaluation import evaluation_report, policies
from models.evaluation.baseline_scores import BASELINE, read_scores
from models.evaluation.counting_rule import COUNTING_RULE
from models.evaluation.figures import MODEL, NothingToJudge, figures, judge_window
from models.evaluation.training_period import InSample, overlap, span, training_period
from models.failure import FailureModel
from models.simulation.simulate import description, simulate
from models.training.history import load, origin
from models.training.history_table import BadHistory
from models.training.horizons import carried
from settings import Costs

SIMULATED_DAYS: Final = 365
WINDOW_SHARE: Final = 1 / 3
POLICY_CHARGERS: Final = 1000
POLICY_SEEDS: Final = 5  # number of fleets for comparing policies; seeds start at the evaluation's seed
# The settings' defaults, so that a report does not depend on the environment.
COSTS: Final = Costs(
    currency="USD",
    visit=450.0,
    parts_preventive=120.0,
    parts_failure=900.0,
    downtime_per_hour=4.8,
    emergency_factor=1.5,
    planned_downtime_hours=2.0,
    failure_downtime_hours=240.0,
)


class Evaluation(NamedTuple):
    """The written files, and the figures by horizon and scorer (see `figures.figures`)."""

    files: tuple[Path, ...]
    figures: dict[str, Any]


def evaluate(
    model: FailureModel,
    manifest: dict[str, Any],
    out: Path,
    *,
    history: Path | None,
    mapping: Mapping[str, Sequence[str]],
    since: datetime | None,
    to: datetime | None,
    chargers: int,
    seed: int,
    baseline: Path | None = None,
    in_sample: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Evaluate a version on `history`, or on a new simulated fleet by default, and write the report.

    Readings from `since` to `to` are judged; failures after `to` count too. `baseline` is a file of scores of
    another version or program for the same history, and only readings that it scores are judged. `in_sample`
    allows a window within the training period, and the report begins with it. Raises `InSample` if it is not
    allowed, and `BadHistory`, also if no reading of the window can be judged.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = history
        if folder is None:
            progress(f"simulate {chargers} chargers")
            folder = Path(scratch)
            simulate(chargers, SIMULATED_DAYS, seed).write(folder)
        progress("read the history")
        past = load(folder, mapping=mapping, spec=model.spec)
    begin_s, end_s = float(past.columns.time_s.min()), past.end_s
    end_s = min(to.timestamp(), end_s) if to else end_s
    since_s = since.timestamp() if since else end_s - WINDOW_SHARE * (end_s - begin_s)
    others = {} if baseline is None else {BASELINE: read_scores(baseline, past)}
    fleet = (
        {"trained_on": description(chargers, SIMULATED_DAYS, seed), "simulated": True}
        if history is None
        else origin(history)
    )
    caution = overlap(manifest, fleet, since_s, end_s)
    if caution and not in_sample:
        raise InSample(
            f"{manifest['name']} {model.version} {caution}. Figures would be better than on new readings. "
            "Begin later with --from, or add --in-sample: the report then says so."
        )
    progress("score the window, fit the baselines")
    try:
        judged = judge_window(model, past, since_s, end_s, others=others)
    except NothingToJudge as error:
        raise BadHistory(f"{history or 'the simulated fleet'}, {span(since_s, end_s)}: {error}") from None
    progress("figures and intervals")
    found = figures(judged)
    costs: dict[int, list[policies.Outcome]] = {}
    if history is None:
        for number in range(seed, seed + POLICY_SEEDS):
            progress(f"live the same year under three policies, seed {number}")
            base_30d = manifest["base_rate"]["30d"]
            costs[number] = policies.compare(
                model, _prices(), base_30d, chargers=POLICY_CHARGERS, seed=number
            )
    about = (
        {"in-sample": f"the version {caution}; figures are better than on new readings"} if caution else {}
    )
    about |= {
        "failure model": f"{model.version}, trained on {manifest['trained_on']}",
        "training period": _period(manifest),
        "judged on": "a fresh simulated fleet" if history is None else f"history {history.name}",
        "window": f"{span(since_s, end_s)}, one reading a charger and day",
        "intervals": "95 %, bootstrap over chargers",
        "baselines": "fitted on the same fleet before the window",
        "counting rule": f"{COUNTING_RULE}; it ranks and states no probability",
        "difference": f"PR-AUC of the {MODEL} minus that of the row, over the same draws of chargers",
    }
    if baseline is not None:
        about[BASELINE] = f"scores of {baseline.name}; only readings that it scores are judged"
    if notes := carried(manifest):
        about["horizons"] = "; ".join(f"{name}: {note}" for name, note in notes.items())
    files = evaluation_report.write(out, model, past, judged, found, costs, about)
    return Evaluation(files, found)


def _prices() -> Prices:
    return prices(COSTS)


def _period(manifest: dict[str, Any]) -> str:
    period = training_period(manifest)
    return span(*period) if period else "not stated by the manifest; the window may lie within it"
