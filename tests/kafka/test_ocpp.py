"""Each OCPP event ends in exactly one outcome, whoever dies: on Apache Kafka, with real processes.

`SOAK=1` makes it the long form: 33,100 events, at least thirty kills and ten more between begin and commit.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from consumers.ocpp.charge_point import ChargePoint
from consumers.ocpp.envelope import read_event
from consumers.ocpp.translation import translate
from errors import ServiceError
from tests.integration.stream_bench import DEAD_LETTERS, INPUT, StreamBench
from tests.kafka.members import SEED, SOAK, Doom, Members, always_revived, bench_on_apache_kafka, say
from tests.kafka.outcomes import read_all, wait_until_committed
from tests.unit.consumers.ocpp import events as ocpp

EVENTS: Final = "ocpp.events"
CHARGE_POINTS: Final = 100 if SOAK else 30
SESSIONS: Final = 40 if SOAK else 12
KILLS: Final = 30 if SOAK else 6
DEATHS_IN_TRANSACTION: Final = 10 if SOAK else 2
RATE_PER_S: Final = 150.0
POISON: Final = (b"{bad", b"[]", orjson.dumps(ocpp.status(0, "Burning")), orjson.dumps({"eventId": "x"}))


def life(charge_point: str, chance: random.Random) -> list[bytes]:
    """Sessions of one charge point: some events repeated, some late, some that tell nothing, one poison."""
    made = []
    for n in range(SESSIONS):
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


@pytest.mark.timeout(3600 if SOAK else 300)
def test_each_event_ends_in_exactly_one_outcome_whoever_is_killed(tmp_path: Path) -> None:
    say(f"seed {SEED}")
    chance = random.Random(SEED)
    lives = {f"CP-{n}": life(f"CP-{n}", chance) for n in range(CHARGE_POINTS)}
    with bench_on_apache_kafka(tmp_path, max_poll_records=50) as bench:
        doom = Doom(bench, probability=0.04, most=DEATHS_IN_TRANSACTION, role="ocpp")
        members = Members(2, doom.start)
        bench.wait_for_state("running", timeout_s=60)
        with always_revived(members):
            events = send(bench, lives, members, chance)
            wait_until_committed(
                bench, events, timeout_s=600 if SOAK else 120, topic=EVENTS, group_id="evzone-ml-ocpp"
            )
        # Every offset is passed; now what stands for it.
        check(bench, lives)
        say(f"{events} events, {members.kills} kills, {doom.deaths} more between begin and commit")
        assert members.kills == KILLS
        assert doom.deaths == DEATHS_IN_TRANSACTION


def send(bench: StreamBench, lives: dict[str, list[bytes]], members: Members, chance: random.Random) -> int:
    """All lives, mixed, each in its order, while members are killed; how many events there were."""
    waiting = {name: iter(records) for name, records in lives.items()}
    turns = [name for name, records in lives.items() for _ in records]
    chance.shuffle(turns)
    kill_at = set(chance.sample(range(len(turns)), KILLS))
    for turn, name in enumerate(turns):
        bench.producer.send(EVENTS, next(waiting[name]), key=name.encode())
        if turn in kill_at:
            members.kill(chance)
        time.sleep(1 / RATE_PER_S)
    bench.producer.flush(30)
    return len(turns)


def check(bench: StreamBench, lives: dict[str, list[bytes]]) -> None:
    """Readings in order, and dead letters, are what the pure core makes of the same events."""
    wanted = {name: expected(records) for name, records in lives.items()}
    assert all(reasons["repeated"] and reasons["other_type"] for _, _, reasons in wanted.values())
    found: dict[str, list[Any]] = {name: [] for name in lives}
    for record in read_all(bench, INPUT):
        found[(record.key or b"").decode()].append(orjson.loads(record.value or b""))
    for name, (readings, _, _) in wanted.items():
        assert found[name] == readings, f"readings of {name}"
    letters = Counter((record.key or b"").decode() for record in read_all(bench, DEAD_LETTERS))
    assert letters == Counter({name: count for name, (_, count, _) in wanted.items()})
