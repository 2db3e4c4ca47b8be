"""Checks across settings, and of values with a valid type but no valid meaning."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from settings.fields import Settings
from settings.production import production_problems
from settings.smtp import smtp_problems

MIN_WEB_THREADS: Final = 4
MIN_PROCESS_MEMORY_BYTES: Final = 1_000_000_000
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_REDIS_DB: Final = re.compile(r"(/[0-9]*)?")
# Input topics, and the consumers' compacted state topics. They must not be shared with other topics.
TOPICS_ALONE: Final = (
    "KAFKA_TOPIC_METRICS",
    "KAFKA_TOPIC_OCPP",
    "KAFKA_TOPIC_ALERT_STATE",
    "KAFKA_TOPIC_OCPP_STATE",
)


def contradictions(settings: Settings) -> list[str]:
    """Return one line for each unusable or contradictory setting. Reads the file system."""
    problems = []
    if settings.web_threads < MIN_WEB_THREADS:
        problems.append(
            f"WEB_THREADS: must be at least {MIN_WEB_THREADS}, so that there is one for /health while "
            "three quarters of them wait"
        )
    if 0 < settings.process_memory_bytes < MIN_PROCESS_MEMORY_BYTES:
        problems.append(
            f"ML_PROCESS_MEMORY_BYTES: must be 0 for none, or at least {MIN_PROCESS_MEMORY_BYTES}, which a "
            "process needs for itself"
        )
    for name, url in (("REDIS_URL", settings.redis_url), ("REDIS_CACHE_URL", settings.redis_cache_url)):
        if not _is_redis_url(url):
            problems.append(f"{name}: must look like redis://[user:password@]host:port/db, or rediss://")
        elif urlsplit(url).query:  # not repeated: it may hold a password
            problems.append(f"{name}: must have no parameters; certificates are REDIS_SSL_CAFILE and others")
    if settings.alert_clear_threshold > settings.alert_threshold:
        problems.append(
            f"ML_ALERT_CLEAR_THRESHOLD: must not be above ML_ALERT_THRESHOLD ({settings.alert_threshold:g})"
        )
    if settings.alert_policy == "budget" and not settings.alert_visits_per_week:
        problems.append(
            "ML_ALERT_VISITS_PER_WEEK: must be more than 0 with ML_ALERT_POLICY=budget, the number of visits "
            "that can be made in a week"
        )
    for server in settings.kafka_servers:
        host, _, port = server.rpartition(":")
        if "@" in server:  # not repeated: it may hold a password
            problems.append("KAFKA_BOOTSTRAP_SERVERS: must be host:port; a password is KAFKA_SASL_PASSWORD")
        elif not host or not port.isdigit():
            problems.append(f"KAFKA_BOOTSTRAP_SERVERS: {server!r} must be host:port")
    problems += _topic_problems(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        for name, value in (
            ("KAFKA_SASL_USERNAME", settings.kafka_sasl_username),
            ("KAFKA_SASL_PASSWORD", settings.kafka_sasl_password),
        ):
            if not value:
                problems.append(f"{name}: must be set with {settings.kafka_security_protocol}")
    for name, file in (
        ("REDIS_SSL_CAFILE", settings.redis_ssl_cafile),
        ("REDIS_SSL_CERTFILE", settings.redis_ssl_certfile),
        ("REDIS_SSL_KEYFILE", settings.redis_ssl_keyfile),
        ("KAFKA_SSL_CAFILE", settings.kafka_ssl_cafile),
        ("KAFKA_SSL_CERTFILE", settings.kafka_ssl_certfile),
        ("KAFKA_SSL_KEYFILE", settings.kafka_ssl_keyfile),
    ):
        if file and not Path(file).is_file():
            problems.append(f"{name}: {file} is not a file")
    for pair in (("TLS_CERTFILE", "TLS_KEYFILE"), ("REDIS_SSL_CERTFILE", "REDIS_SSL_KEYFILE")):
        missing = [name for name in pair if not getattr(settings, name.lower())]
        if len(missing) == 1:
            (present,) = {*pair} - {*missing}
            problems.append(f"{missing[0]}: must be set with {present}")
    schemes = {urlsplit(url).scheme for url in (settings.redis_url, settings.redis_cache_url)}
    if settings.redis_ssl_cafile + settings.redis_ssl_certfile and "rediss" not in schemes:
        problems.append("REDIS_URL: must begin with rediss://, because REDIS_SSL_CAFILE or others are set")
    if settings.flower_basic_auth and not re.fullmatch(r"[^:]+:.+", settings.flower_basic_auth):
        problems.append("FLOWER_BASIC_AUTH: must be user:password")
    if settings.traces and settings.traces_protocol != "http/protobuf":
        problems.append("OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf; gRPC is not built in")
    problems += smtp_problems(settings.smtp)
    if not settings.model_dir.is_dir():
        problems.append(f"MODEL_DIR: {settings.model_dir} is not a folder")
    if settings.production:
        problems += production_problems(settings)
    elif not settings.api_keys:
        problems.append("ML_SERVICE_API_KEY: must be set (`make run` writes a random one into .env)")
    return problems


def _is_redis_url(url: str) -> bool:
    """Whether the URL is usable for redis-py and Celery.

    Unix sockets are refused: Celery has another scheme for them and no keep-alive, and they save nothing
    here.
    """
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("redis", "rediss")
            and bool(parts.hostname)
            and parts.port != 0
            and _REDIS_DB.fullmatch(parts.path) is not None
        )
    except ValueError:  # an invalid port
        return False


def _topic_problems(settings: Settings) -> list[str]:
    """Return one line for each invalid or shared topic name.

    A consumer that writes to its own input topic never ends. A compacted topic keeps one record for each key.
    """
    topics = {
        name.upper(): str(getattr(settings, name))
        for name in (spec.name for spec in dataclasses.fields(settings))
        if name.startswith("kafka_topic_") and name != "kafka_topic_partitions"
    }
    problems = [
        f"{name}: must be 1 to 249 characters of A-Z a-z 0-9 . _ -"
        for name, topic in topics.items()
        if not _TOPIC.fullmatch(topic) or topic in (".", "..")
    ]
    for alone in TOPICS_ALONE:
        problems += [
            f"{name}: must be another topic than {alone}"
            for name, topic in topics.items()
            if topic == topics[alone] and name != alone and (name not in TOPICS_ALONE or alone < name)
        ]
    return problems
