"""The stores and clients that all views of a web process share."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Final, cast

from flask import current_app

from admin_port import AdminPort, Health
from errors import InsufficientStorage, QueueFull
from settings import Settings
from tasks.client.degraded import DegradedScoring
from tasks.client.predictor import PredictionClient
from tasks.client.rate_limiter import RateLimiter
from tasks.jobs.chunk_size import ChunkSizer
from tasks.jobs.chunks import Chunks
from tasks.jobs.erase_jobs import Erasures
from tasks.jobs.idempotency import IdempotencyKeys
from tasks.jobs.job_limits import JobLimits
from tasks.jobs.job_store import JobStore
from tasks.messaging.task_publisher import TaskPublisher
from tasks.monitoring.drift_counts import DriftReports
from tasks.monitoring.service_health import Monitor
from tasks.monitoring.shadow_counts import ShadowReports
from tasks.monitoring.snapshot_metrics import SnapshotCollector
from tasks.monitoring.versions import Versions
from tasks.notify.outbox import Outbox
from tasks.notify.webhook_store import WebhookStore
from tasks.storage.alert_records import AlertRecords
from tasks.storage.alert_store import AlertStore
from tasks.storage.api_keys import KeyStore
from tasks.storage.audit_log import AuditLog
from tasks.storage.charger_attributes import AttributeStore
from tasks.storage.charger_data import ChargerData
from tasks.storage.console_sessions import ConsoleSessions
from tasks.storage.dead_letter_looks import DeadLetterLooks
from tasks.storage.fleet import FleetStore
from tasks.storage.fleet_snapshots import FleetSnapshots
from tasks.storage.outcomes import OutcomeStore
from tasks.storage.redis_connection import connect
from tasks.storage.replay_requests import ReplayRequests
from tasks.storage.verdict_cache import VerdictCache
from web.http.access import Access
from web.http.key_ring import KeyRing

EXTENSION: Final = "evzone-ml"


class Capacity(BoundedSemaphore):
    """A semaphore that never blocks: as a context manager it raises `QueueFull` if no place is free."""

    def __init__(self, name: str, places: int) -> None:
        self._name = name
        super().__init__(places)

    def __enter__(self, blocking: bool = True, timeout: float | None = None) -> bool:
        if not self.acquire(blocking=False):
            raise QueueFull(self._name)
        return True


class Services:
    """The shared stores and clients, one instance per application. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis = connect(settings.redis_url)
        self.keys = KeyRing(settings)
        self.keys.follow(KeyStore(self.redis))
        self.sessions = ConsoleSessions(self.redis)
        self.limiter = RateLimiter(settings)
        self.limiter.start()
        self.access = Access(settings, self.keys, self.limiter)
        self.audit = AuditLog(settings.audit_log, self.redis)
        self.cache = VerdictCache(settings)
        self.monitor = Monitor(settings)
        self.degraded = DegradedScoring(settings, lambda: self.monitor.snapshot)
        self.predictor = PredictionClient(settings, self.cache, self.degraded)
        self.publisher = TaskPublisher(settings)
        self.jobs = JobStore(settings, self.redis)
        self.job_limits = JobLimits(settings, self.redis)
        self.chunks = Chunks(settings, self.redis, self.publisher)
        self.erasures = Erasures(settings, self.redis, self.publisher, self.jobs)
        self.chunk_sizer = ChunkSizer(self.redis, settings.batch_chunk_rows)
        self.idempotency_keys = IdempotencyKeys(settings)
        self.fleet = FleetStore(settings)
        self.fleets = FleetSnapshots(settings, self.redis)
        self.outcomes = OutcomeStore(settings, self.fleet)
        self.webhooks = WebhookStore(self.redis)
        self.outbox = Outbox(self.redis, self.publisher)
        self.attributes = AttributeStore(self.redis, self.cache.delete_many)
        self.dead_letters = DeadLetterLooks(self.redis)
        self.replays = ReplayRequests(self.redis)
        self.alerts = AlertStore(settings, self.redis)
        self.charger_data = ChargerData(
            self.redis, self.cache, self.outcomes, self.attributes, AlertRecords(settings, self.redis)
        )
        self.versions = Versions(settings, self.redis, self.publisher)
        self.drift = DriftReports(settings, self.redis)
        self.shadows = ShadowReports(settings, self.redis)
        self.admin_port = AdminPort(settings, self.health, SnapshotCollector(self.monitor))
        # For views that block. A quarter of the threads stays free for /health and for refusals.
        self.waiting_threads = Capacity("threads", settings.web_threads * 3 // 4)
        # Each download holds a chunk of results in memory.
        self.downloads = Capacity("downloads", settings.web_threads // 4)

    def health(self) -> Health:
        """The health for `/health`. Does not block.

        A process that can score single predictions by itself is ready whatever else is down.
        """
        found = self.monitor.health()
        if found.ready or not self.degraded.able:
            return found
        detail = "single predictions are scored in the web process, without history"
        return Health(True, False, {**found.checks, "degraded": ("down", detail)})

    def check_room(self) -> None:
        """Raise `InsufficientStorage` if Redis or the disk is nearly full. Does not block."""
        shortage = self.monitor.snapshot.shortage
        if shortage:
            raise InsufficientStorage(shortage)

    def close(self) -> None:
        """Stop the prediction client, the monitor and the admin port."""
        self.keys.close()
        self.limiter.close()
        self.admin_port.close()
        self.predictor.close()
        self.fleets.close()
        self.monitor.close()


def services() -> Services:
    """The services of the app that handles this request."""
    return cast(Services, current_app.extensions[EXTENSION])
