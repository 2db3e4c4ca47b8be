"""`Service` replaces its clients, and keeps nothing of those before."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import pytest

from consumers.kafka import service as module
from consumers.kafka.heartbeat import Heartbeat
from consumers.kafka.outcome_publisher import KafkaUnavailable
from consumers.kafka.record_processor import RecordProcessor
from consumers.kafka.service import Service
from tests.processes import settings_for


class Clients:
    """Refer to each other, as those of kafka-python do."""

    def __init__(self) -> None:
        self.itself = self


class Outage(Service):
    """Loses Kafka once, and stops when it is back."""

    lost: weakref.ref[Clients] | None = None
    is_freed = False

    def _live(self, stopping: threading.Event) -> None:
        if self.lost is None:
            clients = Clients()
            self.lost = weakref.ref(clients)
            raise KafkaUnavailable("gone")
        self.is_freed = self.lost() is None
        stopping.set()


def test_the_clients_before_an_outage_are_freed_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSE_S", 0)
    monkeypatch.setattr(module, "collect_garbage_seldom", gc.disable)
    settings = settings_for(STATE_DIR=str(tmp_path))

    def no_processor(*_: object) -> RecordProcessor:
        raise AssertionError("not asked for")

    service = Outage(settings, Heartbeat(settings), topics={}, make_processor=no_processor)
    try:
        assert service.run(threading.Event()) == 0
    finally:
        gc.enable()
    assert service.is_freed
