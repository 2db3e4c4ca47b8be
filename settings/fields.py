"""Fields of the settings. Durations end in `_s` (seconds), sizes in `_bytes`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from settings.smtp import Smtp

ROOT: Final = Path(__file__).resolve().parents[1]
_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICE: Final[str] = _PROJECT["name"]
VERSION: Final[str] = _PROJECT["version"]
ROLES: Final = ("predict", "read", "admin")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An accepted key and its roles."""

    key: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs for the maintenance schedule, in `currency`. A reading's `metadata` may override each.

    `visit`: one technician's visit. `parts_preventive`, `parts_failure`: parts for planned work and after a
    failure. `downtime_per_hour`: lost margin for each hour out of service. `emergency_factor`: cost of an
    unplanned visit relative to a planned one.
    """

    currency: str
    visit: float
    parts_preventive: float
    parts_failure: float
    downtime_per_hour: float
    emergency_factor: float
    planned_downtime_hours: float
    failure_downtime_hours: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a key, or of each tenant. 0 is no limit.

    `jobs`: open jobs. `job_bytes`: input and results of jobs in Redis, compressed, until the jobs expire.
    `rows`: rows of open jobs.
    """

    readings_per_second: int = 0
    jobs: int = 0
    job_bytes: int = 0
    rows: int = 0


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Durations end in `_s` (seconds), sizes in `_bytes`."""

    environment: str
    log_level: str
    log_format: str
    access_log: bool
    # web
    api_keys: tuple[ApiKey, ...]
    host: str
    port: int
    # PEM files; empty: no TLS
    tls_certfile: str
    tls_keyfile: str
    # proxies whose X-Forwarded-For is believed
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    web_processes: int
    web_threads: int
    web_max_connections: int
    web_max_requests_by_address: int  # 0: no limit
    web_idle_timeout_s: float
    web_body_timeout_s: float
    max_waiting: int
    sync_timeout_s: float
    degraded_scoring: bool
    max_body_bytes: int
    max_batch_bytes: int
    max_batch_rows: int
    csv_escape_formulas: bool
    # watermarks and limits of resources; 0 bytes is none
    min_free_disk_bytes: int
    max_redis_memory_share: float
    process_memory_bytes: int
    tenant_limits: Limits
    metrics_require_key: bool
    webhook_allow_private: bool
    smtp: Smtp
    # admin ports; None: `make run` chooses free ports
    admin_host: str
    admin_port: int | None
    # OpenTelemetry: whether its variables name a receiver, and the protocol; its SDK reads the rest
    traces: bool
    traces_protocol: str
    # Redis
    redis_url: str
    redis_cache_url: str
    redis_ssl_cafile: str
    redis_ssl_certfile: str
    redis_ssl_keyfile: str
    redis_embedded: bool
    redis_port: int
    cache_ttl_failure_s: int
    cache_ttl_maintenance_s: int
    cache_ttl_anomaly_s: int
    fleet_retention_days: int
    job_retention_s: int
    batch_chunk_rows: int
    # Kafka
    kafka_bootstrap_servers: str
    kafka_embedded: bool
    kafka_port: int
    kafka_security_protocol: str
    kafka_ssl_cafile: str
    kafka_ssl_certfile: str
    kafka_ssl_keyfile: str
    kafka_sasl_mechanism: str
    kafka_sasl_username: str
    kafka_sasl_password: str
    kafka_group_id: str
    kafka_member_id: str
    kafka_topic_metrics: str
    kafka_topic_predictions: str
    kafka_topic_dead_letters: str
    kafka_topic_failure_alerts: str
    kafka_topic_anomalies: str
    kafka_topic_alert_state: str
    kafka_topic_ocpp: str
    kafka_topic_ocpp_state: str
    ocpp_wanted: bool
    kafka_topic_partitions: int
    kafka_transactions: bool
    kafka_transactions_required: bool
    kafka_session_timeout_s: float
    kafka_max_poll_records: int
    kafka_max_record_bytes: int
    kafka_score_timeout_s: float
    alert_threshold: float
    alert_policy: str
    alert_visits_per_week: float
    alert_precision: float
    alert_confidence: float
    alert_clear_threshold: float
    alert_calm_readings: int
    # Flower
    flower_port: int
    flower_basic_auth: str
    # models
    model_dir: Path
    costs: Costs
    audit_log: Path
    # folder of all local data: embedded servers, metric files, logs
    state_dir: Path

    @property
    def production(self) -> bool:
        """Whether `ENVIRONMENT` is `production`."""
        return self.environment == "production"

    @property
    def kafka_servers(self) -> list[str]:
        """The brokers of `KAFKA_BOOTSTRAP_SERVERS`, each as `host:port`."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",")]
