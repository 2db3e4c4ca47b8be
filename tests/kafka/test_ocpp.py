"""Each OCPP event ends in exactly one outcome, whoever dies: on Apache Kafka, with real processes.

`SOAK=1` makes it the long form: 33,100 events, at least thirty kills and ten more between begin and commit.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.integration.stream_bench import StreamBench
from tests.kafka.lives import EVENTS, check, life
from tests.kafka.members import SEED, SOAK, Doom, Members, always_revived, bench_on_apache_kafka, say
from tests.kafka.outcomes import wait_until_committed

CHARGE_POINTS: Final = 100 if SOAK else 30
SESSIONS: Final = 40 if SOAK else 12
KILLS: Final = 30 if SOAK else 6
DEATHS_IN_TRANSACTION: Final = 10 if SOAK else 2
RATE_PER_S: Final = 150.0


@pytest.mark.timeout(3600 if SOAK else 300)
def test_each_event_ends_in_exactly_one_outcome_whoever_is_killed(tmp_path: Path) -> None:
    say(f"seed {SEED}")
    chance = random.Random(SEED)
    lives = {f"CP-{n}": life(f"CP-{n}", chance, SESSIONS) for n in range(CHARGE_POINTS)}
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
