"""What a model is judged on, it has not seen: by time, by blocks of time, by chargers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.horizon_days import HORIZON_DAYS
from models.simulation.simulate import simulate
from models.training import boosting, cross_validation
from models.training.history import load
from models.training.labels import DAY_S, labels
from models.training.sampling import Rows, sample


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Any]:
    folder = Path(tmp_path_factory.mktemp("history"))
    simulate(60, 300, 3).write(folder)
    history = load(folder)
    truth = tuple(labels(history, days) for days in HORIZON_DAYS)
    return sample(history, truth, np.random.default_rng(0)), history.spec


class Learned:
    """Stands in for a model, to see what it was given."""

    def __init__(self, lessons: Rows) -> None:
        self.lessons = lessons


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Rows, int]]:
    seen: list[tuple[Rows, int]] = []

    def fit(lessons: Rows, column: int, spec: Any, trees: int, seed: int) -> Learned:
        seen.append((lessons, column))
        return Learned(lessons)

    monkeypatch.setattr(boosting, "TREES", 60)
    monkeypatch.setattr(boosting, "fit", fit)
    monkeypatch.setattr(boosting, "staged", lambda model, frame: np.zeros((60, len(frame)), np.float32))
    return seen


def test_blocks_score_every_row_once_and_no_failure_is_on_both_sides(
    rows: tuple[Rows, Any], learned: list[tuple[Rows, int]]
) -> None:
    sampled, spec = rows
    scored = cross_validation.by_blocks(sampled, spec, 0)
    assert scored is not None
    assert len(scored.raw) == len(sampled.index)
    assert np.isfinite(scored.raw).all()
    assert len(learned) == 2 * len(HORIZON_DAYS) * cross_validation.BLOCKS
    for lessons, _ in learned:
        learnt = set(lessons.index.tolist())
        judged = np.array([index not in learnt for index in sampled.index.tolist()])
        assert judged.any()
        ahead = sampled.failing()
        spoken = set(
            zip(sampled.charger[ahead & judged], sampled.next_failure_s[ahead & judged], strict=True)
        )
        before = lessons.failing()
        assert not spoken & set(zip(lessons.charger[before], lessons.next_failure_s[before], strict=True))
        healthy = ~ahead & judged
        assert np.ptp(sampled.time_s[healthy]) < 0.5 * np.ptp(sampled.time_s)


def test_the_newer_part_is_scored_by_the_older(
    rows: tuple[Rows, Any], learned: list[tuple[Rows, int]]
) -> None:
    sampled, spec = rows
    scored = cross_validation.by_time(sampled, spec, 0)
    assert scored is not None
    begin = scored.rows.time_s.min()
    for lessons, _ in learned:
        # What happened later is not known to them.
        assert (lessons.time_s + lessons.known_days * DAY_S).max() <= begin


def test_known_and_strange_chargers_are_judged_on_the_same_readings(rows: tuple[Rows, Any]) -> None:
    sampled, spec = rows
    found = cross_validation.seen_vs_unseen(sampled, spec, 0)
    assert set(found) == {"known", "strange"}
    assert all(0 <= figure <= 1 for group in found.values() for figure in group.values())
