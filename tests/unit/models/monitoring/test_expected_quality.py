"""The realised quality is within the expected limits, unless the same readings mean another risk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from models.calibration import sigmoid
from models.failure import FailureModel
from models.features.columns import Bools, Floats
from models.features.frame import compute
from models.horizon_days import HORIZON_DAYS
from models.monitoring.expected_quality import ExpectedQuality, expected_quality
from models.scorer import Scorer
from models.simulation import simulate as simulation
from models.simulation.assumptions import Assumptions
from models.simulation.world import YEAR_DAYS, World
from models.training.history import load
from models.training.labels import DAY_S, UNKNOWN, labels

# Fleets are simulated and scored: over two minutes where others want the processors too.
pytestmark = pytest.mark.timeout(600)

THRESHOLD = 0.3
CHARGERS = 800
DAYS = 160
# Each week's readings need 30 days before and after them.
WEEKS = range(40, 124, 7)
Week = tuple[Floats, Bools]


class Moved(World):
    """Another climate, use and age than those of the training fleet. Their effect on hazards is the same."""

    def __init__(self, n: int, rng: np.random.Generator, assumed: Assumptions) -> None:
        super().__init__(n, rng, assumed)
        self.climate_c += 7
        self.sessions_per_day *= 1.5
        self.age_days += YEAR_DAYS


def weeks(scorer: Scorer, folder: Path, seed: int, assumed: Assumptions | None = None) -> list[Week]:
    """Probabilities of one reading of each charger in service, and whether it failed, for each week."""
    model = scorer.part("failure")[0]
    assert isinstance(model, FailureModel)
    simulation.simulate(CHARGERS, DAYS, seed, assumed).write(folder)
    history = load(folder, spec=model.spec)
    truth = labels(history, HORIZON_DAYS[-1])
    columns = history.columns
    begin_s = columns.time_s.min()
    found: list[Week] = []
    for day in WEEKS:
        of_day = np.abs(columns.time_s - (begin_s + day * DAY_S)) < DAY_S
        rows = np.flatnonzero(of_day & (truth != UNKNOWN))
        rows = rows[np.unique(columns.charger[rows], return_index=True)[1]]
        found.append((model.probabilities(compute(columns, model.spec, rows))[:, -1], truth[rows] == 1))
    return found


def covered(found: list[Week]) -> dict[str, float]:
    """Return the share of weeks with the realised value inside the limits."""
    inside: dict[str, list[bool]] = {"precision": [], "recall": [], "pr_auc": []}
    for probability, failed in found:
        expected = expected_quality(probability, THRESHOLD)
        for name, realised in realised_quality(probability, failed).items():
            estimate = getattr(expected, name)
            inside[name].append(estimate.low <= realised <= estimate.high)
    return {name: float(np.mean(each)) for name, each in inside.items()}


def realised_quality(probability: Floats, failed: Bools) -> dict[str, float]:
    alerts = probability >= THRESHOLD
    return {
        "precision": float(failed[alerts].mean()),
        "recall": float(failed[alerts].sum() / failed.sum()),
        "pr_auc": float(average_precision_score(failed, probability)),
    }


def test_where_climate_use_and_age_moved_the_limits_hold_in_nine_weeks_of_ten(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "World", Moved)
    found = [week for seed in (21, 22, 23) for week in weeks(scorer, tmp_path / str(seed), seed)]
    shares = covered(found)
    assert min(shares.values()) >= 0.9, shares


def test_where_hazards_moved_it_cannot_see_it(scorer: Scorer, tmp_path: Path) -> None:
    """More chargers fail, without any symptom. The probabilities stay, and the expectation with them."""
    usual = Assumptions()
    sudden = replace(
        usual,
        announced_share=0.1,
        ac_failures_per_year=usual.ac_failures_per_year * 2.5,
        dc_failures_per_year=usual.dc_failures_per_year * 2.5,
    )
    for probability, failed in weeks(scorer, tmp_path, 24, sudden):
        assert failed.mean() > 1.5 * probability.mean()
        expected = expected_quality(probability, THRESHOLD).recall
        assert expected is not None
        # Recall is what alerts catch of the failures that the probabilities speak of.
        assert realised_quality(probability, failed)["recall"] < expected.value


def test_calibrated_probabilities_give_the_expectation() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(60):
        probability = sigmoid(rng.normal(-2.5, 1.3, 600))
        failed = rng.random(600) < probability
        expected = expected_quality(probability, THRESHOLD, seed=seed)
        for name, realised in realised_quality(probability, failed).items():
            estimate = getattr(expected, name)
            inside.append(estimate.low <= realised <= estimate.high)
    assert np.mean(inside) >= 0.93


def test_few_chargers_and_no_threshold_leave_gaps() -> None:
    few = expected_quality(np.full(49, 0.5), THRESHOLD)
    assert few == ExpectedQuality(49, 49, None, None, None)
    without = expected_quality(np.linspace(0.01, 0.6, 100), None)
    assert (without.alerts, without.precision, without.recall) == (0, None, None)
    assert without.pr_auc is not None
    silent = expected_quality(np.linspace(0.01, 0.2, 100), THRESHOLD)
    assert silent.precision is None
    assert silent.recall is not None
    assert silent.recall.value == 0
