"""Reported outcomes of chargers, and the live quality of the verdicts before them.

An outcome is compared with the newest verdict whose reading is older, by 30 days at most. A failure was
alerted if that verdict recommended action at once or within 7 days. Precision and recall thus cover reported
outcomes and the alerts that operators acted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from settings import Settings
from tasks.storage.fleet import DAY_S, FleetStore
from tasks.storage.redis_connection import connect, tenant_prefix

OutcomeKind = Literal["failed", "repaired", "false_alarm"]
OUTCOMES: Final[tuple[OutcomeKind, ...]] = ("failed", "repaired", "false_alarm")
HORIZON_S: Final = 30 * DAY_S
MAX_KEPT: Final = 10_000
BINS: Final = 10
ALERTS: Final = frozenset({"IMMEDIATE", "WITHIN_7_DAYS"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A charger's outcome, at `occurred_at` (epoch seconds), and the verdict before it, or None."""

    charger_id: str
    outcome: OutcomeKind
    occurred_at: float
    verdict: dict[str, Any] | None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome in a stored record. Fields added by newer releases are ignored."""
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    @property
    def alerted(self) -> bool:
        """Whether the verdict before the outcome was an alert (one of `ALERTS`)."""
        return self.verdict is not None and self.verdict["recommended_action"] in ALERTS


class OutcomeStore:
    """Outcomes in one Redis server, the newest 10,000 per tenant. Methods raise `redis.RedisError`."""

    def __init__(self, settings: Settings, fleet: FleetStore) -> None:
        self._redis: Redis = connect(settings.redis_url)
        self._fleet = fleet

    def add(self, tenant: str | None, charger_id: str, outcome: OutcomeKind, occurred_at: float) -> Outcome:
        """Store an outcome with the newest verdict before it.

        A repeated outcome is stored once, with the verdict of its first report.
        """
        verdict = self._fleet.newest_before(
            tenant, charger_id, occurred_at, not_before=occurred_at - HORIZON_S
        )
        key = _key(tenant)
        new = Outcome(charger_id, outcome, occurred_at, verdict)

        def add_once(pipeline: Pipeline) -> Outcome:
            for member in cast(list[bytes], pipeline.zrangebyscore(key, occurred_at, occurred_at)):
                kept = Outcome.of_record(orjson.loads(member))
                if (kept.charger_id, kept.outcome) == (charger_id, outcome):
                    return kept
            pipeline.multi()
            pipeline.zadd(key, {orjson.dumps(asdict(new)): occurred_at})
            pipeline.zremrangebyrank(key, 0, -MAX_KEPT - 1)
            return new

        return cast(Outcome, self._redis.transaction(cast(Any, add_once), key, value_from_callable=True))

    def kept(self, tenant: str | None) -> list[Outcome]:
        """All stored outcomes of a tenant, oldest first."""
        raw = cast(list[bytes], self._redis.zrange(_key(tenant), 0, -1))
        return [Outcome.of_record(orjson.loads(member)) for member in raw]


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


def _key(tenant: str | None) -> str:
    return f"{tenant_prefix(tenant)}outcomes"
