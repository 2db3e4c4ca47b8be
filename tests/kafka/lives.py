"""What charge points tell over OCPP in their lives, and whether readings and dead letters come of it."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from consumers.ocpp.charge_point import ChargePoint
from consumers.ocpp.envelope import read_event
from consumers.ocpp.translation import translate
from errors import ServiceError
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, StreamBench
from tests.kafka.outcomes import read_all
from tests.unit.consumers.ocpp import events as ocpp

EVENTS: Final = "ocpp.events"
POISON: Final = (b"{bad", b"[]", orjson.dumps(ocpp.status(0, "Burning")), orjson.dumps({"eventId": "x"}))


def life(charge_point: str, chance: random.Random, sessions: int) -> list[bytes]:
    """The events of one charge point: some are repeated, some late, some tell nothing, one is poison."""
    made = []
    for n in range(sessions):
        began, meter = 100.0 * n, 20_000 * n
        made += [
            ocpp.status(began, "Preparing"),
            ocpp.start(began + 1, meter),
            ocpp.status(began + 2, "Charging"),
            ocpp.power(began + 10, 7400),
            ocpp.register(began + 20, meter + 5000),
            ocpp.envelope(began + 21, "Heartbeat", {}),
            ocpp.stop(began + 60, meter + 12_000),
            ocpp.status(began + 61, "Faulted" if n % 5 == 0 else "Available", errorCode="OverVoltage"),
        ]
    made = [event | {"chargePointId": charge_point, "eventId": f"{charge_point}-{i}"}
            for i, event in enumerate(made)]  # fmt: skip
    for place in chance.sample(range(10, len(made)), 10):
        made.insert(place, made[place - chance.randrange(1, 8)])
    for place in chance.sample(range(10, len(made)), 5):
        made.insert(place - 3, made.pop(place))
    records = [orjson.dumps(event) for event in made]
    records.insert(chance.randrange(len(records)), chance.choice(POISON))
    return records


def expected(records: list[bytes]) -> tuple[list[dict[str, Any]], int, Counter[str]]:
    """By the pure core: readings in order, how many dead letters, and the others by reason."""
    known, readings, letters, reasons = ChargePoint(), list[dict[str, Any]](), 0, Counter[str]()
    for record in records:
        try:
            event = read_event(record, now=datetime.now(UTC))
            known, found = translate(event, known)
        except ServiceError:
            letters += 1
            continue
        if isinstance(found, str):
            reasons[found] += 1
        else:
            readings.append(found)
    return readings, letters, reasons


def check(
    bench: StreamBench,
    lives: dict[str, list[bytes]],
    *,
    readings_topic: str = INPUT,
    dead_letters_topic: str = DEAD_LETTERS,
) -> None:
    """Readings in order, and dead letters, are what the pure core makes of the same events."""
    wanted = {name: expected(records) for name, records in lives.items()}
    assert all(reasons["repeated"] and reasons["other_type"] for _, _, reasons in wanted.values())
    found: dict[str, list[Any]] = {name: [] for name in lives}
    for record in read_all(bench, readings_topic):
        found[(record.key or b"").decode()].append(orjson.loads(record.value or b""))
    for name, (readings, _, _) in wanted.items():
        assert found[name] == readings, f"readings of {name}"
    letters = Counter((record.key or b"").decode() for record in read_all(bench, dead_letters_topic))
    assert letters == Counter({name: count for name, (_, count, _) in wanted.items()})
