"""A threshold by precision or budget keeps its promise, or there is none."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from models.alert_threshold import THRESHOLDS, Evidence, at_least, evidence, for_budget, for_precision
from models.failure import FailureModel
from models.features.frame import compute
from models.horizon_days import HORIZON_DAYS
from models.scorer import Scorer
from models.simulation.simulate import simulate
from models.training.history import load
from models.training.labels import DAY_S, UNKNOWN, labels

SETS = 1_000
CHARGERS = 400
FLEET = 1_000

# Whether each charger alerts, fails after its first alert and is above at the end [3, chargers, thresholds].
Evidences = npt.NDArray[np.int64]


def test_the_binomial_tail_is_exact() -> None:
    for trials, share in ((7, 0.3), (40, 0.82)):
        exact = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
        for successes in range(trials + 1):
            assert at_least(successes, trials, share) == pytest.approx(sum(exact[successes:]), abs=1e-12)
    assert at_least(0, 0, 0.5) == 1
    assert at_least(3, 2, 0.5) == 0


def test_a_charger_counts_once_by_its_first_alert() -> None:
    day = 86_400.0
    found = evidence(
        np.array([1, 0, 0, 0, 2]),
        np.array([0.0, 100.0, 101.0, 102.0, 101.0]) * day,
        np.array([0.99, 0.2, 0.6, 0.4, 0.6]),
        np.array([True, True, False, True, True]),
        fleet=10,
    )
    half, fifth, third = (THRESHOLDS.index(share) for share in (0.5, 0.2, 0.3))
    assert found.chargers == 2  # the reading of charger 1 is older than the window
    assert (found.alerting[half], found.failed[half], found.at_once[half]) == (2, 1, 1)
    assert (found.alerting[third], found.failed[third], found.at_once[third]) == (2, 1, 2)
    assert (found.alerting[fifth], found.failed[fifth]) == (2, 2)
    assert Evidence.from_manifest(found.to_manifest()) == found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Evidences:
    """A simulated fleet, scored by the shipped version, as the evidence of each charger alone."""
    model = scorer.part("failure")[0]
    assert isinstance(model, FailureModel)
    folder = tmp_path_factory.mktemp("fleet")
    simulate(1200, 150, 11).write(folder)
    history = load(folder, spec=model.spec)
    truth = labels(history, HORIZON_DAYS[-1])
    rows = np.flatnonzero(truth != UNKNOWN)[::3]
    columns = history.columns
    probability = np.concatenate(
        [model.probabilities(compute(columns, model.spec, some))[:, -1] for some in np.array_split(rows, 10)]
    )
    end_s = columns.time_s[rows].max()
    counts = np.zeros((3, len(history.charger_ids), len(THRESHOLDS)), np.int64)
    newer = columns.time_s[rows] > end_s - 80 * DAY_S
    rows, probability = rows[newer], probability[newer]
    first = np.searchsorted(columns.charger[rows], np.arange(len(history.charger_ids) + 1))
    for charger, own in enumerate(map(slice, first[:-1], first[1:])):
        some = rows[own]
        alone = evidence(
            columns.charger[some], columns.time_s[some], probability[own], truth[some] == 1, fleet=FLEET
        )
        counts[:, charger] = alone.alerting, alone.failed, alone.at_once
    return counts


def together(counts: Evidences) -> Evidence:
    alerting, failed, at_once = (tuple(each) for each in counts.sum(axis=1).tolist())
    return Evidence(counts.shape[1], FLEET, alerting, failed, at_once)


@pytest.mark.parametrize(("precision", "promises"), [(0.2, 0.9), (0.3, 0.9), (0.5, 0.9), (0.7, 0.1)])
def test_a_precision_is_broken_by_at_most_delta_of_the_calibration_sets(
    fleet: Evidences, precision: float, promises: float
) -> None:
    confidence = 0.9
    alerting, failed, _ = fleet.sum(axis=1)
    rng = np.random.default_rng(1)
    broken = chosen = 0
    for _ in range(SETS):
        known = together(fleet[:, rng.integers(fleet.shape[1], size=CHARGERS)])
        threshold = for_precision(known, precision, confidence)
        if threshold is not None:
            chosen += 1
            at = THRESHOLDS.index(threshold)
            broken += bool(failed[at] < precision * alerting[at])
    assert chosen > promises * SETS  # it does promise something, where the evidence carries it
    assert broken <= (1 - confidence) * SETS


def test_a_precision_that_no_threshold_has_is_promised_by_at_most_delta() -> None:
    """The hardest case: each threshold has a precision just below the promise."""
    rng = np.random.default_rng(2)
    precision, confidence = 0.4, 0.9
    promised = 0
    for _ in range(SETS):
        alerts_from = rng.random(CHARGERS)[:, None] <= 1 - np.array(THRESHOLDS)
        came_true = rng.random(CHARGERS)[:, None] < precision - 1e-9
        known = together(np.stack([alerts_from, alerts_from & came_true, alerts_from]).astype(np.int64))
        promised += for_precision(known, precision, confidence) is not None
    assert 0 < promised <= (1 - confidence) * SETS


@pytest.mark.parametrize("visits", [10.0, 40.0, 200.0])
def test_a_budget_is_broken_by_at_most_delta_of_the_calibration_sets(fleet: Evidences, visits: float) -> None:
    confidence = 0.9
    share = fleet[2].mean(axis=0)
    rng = np.random.default_rng(3)
    broken = chosen = 0
    for _ in range(SETS):
        known = together(fleet[:, rng.integers(fleet.shape[1], size=CHARGERS)])
        threshold = for_budget(known, visits, confidence)
        if threshold is not None:
            chosen += 1
            broken += bool(share[THRESHOLDS.index(threshold)] * FLEET > visits)
    assert chosen > 0.9 * SETS
    assert broken <= (1 - confidence) * SETS


def test_too_few_chargers_promise_nothing(fleet: Evidences) -> None:
    assert for_precision(together(fleet[:, :20]), 0.5, 0.99) is None
    assert for_budget(together(fleet[:, :20]), 1.0, 0.9) is None
    nothing = evidence(np.array([], np.int64), np.array([]), np.array([]), np.array([], np.bool_), fleet=5)
    assert for_precision(nothing, 0.1, 0.5) is None
    assert for_budget(nothing, 5.0, 0.5) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"thresholds": [0.5]}, "another grid"),
        ({"failed": [9] * len(THRESHOLDS)}, "impossible"),
        ({"alerting": None}, "incomplete"),
    ],
)
def test_damaged_evidence_is_refused(damage: dict[str, object], message: str) -> None:
    ones = (1,) * len(THRESHOLDS)
    with pytest.raises(ValueError, match=message):
        Evidence.from_manifest(Evidence(5, 5, ones, ones, ones).to_manifest() | damage)
