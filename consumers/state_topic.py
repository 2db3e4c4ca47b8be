"""Reading back what a member must remember of a partition, when it comes to this one.

A compacted topic holds it: the newest record of each key, a JSON object that names the input `partition`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import orjson
from kafka.errors import KafkaError

from consumers.publisher import as_trouble
from consumers.whole_topic import read_whole_topic
from settings import Settings

log = logging.getLogger(__name__)

LOAD_TIMEOUT_S: Final = 15.0


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
        by_number[orjson.loads(value)["partition"]].append(value)
    count = sum(len(by_number[number]) for number in numbers)
    log.info("%s of partitions %s: %d", of, ", ".join(map(str, sorted(numbers))), count)
    return by_number
