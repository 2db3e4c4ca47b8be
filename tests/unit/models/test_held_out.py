"""What a model is judged on, it has not seen: by time, by blocks of time, by chargers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import boosting, held_out
from models.failure import HORIZON_DAYS
from models.history import load
from models.labels import DAY_S, labels
from models.sampling import Rows, sample
from models.simulate import simulate


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

    monkeypatch.setattr(boosting, "TREES", 12)
    monkeypatch.setattr(boosting, "fit", fit)
    monkeypatch.setattr(boosting, "staged", lambda model, frame: np.zeros((12, len(frame)), np.float32))
    return seen


def test_blocks_score_every_row_once_with_a_gap_of_one_horizon(
    rows: tuple[Rows, Any], learned: list[tuple[Rows, int]]
) -> None:
    sampled, spec = rows
    scored = held_out.by_blocks(sampled, spec, 0)
    assert np.isfinite(scored.raw).all()
    assert len(scored.raw) == len(sampled.index)
    edges = np.quantile(sampled.time_s, np.arange(1, held_out.FOLDS) / held_out.FOLDS)
    block = np.searchsorted(edges, sampled.time_s)
    for position, (lessons, column) in enumerate(learned):
        judged = sampled.time_s[block == position % held_out.FOLDS]
        gap_s = HORIZON_DAYS[column] * DAY_S
        apart = (lessons.time_s <= judged.min() - gap_s) | (lessons.time_s >= judged.max() + gap_s)
        assert apart.all()


def test_a_short_history_is_dealt_out_by_charger(
    rows: tuple[Rows, Any], learned: list[tuple[Rows, int]]
) -> None:
    sampled, spec = rows
    short = sampled.take(sampled.time_s < sampled.time_s.min() + 40 * DAY_S)
    held_out.by_blocks(short, spec, 0)
    for position, (lessons, _) in enumerate(learned):
        assert not (lessons.charger % held_out.FOLDS == position % held_out.FOLDS).any()


def test_the_newer_part_is_scored_by_the_older(
    rows: tuple[Rows, Any], learned: list[tuple[Rows, int]]
) -> None:
    sampled, spec = rows
    scored = held_out.by_time(sampled, spec, 0)
    for lessons, column in learned:
        assert lessons.time_s.max() <= scored.rows.time_s.min() - HORIZON_DAYS[column] * DAY_S


def test_known_and_strange_chargers_are_judged_on_the_same_readings(rows: tuple[Rows, Any]) -> None:
    sampled, spec = rows
    found = held_out.known_and_strange(sampled, spec, 0)
    assert set(found) == {"known", "strange"}
    assert all(0 <= figure <= 1 for group in found.values() for figure in group.values())
