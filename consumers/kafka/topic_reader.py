"""Read a topic from its start to its current end."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from consumers.kafka.clients import make_reader
from consumers.kafka.outcome_publisher import KafkaUnavailable
from settings import Settings

# The embedded broker reports the last batch's first record as the end, so records that follow are read too.
QUIET_MS: Final = 150
MORE_S: Final = 2.0


def read_whole_topic(settings: Settings, topic: str, *, timeout_s: float) -> Generator[ConsumerRecord]:
    """Every committed record of a topic, in order within each partition.

    Reads up to the end that includes uncommitted records, so it waits for a transaction that is just ending.
    Blocks for at most `timeout_s` between two records. Raises `KafkaUnavailable` or `KafkaError`.
    """
    reader = make_reader(settings)
    try:
        ends = _ends(settings, topic, timeout_s)
        if not ends:
            return
        reader.assign(list(ends))
        reader.seek_to_beginning(*ends)
        behind = set(ends)
        last_at = time.monotonic()
        more_until = None
        while behind or (more_until is not None and last_at < more_until):
            found = reader.poll(timeout_ms=QUIET_MS)
            if found:
                last_at = time.monotonic()
            elif not behind:
                return
            elif time.monotonic() - last_at > timeout_s:
                raise KafkaUnavailable(f"Topic {topic} could not be read to its end.")
            for records in found.values():
                yield from records
            if found:
                last_at = time.monotonic()  # not the time that the caller took
            behind = {tp for tp in behind if (reader.position(tp, timeout_ms=1_000) or 0) < ends[tp]}
            if not behind and more_until is None:
                more_until = time.monotonic() + MORE_S
    finally:
        reader.close(timeout_ms=1_000)


def _ends(settings: Settings, topic: str, timeout_s: float) -> dict[TopicPartition, int]:
    reader = make_reader(settings, isolation_level="read_uncommitted")
    try:
        partitions = [TopicPartition(topic, n) for n in sorted(reader.partitions_for_topic(topic) or ())]
        return reader.end_offsets(partitions, timeout_ms=timeout_s * 1000) if partitions else {}
    finally:
        reader.close(timeout_ms=1_000)
