"""Create the two consumer services: scoring readings, and translating OCPP events into readings."""

from __future__ import annotations

import time
from dataclasses import replace

from consumers.kafka.clients import ocpp_topics, scoring_topics
from consumers.kafka.crash_journal import CrashJournal
from consumers.kafka.heartbeat import Heartbeat
from consumers.kafka.service import Service
from consumers.kafka.state_topic import load_state
from consumers.kafka.transactions import TransactionalPublisher
from consumers.ocpp.translation import Translation
from consumers.predictions.alert_recorder import AlertRecorder
from consumers.predictions.alerts import Alerts, Rules
from consumers.predictions.prediction_processor import Predicting
from consumers.predictions.score_requests import Scoring
from consumers.predictions.slowed_tenants import SlowedTenants
from consumers.replay.requested_replays import RequestedReplays
from settings import Settings
from tasks.client.rate_limiter import RateLimiter
from tasks.client.stream_predictor import StreamPredictor
from tasks.storage import redis_clock


def scoring_service(
    settings: Settings, *, transactional: type[TransactionalPublisher] = TransactionalPublisher
) -> Service:
    """Create the service that scores readings into predictions, alerts and dead letters."""
    source = StreamPredictor(settings)
    limiter = RateLimiter(settings)
    limiter.start()
    recorder = AlertRecorder(settings)
    recorder.start()
    replays = RequestedReplays(settings)
    replays.start()

    def close() -> None:
        replays.close()
        recorder.close()
        source.close()
        limiter.close()

    def make_processor(heartbeat: Heartbeat, _: CrashJournal) -> Predicting:
        scoring = Scoring(source, clock=time.monotonic)
        per_second = settings.tenant_limits.readings_per_second
        return Predicting(
            settings,
            scoring=scoring,
            slowed=SlowedTenants(limiter, per_second, clock=time.monotonic),
            alerts=_alerts(settings),
            recorder=recorder,
            heartbeat=heartbeat,
            now=redis_clock.moment,
        )

    return Service(
        settings,
        Heartbeat(settings),
        topics=scoring_topics(settings),
        make_processor=make_processor,
        close=close,
        transactional=transactional,
    )


def ocpp_service(
    settings: Settings, *, transactional: type[TransactionalPublisher] = TransactionalPublisher
) -> Service:
    """Create the service that translates OCPP events into readings and dead letters.

    It has its own consumer group, and scores nothing: it works without Redis and workers.
    """
    settings = replace(settings, kafka_group_id=f"{settings.kafka_group_id}-ocpp")
    topic = settings.kafka_topic_ocpp_state

    def make_processor(_: Heartbeat, journal: CrashJournal) -> Translation:
        return Translation(
            settings,
            load=lambda numbers: load_state(settings, topic, numbers, of="charge points"),
            journal=journal,
            now=redis_clock.moment,
        )

    return Service(
        settings,
        Heartbeat(settings, role="ocpp"),
        topics=ocpp_topics(settings),
        make_processor=make_processor,
        transactional=transactional,
    )


def _alerts(settings: Settings) -> Alerts:
    topic = settings.kafka_topic_alert_state
    return Alerts(
        Rules(settings.alert_threshold, settings.alert_clear_threshold, settings.alert_calm_readings),
        topics={
            "failure": settings.kafka_topic_failure_alerts,
            "anomaly": settings.kafka_topic_anomalies,
        },
        state_topic=topic,
        load=lambda numbers: load_state(settings, topic, numbers, of="open alerts"),
    )
