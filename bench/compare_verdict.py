"""Decide from pairs of runs whether a commit is slower than another. Pure functions of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

CONFIDENCE: Final = 0.95
Verdict = Literal["within", "worse", "undecided"]

EXIT_WITHIN: Final = 0
EXIT_WORSE: Final = 1
EXIT_UNDECIDED: Final = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a run. `decides`: the exit code depends on it. Other figures are information."""

    measure: str
    name: str
    unit: str
    lower_is_better: bool
    decides: bool = False


def _singles(connections: int, *deciding: str) -> tuple[Figure, ...]:
    measure = f"singles, {connections} connection{'s' if connections > 1 else ''}"
    return (
        Figure(measure, "rate", "requests/s", lower_is_better=False, decides="rate" in deciding),
        Figure(measure, "p50", "ms", lower_is_better=True, decides="p50" in deciding),
        Figure(measure, "p99", "ms", lower_is_better=True),
        Figure(measure, "cpu", "CPU s/1,000 predictions", lower_is_better=True, decides="cpu" in deciding),
    )


FIGURES: Final = (
    *_singles(1, "p50"),
    *_singles(16),
    *_singles(64, "rate", "cpu"),
    Figure("batch", "rate", "rows/s", lower_is_better=False, decides=True),
    Figure("batch", "cpu", "CPU s/1,000 rows", lower_is_better=True),
    Figure("stream", "rate", "readings/s", lower_is_better=False, decides=True),
    Figure("stream", "cpu", "CPU s/1,000 readings", lower_is_better=True),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`median`, `low` and `high` are ratios new/old. The interval is NaN with fewer than six pairs."""

    figure: Figure
    median: float
    low: float
    high: float
    pairs: int
    verdict: Verdict

    @property
    def cost(self) -> float:
        """Relative loss of the new side: 0.05 is 5 % worse, below 0 is better."""
        return _cost(self.figure, self.median) - 1


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the interval that contains the median with at least 95 % confidence, by order statistics.

    It assumes independent pairs and no distribution: the number of ratios below the true median is
    binomial(n, 1/2). NaN for fewer than six.
    """
    n = len(ratios)
    ordered = sorted(ratios)
    rank, tail = 0, 0.0  # `rank` values are cut off at each end
    while (tail := tail + math.comb(n, rank) / 2**n) <= (1 - CONFIDENCE) / 2:
        rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else (math.nan, math.nan)


def judge(figure: Figure, ratios: Sequence[float], limit: float) -> Judgement:
    """Compare the median ratio new/old with the limit (0.05: 5 % worse is allowed).

    The median decides once its interval is at most as wide as the limit, or is on one side of it.
    """
    median = statistics.median(ratios)
    low, high = interval(ratios)
    best, worst = sorted((_cost(figure, low), _cost(figure, high)))
    verdict: Verdict = "undecided"
    if worst - best <= limit or worst <= 1 + limit or best > 1 + limit:  # never true for NaN
        verdict = "within" if _cost(figure, median) <= 1 + limit else "worse"
    return Judgement(figure, median, low, high, len(ratios), verdict)


def judge_all(ratios: Mapping[Figure, Sequence[float]], limit: float) -> list[Judgement]:
    """Return one judgement for each figure with ratios."""
    return [judge(figure, some, limit) for figure, some in ratios.items() if some]


def undecided_measures(judgements: Iterable[Judgement]) -> set[str]:
    """Return the measures with an undecided deciding figure. They need more pairs."""
    return {one.figure.measure for one in judgements if one.figure.decides and one.verdict == "undecided"}


def exit_code(judgements: Sequence[Judgement], errors_old: int, errors_new: int) -> int:
    """Return 0 within the limit, 1 if worse (or more failed requests than before), 3 if undecided."""
    verdicts = {one.verdict for one in judgements if one.figure.decides}
    if "worse" in verdicts or errors_new > errors_old:
        return EXIT_WORSE
    return EXIT_UNDECIDED if "undecided" in verdicts or not verdicts else EXIT_WITHIN


def _cost(figure: Figure, ratio: float) -> float:
    return ratio if figure.lower_is_better else 1 / ratio
