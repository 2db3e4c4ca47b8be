"""Reading back what a member must remember of a partition, when it comes to this one.

A compacted topic holds it: the newest record of each key, a JSON object that names the input `partition`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import orjson
from kafka.errors import KafkaError

import metrics
from consumers.kafka.outcome_publisher import as_trouble
from consumers.kafka.topic_reader import read_whole_topic
from settings import Settings

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S: Final = 15.0

T = TypeVar("T")


def readable(values: Iterable[bytes], read: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """What `read` makes of each state record. One that cannot be read is logged and left out.

    Others may write to the topic, and one bad record must not keep its partition from every member.
    """
    for value in values:
        try:
            found = read(orjson.loads(value))
        except Exception:
            log.exception("a state record cannot be read and is left out: %r", value[:200])
            metrics.UNEXPECTED_ERRORS.labels(unit="record").inc()
        else:
            yield found


def load_state(
    settings: Settings, topic: str, numbers: list[int], *, of: str
) -> Mapping[int, Iterable[bytes]]:
    """The newest record of every key that still has one, for each of these input partitions.

    `of` is for the log: what is remembered. The last owner's transaction may still be ending, and is waited
    for. Blocks 15 s at most where nothing comes. Raises `KafkaUnavailable`.
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
