from __future__ import annotations

import math
import random
import statistics

import pytest

from bench.compare_verdict import (
    EXIT_UNDECIDED,
    EXIT_WITHIN,
    EXIT_WORSE,
    FIGURES,
    Figure,
    Judgement,
    Verdict,
    exit_code,
    interval,
    judge,
    judge_all,
    undecided_measures,
)

LATENCY = Figure("singles", "p50", "ms", lower_is_better=True, decides=True)
RATE = Figure("batch", "rate", "rows/s", lower_is_better=False, decides=True)
TAIL = Figure("singles", "p99", "ms", lower_is_better=True)


def around(center: float, width: float, pairs: int = 12) -> list[float]:
    """Ratios spread evenly over `width`, in no order."""
    ratios = [center + width * (number / (pairs - 1) - 0.5) for number in range(pairs)]
    random.Random(1).shuffle(ratios)
    return ratios


def judgement(verdict: Verdict, *, figure: Figure = LATENCY) -> Judgement:
    return Judgement(figure, 1.0, 0.99, 1.01, 12, verdict)


@pytest.mark.parametrize(
    ("pairs", "cut_off"),
    # Ranks of the sign test's 95 % interval, as in any table of it.
    [(6, 0), (8, 0), (9, 1), (12, 2), (20, 5), (40, 13)],
)
def test_the_interval_cuts_off_the_ranks_of_the_sign_test(pairs: int, cut_off: int) -> None:
    ratios = [float(number) for number in range(pairs)]
    random.Random(1).shuffle(ratios)
    assert interval(ratios) == (cut_off, pairs - 1 - cut_off)


@pytest.mark.parametrize("pairs", [1, 5])
def test_fewer_than_six_pairs_have_no_interval(pairs: int) -> None:
    assert all(math.isnan(end) for end in interval([1.0] * pairs))


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng = random.Random(7)
    held = 0
    for _ in range(2_000):
        low, high = interval([rng.lognormvariate(0.0, 0.05) for _ in range(12)])
        held += low <= 1.0 <= high
    assert 0.95 <= held / 2_000 <= 0.975  # 0.961 exactly


def test_equal_sides_are_within_the_limit() -> None:
    assert judge(LATENCY, around(1.0, 0.04), 0.05).verdict == "within"


def test_a_cost_just_below_the_limit_is_within_and_just_above_is_worse() -> None:
    assert judge(LATENCY, around(1.049, 0.04), 0.05).verdict == "within"
    assert judge(LATENCY, around(1.051, 0.04), 0.05).verdict == "worse"


def test_of_a_rate_less_is_worse() -> None:
    assert judge(RATE, around(0.90, 0.04), 0.05).verdict == "worse"
    assert judge(RATE, around(1.20, 0.04), 0.05).verdict == "within"
    assert judge(RATE, around(1 / 1.10, 0.0), 0.05).cost == pytest.approx(0.10)


def test_an_interval_wider_than_the_limit_does_not_decide() -> None:
    wide = judge(LATENCY, around(1.0, 0.2), 0.05)
    assert wide.high - wide.low > 0.05
    assert wide.verdict == "undecided"
    assert judge(LATENCY, around(1.0, 0.2), 0.15).verdict == "within"


@pytest.mark.parametrize(("center", "verdict"), [(0.7, "within"), (1.4, "worse")])
def test_a_wide_interval_decides_where_it_lies_on_one_side_of_the_limit(
    center: float, verdict: Verdict
) -> None:
    assert judge(LATENCY, around(center, 0.3), 0.05).verdict == verdict
    assert judge(RATE, [1 / ratio for ratio in around(center, 0.3)], 0.05).verdict == verdict


def test_too_few_pairs_decide_nothing() -> None:
    few = judge(LATENCY, [1.0] * 5, 0.05)
    assert (few.verdict, few.median, few.pairs) == ("undecided", 1.0, 5)


def test_one_wild_pair_changes_nothing() -> None:
    ratios = around(1.0, 0.04)
    ratios[ratios.index(max(ratios))] = 9.0
    assert judge(LATENCY, ratios, 0.05).verdict == "within"


def test_figures_without_a_pair_are_not_judged() -> None:
    found = judge_all({LATENCY: around(1.0, 0.02), RATE: []}, 0.05)
    assert [one.figure for one in found] == [LATENCY]


def test_only_a_figure_that_decides_asks_for_more_pairs() -> None:
    tail, batch = judgement("undecided", figure=TAIL), judgement("undecided", figure=RATE)
    assert undecided_measures([judgement("within"), tail, batch]) == {"batch"}


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["within", "within"], EXIT_WITHIN),
        (["within", "undecided"], EXIT_UNDECIDED),
        (["undecided", "worse"], EXIT_WORSE),
        ([], EXIT_UNDECIDED),
    ],
)
def test_the_exit_code_tells_the_worst_verdict(verdicts: list[Verdict], code: int) -> None:
    assert exit_code([judgement(verdict) for verdict in verdicts], 0, 0) == code


def test_a_tail_that_is_worse_is_reported_and_not_judged() -> None:
    assert exit_code([judgement("within"), judgement("worse", figure=TAIL)], 0, 0) == EXIT_WITHIN


def test_more_failed_requests_than_before_are_worse_whatever_the_speed() -> None:
    assert exit_code([judgement("within")], 0, 1) == EXIT_WORSE
    assert exit_code([judgement("within")], 3, 3) == EXIT_WITHIN


def test_each_measure_but_the_one_in_the_middle_decides_something() -> None:
    deciding = [(figure.measure, figure.name) for figure in FIGURES if figure.decides]
    assert deciding == [
        ("singles, 1 connection", "p50"),
        ("singles, 64 connections", "rate"),
        ("singles, 64 connections", "cpu"),
        ("batch", "rate"),
        ("stream", "rate"),
    ]


def test_the_median_is_that_of_all_pairs() -> None:
    ratios = around(1.02, 0.04, 13)
    assert judge(LATENCY, ratios, 0.05).median == statistics.median(ratios)
