"""A translation of OCPP events without Kafka, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from consumers.kafka.crash_journal import CrashJournal
from consumers.kafka.offsets import CommitBatch, Partition, PendingRecord
from consumers.kafka.records import Received
from consumers.ocpp.translation import Translation
from settings import Settings
from tests.unit.consumers.ocpp.events import NOW, Document

P0, P1 = Partition("ocpp.events", 0), Partition("ocpp.events", 1)


class Bench:
    """A translation whose state topic is a dictionary; `loads` are the partitions it has read."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.stored: dict[bytes, bytes] = {}
        self.loads: list[list[int]] = []
        self.offsets = {P0: 0, P1: 0}
        self.settings = settings
        self.work = self.successor()

    def successor(self) -> Translation:
        journal = CrashJournal(self.folder, "group", 0)
        return Translation(self.settings, load=self.load, journal=journal, now=lambda: NOW)

    def load(self, numbers: list[int]) -> Mapping[int, Iterable[bytes]]:
        self.loads.append(numbers)
        found: dict[int, list[bytes]] = {}
        for value in self.stored.values():
            found.setdefault(orjson.loads(value)["partition"], []).append(value)
        return found

    def take(self, *values: Document | bytes, partition: Partition = P0) -> list[PendingRecord]:
        entries = []
        for value in values:
            raw = value if isinstance(value, bytes) else orjson.dumps(value)
            entries.append(PendingRecord(Received(*partition, self.offsets[partition], b"CP-1", raw)))
            self.offsets[partition] += 1
            self.work.take(entries[-1])
        self.work.advance()
        return entries

    def commit(self, entries: list[PendingRecord]) -> CommitBatch:
        done = CommitBatch(entries)
        self.work.complete(done)
        for record in done.remembered:
            assert record.key is not None
            assert record.value is not None
            self.stored[record.key] = record.value
        self.work.settle(done)
        return done


def code_of(entry: PendingRecord) -> bytes | None:
    return dict(entry.outcomes[0].headers).get("x-error-code") if entry.outcomes else None
