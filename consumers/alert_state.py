"""Reading back which alerts are open, when a partition comes to this member."""

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


def load_alert_state(settings: Settings, numbers: list[int]) -> Mapping[int, Iterable[bytes]]:
    """The newest state record of every open alert, for each of these input partitions.

    The last owner's transaction may still be ending, and is waited for. Blocks 15 s at most where nothing
    comes. Raises `KafkaUnavailable`.
    """
    found: dict[bytes, bytes] = {}
    try:
        for record in read_whole_topic(settings, settings.kafka_topic_alert_state, timeout_s=LOAD_TIMEOUT_S):
            if record.key is not None and record.value is not None:
                found[record.key] = record.value
            elif record.key is not None:
                found.pop(record.key, None)
    except KafkaError as error:
        raise as_trouble(error, "reading the state of alerts") from error
    by_number: dict[int, list[bytes]] = defaultdict(list)
    for value in found.values():
        by_number[orjson.loads(value)["partition"]].append(value)
    opened = sum(len(by_number[number]) for number in numbers)
    log.info("open alerts of partitions %s: %d", ", ".join(map(str, sorted(numbers))), opened)
    return by_number
