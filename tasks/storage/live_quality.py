"""The live quality of verdicts, by the outcomes that were reported after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tasks.storage.outcomes import OUTCOMES, Outcome

BINS: Final = 10


def live_quality(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, precision, recall, lead time (hours) and calibration of outcomes; None if undefined.

    Calibration: verdicts before a failure or a false alarm, in bins of their 30-day probability, with the
    share that failed. It describes chargers with a reported outcome, not the whole fleet.
    """
    failed = [each for each in outcomes if each.outcome == "failed"]
    false_alarms = [each for each in outcomes if each.outcome == "false_alarm"]
    caught = [each for each in failed if each.alerted]
    raised = len(caught) + sum(each.alerted for each in false_alarms)
    leads = sorted(
        (each.occurred_at - datetime.fromisoformat(each.verdict["reading_timestamp"]).timestamp()) / 3600
        for each in caught
        if each.verdict is not None
    )
    return {
        "outcomes": {kind: sum(each.outcome == kind for each in outcomes) for kind in OUTCOMES},
        "without_verdict": sum(each.verdict is None for each in outcomes),
        "precision": len(caught) / raised if raised else None,
        "recall": len(caught) / len(failed) if failed else None,
        "median_lead_hours": round(leads[len(leads) // 2], 2) if leads else None,
        "calibration": _calibration([*failed, *false_alarms]),
    }


def _calibration(judged: Sequence[Outcome]) -> list[dict[str, Any]]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for each in judged:
        if each.verdict is not None:
            probability = float(each.verdict["failure_probability"])
            bins[min(int(probability * BINS), BINS - 1)].append((probability, each.outcome == "failed"))
    return [
        {
            "from": index / BINS,
            "to": (index + 1) / BINS,
            "count": len(members),
            "mean_probability": round(sum(p for p, _ in members) / len(members), 4),
            "failed_share": round(sum(f for _, f in members) / len(members), 4),
        }
        for index, members in enumerate(bins)
        if members
    ]
