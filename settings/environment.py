"""The only reader of the environment: name, default and bounds of each setting.

`.env.example` lists every name with its unit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from dotenv import dotenv_values
from environs import Env
from marshmallow import validate

from errors import SettingsInvalid
from settings.checks import contradictions
from settings.fields import ROOT, Costs, Limits, Settings
from settings.redis_tls import with_tls
from settings.secret_files import SECRETS, read_secret_files
from settings.smtp import read_smtp
from settings.unknown_names import unknown_names
from settings.value_parsers import api_keys_of, file_of, networks_of, path_of

MODEL_DIR: Final = "models/versions"
UNSTATED: Final = None  # the default follows from other settings


def read_settings(*, dotenv: Path | None = ROOT / ".env") -> Settings:
    """Read and check the process environment and `dotenv`. The process environment takes precedence.

    Raises `SettingsInvalid` with one line for each problem.
    """
    return _read(_environment(dotenv))


def model_folder(*, dotenv: Path | None = ROOT / ".env") -> Path:
    """Return `MODEL_DIR` alone, for commands that need no other setting. The folder may be missing."""
    in_file = dotenv_values(dotenv) if dotenv is not None else {}
    return path_of(os.environ.get("MODEL_DIR") or in_file.get("MODEL_DIR") or MODEL_DIR)


def load_or_exit() -> Settings:
    """Read the settings at process start. Prints one line for each problem and exits with code 2.

    Names that are probably misspelt settings are printed as warnings, once in a process.
    """
    env = _environment(ROOT / ".env")
    try:
        settings = _read(env)
    except SettingsInvalid as error:
        _exit(error.problems)
    for line in unknown_names(os.environ, {*env._fields, *(f"{name}_FILE" for name in SECRETS)}):
        _warn(line)
    return settings


@cache
def _warn(line: str) -> None:
    sys.stderr.write(f"Warning: {line}\n")


def _exit(problems: list[str]) -> NoReturn:
    for problem in problems:
        sys.stderr.write(f"Wrong setting: {problem}\n")
    raise SystemExit(2)


class _CollectingEnv(Env):
    """`Env` that collects all problems instead of stopping at the first."""

    def __init__(self) -> None:
        super().__init__(eager=False)
        self.problems: list[str] = []


def _environment(dotenv: Path | None) -> _CollectingEnv:
    env = _CollectingEnv()
    if dotenv is not None and dotenv.is_file():
        env.read_env(str(dotenv), recurse=False)
    env.problems += read_secret_files()
    return env


def _positive(name_of_unit: str) -> validate.Range:
    return validate.Range(min=0, min_inclusive=False, error=f"must be more than 0 {name_of_unit}")


_PORT: Final = validate.Range(min=1, max=65535, error="must be a port, 1 to 65535")
# make run uses the five ports after it too.
_ADMIN_PORT: Final = validate.Range(min=0, max=65530, error="must be a port, 1 to 65530, or 0 for none")
_CONNECTIONS: Final = validate.Range(min=128, error="must be a whole number of at least 128")
_IDLE_S: Final = validate.Range(min=1, max=60, error="must be 1 to 60 seconds")  # granian takes no more
_COUNT: Final = validate.Range(min=1, error="must be a whole number of at least 1")
_NOT_NEGATIVE_COUNT: Final = validate.Range(min=0, error="must be a whole number of 0 or more")
# State records of the consumers have up to 900,000 bytes.
_RECORD_BYTES: Final = validate.Range(min=1_000_000, error="must be at least 1000000 bytes")
_LIMIT: Final = validate.Range(min=0, error="must be a whole number; 0 is no limit")
_AT_LEAST_ONE: Final = validate.Range(min=1, error="must be 1 or more")
_NOT_NEGATIVE: Final = validate.Range(min=0, error="must be 0 or more")
_MEMBER_ID: Final = validate.Regexp(
    r"^[A-Za-z0-9._-]{0,100}$", error="must be 1 to 100 characters of A-Z a-z 0-9 . _ -"
)
_WITHIN_0_AND_1: Final = validate.Range(
    min=0, max=1, min_inclusive=False, max_inclusive=False, error="must be more than 0 and less than 1"
)
_SHARE: Final = validate.Range(min=0, max=1, error="must be between 0 and 1")
# Those of OpenTelemetry's SDK.
_SAMPLERS: Final = [
    prefix + name for prefix in ("parentbased_", "") for name in ("always_on", "always_off", "traceidratio")
]


def _read(env: _CollectingEnv) -> Settings:
    redis_port = env.int("REDIS_PORT", 6379, validate=_PORT)
    kafka_port = env.int("KAFKA_PORT", 9092, validate=_PORT)
    redis_url = env.str("REDIS_URL", "")
    kafka_servers = env.str("KAFKA_BOOTSTRAP_SERVERS", "")
    ocpp_topic = env.str("KAFKA_TOPIC_OCPP", "")
    alert_threshold = (
        env.float("ML_ALERT_THRESHOLD", 0.7, validate=_SHARE) or 0.0
    )  # None if it is not a number
    transactions = env.bool("KAFKA_TRANSACTIONS", UNSTATED)
    raw: dict[str, Any] = {
        "environment": env.str(
            "ENVIRONMENT",
            "development",
            validate=validate.OneOf(["development", "test", "production"], error="must be one of: {choices}"),
        ),
        "log_level": env.str(
            "LOG_LEVEL",
            "INFO",
            validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"], error="must be one of: {choices}"),
        ),
        "log_format": env.str(
            "LOG_FORMAT",
            "auto",
            validate=validate.OneOf(["auto", "json", "text"], error="must be one of: {choices}"),
        ),
        "access_log": env.bool("ACCESS_LOG", False),
        "host": env.str("HOST", "127.0.0.1"),
        "port": env.int("PORT", 8000, validate=_PORT),
        "tls_certfile": file_of(env.str("TLS_CERTFILE", "")),
        "tls_keyfile": file_of(env.str("TLS_KEYFILE", "")),
        "trusted_proxies": networks_of("TRUSTED_PROXIES", env.str("TRUSTED_PROXIES", ""), env.problems),
        "web_processes": env.int("WEB_PROCESSES", 1, validate=_COUNT),
        "web_threads": env.int("WEB_THREADS", 32, validate=_COUNT),
        "web_max_connections": env.int("WEB_MAX_CONNECTIONS", 4096, validate=_CONNECTIONS),
        "web_max_requests_by_address": env.int(
            "WEB_MAX_REQUESTS_BY_ADDRESS", 0, validate=_NOT_NEGATIVE_COUNT
        ),
        "web_idle_timeout_s": env.float("WEB_IDLE_TIMEOUT", 30.0, validate=_IDLE_S),
        "web_body_timeout_s": env.float("WEB_BODY_TIMEOUT", 30.0, validate=_positive("seconds")),
        "max_waiting": env.int("ML_MAX_WAITING", 4096, validate=_COUNT),
        "sync_timeout_s": env.float("ML_SYNC_TIMEOUT", 3.0, validate=_positive("seconds")),
        "degraded_scoring": env.bool("ML_DEGRADED_SCORING", True),
        "max_body_bytes": env.int("ML_MAX_BODY_BYTES", 1_000_000, validate=_COUNT),
        "max_batch_bytes": env.int("ML_MAX_BATCH_BYTES", 512_000_000, validate=_COUNT),
        "max_batch_rows": env.int("ML_MAX_BATCH_ROWS", 1_000_000, validate=_COUNT),
        "csv_escape_formulas": env.bool("ML_CSV_ESCAPE_FORMULAS", False),
        "min_free_disk_bytes": env.int("ML_MIN_FREE_DISK_BYTES", 512_000_000, validate=_NOT_NEGATIVE),
        "max_redis_memory_share": env.float("ML_MAX_REDIS_MEMORY_SHARE", 0.9, validate=_SHARE),
        "process_memory_bytes": env.int("ML_PROCESS_MEMORY_BYTES", 3_000_000_000, validate=_NOT_NEGATIVE),
        "tenant_limits": Limits(
            readings_per_second=env.int("ML_TENANT_READINGS_PER_SECOND", 0, validate=_LIMIT),
            jobs=env.int("ML_TENANT_JOBS", 0, validate=_LIMIT),
            job_bytes=env.int("ML_TENANT_JOB_BYTES", 0, validate=_LIMIT),
            rows=env.int("ML_TENANT_ROWS", 0, validate=_LIMIT),
        ),
        "metrics_require_key": env.bool("METRICS_REQUIRE_KEY", False),
        "webhook_allow_private": env.bool("WEBHOOK_ALLOW_PRIVATE", False),
        "smtp": read_smtp(env),
        "admin_host": env.str("ADMIN_HOST", "127.0.0.1"),
        "admin_port": env.int("ADMIN_PORT", UNSTATED, validate=_ADMIN_PORT),
        "traces": _traces_wanted(env),
        "traces_protocol": env.str("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        "redis_url": redis_url or f"redis://127.0.0.1:{redis_port}/0",
        "redis_ssl_cafile": file_of(env.str("REDIS_SSL_CAFILE", "")),
        "redis_ssl_certfile": file_of(env.str("REDIS_SSL_CERTFILE", "")),
        "redis_ssl_keyfile": file_of(env.str("REDIS_SSL_KEYFILE", "")),
        "redis_embedded": not redis_url,
        "redis_port": redis_port,
        "cache_ttl_failure_s": env.int("ML_CACHE_TTL_FAILURE", 3600, validate=_COUNT),
        "cache_ttl_maintenance_s": env.int("ML_CACHE_TTL_MAINTENANCE", 1800, validate=_COUNT),
        "cache_ttl_anomaly_s": env.int("ML_CACHE_TTL_ANOMALY", 300, validate=_COUNT),
        "fleet_retention_days": env.int("ML_FLEET_RETENTION_DAYS", 30, validate=_COUNT),
        "job_retention_s": env.int("ML_JOB_RETENTION", 86_400, validate=_COUNT),
        "batch_chunk_rows": env.int("ML_BATCH_CHUNK_ROWS", 4096, validate=_COUNT),
        "kafka_bootstrap_servers": kafka_servers or f"127.0.0.1:{kafka_port}",
        "kafka_embedded": not kafka_servers,
        "kafka_port": kafka_port,
        "kafka_security_protocol": env.str(
            "KAFKA_SECURITY_PROTOCOL",
            "PLAINTEXT",
            validate=validate.OneOf(
                ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], error="must be one of: {choices}"
            ),
        ),
        "kafka_ssl_cafile": env.str("KAFKA_SSL_CAFILE", ""),
        "kafka_ssl_certfile": env.str("KAFKA_SSL_CERTFILE", ""),
        "kafka_ssl_keyfile": env.str("KAFKA_SSL_KEYFILE", ""),
        "kafka_sasl_mechanism": env.str(
            "KAFKA_SASL_MECHANISM",
            "SCRAM-SHA-512",
            validate=validate.OneOf(
                ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], error="must be one of: {choices}"
            ),
        ),
        "kafka_sasl_username": env.str("KAFKA_SASL_USERNAME", ""),
        "kafka_sasl_password": env.str("KAFKA_SASL_PASSWORD", ""),
        "kafka_group_id": env.str("KAFKA_GROUP_ID", "evzone-ml"),
        "kafka_member_id": env.str("KAFKA_MEMBER_ID", "", validate=_MEMBER_ID),
        "kafka_topic_metrics": env.str("KAFKA_TOPIC_METRICS", "charger.metrics"),
        "kafka_topic_predictions": env.str("KAFKA_TOPIC_PREDICTIONS", "ml.predictions"),
        "kafka_topic_dead_letters": env.str("KAFKA_TOPIC_DEAD_LETTERS", "charger.metrics.dlq"),
        "kafka_topic_failure_alerts": env.str("KAFKA_TOPIC_FAILURE_ALERTS", "charger.failure_alerts"),
        "kafka_topic_anomalies": env.str("KAFKA_TOPIC_ANOMALIES", "charger.anomalies"),
        "kafka_topic_alert_state": env.str("KAFKA_TOPIC_ALERT_STATE", "ml.alert_state"),
        "kafka_topic_ocpp": ocpp_topic or "ocpp.events",
        "kafka_topic_ocpp_state": env.str("KAFKA_TOPIC_OCPP_STATE", "ml.ocpp_state"),
        "ocpp_wanted": bool(ocpp_topic),
        "kafka_topic_partitions": env.int("KAFKA_TOPIC_PARTITIONS", 6, validate=_COUNT),
        # The embedded broker accepts transactions but does not isolate them.
        "kafka_transactions": transactions if transactions is not None else bool(kafka_servers),
        # If set explicitly, a broker without transactions is refused. Else delivery is then at least once.
        "kafka_transactions_required": bool(transactions),
        "kafka_session_timeout_s": env.float("KAFKA_SESSION_TIMEOUT", 12.0, validate=_positive("seconds")),
        "kafka_max_poll_records": env.int("KAFKA_MAX_POLL_RECORDS", 500, validate=_COUNT),
        "kafka_max_record_bytes": env.int("KAFKA_MAX_RECORD_BYTES", 1_048_576, validate=_RECORD_BYTES),
        "kafka_score_timeout_s": env.float("KAFKA_SCORE_TIMEOUT", 30.0, validate=_positive("seconds")),
        "alert_threshold": alert_threshold,
        "alert_policy": env.str(
            "ML_ALERT_POLICY",
            "threshold",
            validate=validate.OneOf(["threshold", "budget", "precision"], error="must be one of: {choices}"),
        ),
        "alert_visits_per_week": env.float("ML_ALERT_VISITS_PER_WEEK", 0.0, validate=_NOT_NEGATIVE),
        "alert_precision": env.float("ML_ALERT_PRECISION", 0.5, validate=_WITHIN_0_AND_1),
        "alert_confidence": env.float("ML_ALERT_CONFIDENCE", 0.9, validate=_WITHIN_0_AND_1),
        "alert_clear_threshold": env.float(
            "ML_ALERT_CLEAR_THRESHOLD",
            round(max(alert_threshold - 0.1, alert_threshold / 2), 4),
            validate=_SHARE,
        ),
        "alert_calm_readings": env.int("ML_ALERT_CALM_READINGS", 3, validate=_COUNT),
        "flower_port": env.int("FLOWER_PORT", 5555, validate=_PORT),
        "flower_basic_auth": env.str("FLOWER_BASIC_AUTH", ""),
        "model_dir": path_of(env.str("MODEL_DIR", MODEL_DIR)),
        "state_dir": path_of(env.str("STATE_DIR", "var")),
    }
    raw["audit_log"] = path_of(env.str("AUDIT_LOG", "") or str(raw["state_dir"] / "log" / "audit.jsonl"))
    raw["redis_cache_url"] = env.str("REDIS_CACHE_URL", "") or raw["redis_url"]
    raw["costs"] = Costs(
        currency=env.str(
            "COST_CURRENCY",
            "USD",
            validate=validate.Regexp(r"^[A-Z]{3}$", error="must be an ISO 4217 code, like USD"),
        ),
        visit=env.float("COST_VISIT", 450.0, validate=_NOT_NEGATIVE),
        parts_preventive=env.float("COST_PARTS_PREVENTIVE", 120.0, validate=_NOT_NEGATIVE),
        parts_failure=env.float("COST_PARTS_FAILURE", 900.0, validate=_NOT_NEGATIVE),
        downtime_per_hour=env.float("COST_DOWNTIME_PER_HOUR", 4.8, validate=_NOT_NEGATIVE),
        emergency_factor=env.float("COST_EMERGENCY_FACTOR", 1.5, validate=_AT_LEAST_ONE),
        planned_downtime_hours=env.float("PLANNED_DOWNTIME_HOURS", 2.0, validate=_NOT_NEGATIVE),
        failure_downtime_hours=env.float("FAILURE_DOWNTIME_HOURS", 240.0, validate=_NOT_NEGATIVE),
    )
    raw["api_keys"] = api_keys_of(env.str("ML_SERVICE_API_KEY", ""), env.problems)
    problems = [*env.problems, *_lines(env)]
    if problems:  # the cross-checks below need values of the right type
        raise SettingsInvalid(problems)
    settings = Settings(**raw)
    problems = contradictions(settings)
    if problems:
        raise SettingsInvalid(problems)
    return replace(
        settings,
        redis_url=with_tls(settings.redis_url, settings),
        redis_cache_url=with_tls(settings.redis_cache_url, settings),
    )


def _traces_wanted(env: Env) -> bool:
    """Whether OpenTelemetry's variables ask for traces. Its SDK would export to localhost by default.

    The SDK reads the variables itself; it logs a wrong sampler and uses another one. Here that is refused.
    """
    endpoint = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    own_endpoint = env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    exporter = env.str(
        "OTEL_TRACES_EXPORTER",
        "",
        validate=validate.OneOf(["", "otlp", "none"], error="must be one of: otlp, none"),
    )
    is_disabled = env.bool("OTEL_SDK_DISABLED", False)
    env.str(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        validate=validate.OneOf(_SAMPLERS, error="must be one of: {choices}"),
    )
    env.float("OTEL_TRACES_SAMPLER_ARG", 1.0, validate=_SHARE)
    return bool(exporter or endpoint or own_endpoint) and exporter != "none" and not is_disabled


def _lines(env: Env) -> list[str]:
    """Return one line for each unreadable value."""
    failures: Mapping[str, list[Any]] = env._errors  # environs' seal() joins these into one string
    return [
        f"{name}: {str(message)[0].lower()}{str(message)[1:].rstrip('.')}"
        for name, messages in failures.items()
        for message in messages
    ]
