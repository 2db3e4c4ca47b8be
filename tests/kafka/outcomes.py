"""What was put on the input topic, and whether a `read_committed` reader finds one outcome for each of it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson
from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord

from tests.integration.stream_bench import (
    ALERTS,
    ANOMALIES,
    DEAD_LETTERS,
    INPUT,
    PREDICTIONS,
    StreamBench,
    event_id,
)
from tests.kafka.members import say
from tests.processes import wait_until
from tests.readings import metrics

POISON: Final[list[bytes | None]] = [
    b"{bad",
    b"\xff\xfe",
    None,
    b"[]",
    b"7",
    b'{"charger_id":"P"}',
    b'{"charger_id":"P","connector_status":"BURNING"}',
    b'{"charger_id":"P","connector_status":"CHARGING","power":NaN}',
    b'{"charger_id":"P Q","connector_status":"CHARGING"}',
    b'{"charger_id":"P","metrics":{"charger_id":"Q","connector_status":"CHARGING"}}',
]
# Later than this no second outcome comes.
QUIET_S: Final = 3.0


@dataclass
class Sent:
    """The event ids of what was put in, and of the poison among it."""

    all: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)


def produce(
    bench: StreamBench, sent: Sent, *, count: int, rate: float, chargers: int, chance: random.Random
) -> None:
    """`count` records at about `rate` a second, one in a hundred of them poison; added to `sent`."""
    futures = []
    started, first = time.monotonic(), len(sent.all)
    for n in range(first, first + count):
        poison = n % 100 == 7
        charger = f"C-{chance.randrange(chargers)}"
        value = POISON[(n // 100) % len(POISON)] if poison else _reading(charger, n)
        futures.append((poison, bench.producer.send(INPUT, value, key=charger.encode())))
        ahead_s = (n - first) / rate - (time.monotonic() - started)
        if ahead_s > 0.05:
            time.sleep(ahead_s)
    bench.producer.flush(120)
    for poison, future in futures:
        record = future.get(1)
        name = f"{INPUT}:{record.partition}:{record.offset}"
        sent.all.add(name)
        if poison:
            sent.poison.add(name)


def _reading(charger: str, number: int) -> bytes:
    status = "FAULTY" if number % 40 == 0 else "CHARGING"
    return orjson.dumps(
        metrics(charger, connector_status=status, temperature=20 + number % 60, total_sessions=number)
    )


def wait_until_committed(
    bench: StreamBench, count: int, *, timeout_s: float, topic: str = INPUT, group_id: str = "evzone-ml"
) -> None:
    """Until the group has committed `count` input records; says how far it got where it does not."""
    wait_until(
        lambda: bench.committed(topic, group_id) >= count,
        what=f"{count} committed records",
        timeout_s=timeout_s,
        poll_s=1,
        log=lambda: f"{bench.committed(topic, group_id)} are.\n{bench.logs()}",
    )


def read_all(bench: StreamBench, *topics: str) -> Iterator[ConsumerRecord]:
    """Every committed record, and for a while past the last one, for a second outcome would come late."""
    reader = KafkaConsumer(
        *topics,
        bootstrap_servers=bench.kafka_server.url,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    quiet_since = time.monotonic()
    try:
        while time.monotonic() - quiet_since < QUIET_S:
            for records in reader.poll(timeout_ms=300).values():
                yield from records
                quiet_since = time.monotonic()
    finally:
        reader.close()


def check(bench: StreamBench, sent: Sent) -> None:
    """Every record exactly one outcome, the right kind, each charger's in order; each alert opens once."""
    outcomes: Counter[str] = Counter()
    dead: set[str] = set()
    last: dict[bytes, tuple[int, int]] = {}
    alerts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for record in read_all(bench, PREDICTIONS, DEAD_LETTERS, ALERTS, ANOMALIES):
        if record.topic in (ALERTS, ANOMALIES):
            alert = orjson.loads(record.value or b"")
            said = (alert["alert_id"], alert["state"])
            alerts.setdefault((record.topic, alert["charger_id"]), []).append(said)
            continue
        outcomes[event_id(record)] += 1
        if record.topic == DEAD_LETTERS:
            dead.add(event_id(record))
            continue
        source = orjson.loads(record.value or b"")["source"]
        place = (source["partition"], source["offset"])
        assert last.get(record.key or b"", place) <= place, f"{record.key!r} out of order"
        last[record.key or b""] = place
    missing = sent.all - outcomes.keys()
    twice = {name: times for name, times in outcomes.items() if times > 1}
    say(
        f"outcomes: {len(outcomes)} of {len(sent.all)}, repeats: {len(twice)}, "
        f"dead letters: {len(dead)} of {len(sent.poison)} poison"
    )
    assert not missing, f"{len(missing)} lost, like {sorted(missing)[:5]}"
    assert not twice, f"{len(twice)} repeated, like {sorted(twice.items())[:5]}"
    assert dead == sent.poison
    assert outcomes.keys() == sent.all
    for key, states in alerts.items():
        assert [state for _, state in states[::2]] == ["open"] * len(states[::2]), f"{key}: {states}"
        assert [state for _, state in states[1::2]] == ["closed"] * len(states[1::2]), f"{key}: {states}"
        for (opened, _), (closed, _) in zip(states[::2], states[1::2], strict=False):
            assert opened == closed, f"{key}: {states}"
    say(f"alerts opened or closed: {sum(map(len, alerts.values()))}")
    assert alerts
