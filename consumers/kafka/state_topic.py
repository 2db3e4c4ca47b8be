"""Read the state of partitions that are newly assigned to this member.

The state is in a compacted topic: the newest record of each key, a JSON object with the input `partition`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import orjson
from kafka.errors import KafkaError

import metrics
from consumers.kafka.offsets import Partition
from consumers.kafka.outcome_publisher import as_trouble
from consumers.kafka.topic_reader import read_whole_topic
from settings import Settings

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S: Final = 15.0

K = TypeVar("K")
T = TypeVar("T")


def readable(values: Iterable[bytes], read: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """Apply `read` to each state record. A record that fails is logged and left out.

    Other programs may write to the topic, and one bad record must not block its partition for every member.
    """
    for value in values:
        try:
            found = read(orjson.loads(value))
        except Exception:
            log.exception("a state record cannot be read and is left out: %r", value[:200])
            metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
        else:
            yield found


# Reads the state of partitions: for each partition number the newest value of every key.
Load = Callable[[list[int]], Mapping[int, Iterable[bytes]]]


def states_of(
    partitions: Collection[Partition], load: Load, read: Callable[[Mapping[str, Any]], tuple[K, T]]
) -> dict[Partition, dict[K, T]]:
    """The state of each partition: the keys and values that `read` makes of its records.

    Blocks as `load` does, and not without partitions. Raises the errors of `load`.
    """
    if not partitions:
        return {}
    found = load([partition.partition for partition in partitions])
    return {partition: dict(readable(found.get(partition.partition, ()), read)) for partition in partitions}


def load_state(
    settings: Settings, topic: str, numbers: list[int], *, of: str
) -> Mapping[int, Iterable[bytes]]:
    """Read the newest state record of every key, by input partition: those of `numbers`, and perhaps others.

    Waits for a transaction of the previous owner that is still ending. `of` names the state in log lines.

    Blocks until the topic is read, for at most 15 s without a record. Raises `KafkaUnavailable`, or
    `OutcomeRefused` for a missing permission.
    """
    found: dict[bytes, bytes] = {}
    try:
        for record in read_whole_topic(settings, topic, timeout_s=LOAD_TIMEOUT_S):
            if record.key is not None and record.value is not None:
                found[record.key] = record.value
            elif record.key is not None:
                found.pop(record.key, None)
    except KafkaError as error:
        raise as_trouble(error, f"reading back {of}") from error
    by_number: dict[int, list[bytes]] = defaultdict(list)
    for value in found.values():
        for number in readable([value], lambda state: int(state["partition"])):
            by_number[number].append(value)
    count = sum(len(by_number[number]) for number in numbers)
    log.info("%s of partitions %s: %d", of, ", ".join(map(str, sorted(numbers))), count)
    return by_number
