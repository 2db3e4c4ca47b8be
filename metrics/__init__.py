"""All Prometheus metrics of the service, declared once, with unit and labels.

`docs/metrics.md` is generated from these declarations (`python -m metrics.reference`). Labels are bounded:
never a charger, tenant or process id. Gauges have a mode that begins with `live`, so that the values of ended
processes can be removed (`metrics/folder.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from metrics.folder import use_own_folder

use_own_folder()

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

HTTP_REQUESTS = Counter("ml_http_requests", "HTTP answers.", ["endpoint", "method", "status"])
HTTP_SECONDS = Histogram("ml_http_request_seconds", "Time to answer, seconds.", ["endpoint"], buckets=SECONDS)

PREDICTIONS = Counter("ml_predictions", "Verdicts given by workers.", ["kind", "door"])
PREDICTION_ERRORS = Counter("ml_prediction_errors", "Readings without a verdict, by error code.", ["code"])
REQUESTS_SHED = Counter("ml_requests_shed", "Requests refused because a capacity is used up.", ["capacity"])
REQUESTS_LIMITED = Counter(
    "ml_requests_limited", "Requests refused because of a limit of their key, tenant or address.", ["limit"]
)
WRONG_KEYS = Counter(
    "ml_wrong_keys",
    "Wrong API keys: refused with 401, or slowed because their address sent many.",
    ["result"],
)
REQUESTS_DEGRADED = Counter(
    "ml_requests_degraded", "Predictions without history, scored by the web process.", ["reason"]
)
ADMIN_ACTIONS = Counter("ml_admin_actions", "Requests of administrators that were carried out.", ["action"])
WAITING = Gauge("ml_gate_waiting", "Requests that wait for a verdict now.", multiprocess_mode="livesum")
BATCH_READINGS = Histogram(
    "ml_gate_batch_readings", "Readings that travel in one task.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
QUEUE_SECONDS = Histogram(
    "ml_queue_wait_seconds", "Time from sending a task to its start, seconds.", ["queue"], buckets=SECONDS
)
SCORE_SECONDS = Histogram(
    "ml_score_seconds", "Time to score one task's readings, seconds.", ["kind"], buckets=SECONDS
)
SCORES = Histogram(
    "ml_scores",
    "Probability of failure within 30 days, or anomaly score / 100, of one reading of each task.",
    ["kind"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
MODEL_PROCESSES = Gauge(
    "ml_model_processes",
    "Worker processes that serve this version.",
    ["model", "version"],
    multiprocess_mode="livesum",
)
ALERT_THRESHOLD = Gauge(
    "ml_alert_threshold_probability",
    "Failure probability from which an alert opens; 2 if no threshold keeps the promise of the policy.",
    ["policy"],
    multiprocess_mode="livemostrecent",
)
HEARTBEAT_TIME = Gauge(
    "ml_heartbeat_timestamp_seconds",
    "Oldest of the processes' last heartbeats that reached Redis, epoch seconds.",
    ["program"],
    multiprocess_mode="livemin",
)
CLOCK_OFFSET = Gauge(
    "ml_clock_offset_seconds",
    "This host's clock minus the Redis server's, seconds.",
    multiprocess_mode="livemostrecent",
)
CACHE_LOOKUPS = Counter("ml_cache_lookups", "Cache look-ups.", ["kind", "result"])
CACHE_ERRORS = Counter("ml_cache_errors", "Cache operations given up.")
JOBS = Counter("ml_jobs", "Batch jobs by what became of them.", ["status"])
JOB_ROWS = Counter("ml_job_rows", "Rows of batch jobs.", ["result"])
OUTCOMES = Counter(
    "ml_outcomes", "Outcomes reported, by whether they had been called.", ["outcome", "called"]
)
OUTCOME_CHANGES = Counter(
    "ml_outcome_changes", "Outcomes corrected or deleted after their report.", ["change"]
)
EXPIRED_TASKS = Counter("ml_expired_tasks", "Tasks removed after the deadline of their last caller.")
LOST_TASKS = Counter("ml_lost_tasks", "Tasks of single predictions sent again because their process died.")
REPEATED_TASKS = Counter(
    "ml_repeated_tasks", "Tasks sent or started again because the first attempt did not finish.", ["queue"]
)
REFUSED_TASKS = Counter(
    "ml_refused_tasks", "Messages of the task queues that were no task of ours.", ["reason"]
)
SHADOW_READINGS = Counter(
    "ml_shadow_readings", "Readings for a shadow version, by what became of them.", ["model", "result"]
)

UNEXPECTED_ERRORS = Counter(
    "ml_unexpected_errors",
    "Errors that no code expected, by the unit that each was kept to: request, row, record, event.",
    ["unit"],
)

STREAM_RECORDS = Counter("ml_stream_records", "Kafka records by outcome.", ["outcome"])
STREAM_DEAD_LETTERS = Counter("ml_stream_dead_letters", "Records sent to the dead-letter topic.", ["code"])
ALERT_RECORDS = Counter("ml_alert_records", "Records of alerts written to Redis, by change.", ["change"])
ALERT_RECORDS_DROPPED = Counter(
    "ml_alert_records_dropped",
    "Records of alerts not written (open, queue), or removed before their time (closed).",
    ["reason"],
)
ALERTS_OPEN = Gauge(
    "ml_alerts_open",
    "Open alerts of the partitions that the consumer has, by kind.",
    ["kind"],
    multiprocess_mode="livesum",
)
ALERT_ACTIONS = Counter("ml_alert_actions", "Changes of alerts by people, by action.", ["action"])
STREAM_PAUSED_SECONDS = Counter("ml_stream_paused_seconds", "Time without progress, seconds.", ["reason"])
STREAM_SLOWED_SECONDS = Counter(
    "ml_stream_slowed_seconds", "Time in which readings of tenants over their limit waited, seconds."
)
STREAM_LAG = Gauge(
    "ml_stream_lag_records", "Records not yet consumed.", ["topic"], multiprocess_mode="livesum"
)
STREAM_ROUND_SECONDS = Histogram(
    "ml_stream_round_seconds",
    "Time from the arrival of the oldest record of a batch to its commit, seconds.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
)
WEBHOOK_ATTEMPTS = Counter(
    "ml_webhook_attempts", "Attempts to deliver an event to a webhook, by their result.", ["result"]
)
EMAIL_ATTEMPTS = Counter("ml_email_attempts", "Attempts to send an e-mail, by their result.", ["result"])
OCPP_EVENTS = Counter(
    "ml_ocpp_events", "OCPP events by outcome: a reading, a dead letter, or why there is none.", ["outcome"]
)


@dataclass(frozen=True, slots=True)
class Looked:
    """A gauge that the web process computes at each scrape.

    Its value covers the whole service and is the same on every host: aggregate with `max`, not `sum`.
    """

    name: str
    documentation: str
    labels: tuple[str, ...]

    def family(self) -> GaugeMetricFamily:
        """Return an empty metric family for one scrape."""
        return GaugeMetricFamily(self.name, self.documentation, labels=self.labels)


QUEUE_TASKS: Final = Looked("ml_queue_tasks", "Tasks waiting in the queue.", ("queue",))
QUEUE_OLDEST: Final = Looked(
    "ml_queue_oldest_task_seconds", "Age of the oldest task waiting in the queue, seconds.", ("queue",)
)
REDIS_USED: Final = Looked(
    "ml_redis_used_bytes", "Memory that the Redis server uses (its used_memory), bytes.", ("server",)
)
REDIS_LIMIT: Final = Looked(
    "ml_redis_limit_bytes", "The Redis server's maxmemory, bytes. Absent without a limit.", ("server",)
)
REDIS_KIND: Final = Looked(
    "ml_redis_memory_bytes", "Estimated memory of the service's keys by kind, bytes.", ("server", "kind")
)
UP: Final = Looked("ml_up", "1 if this part is there, by the last look.", ("part",))
WEBHOOK_EVENTS: Final = Looked(
    "ml_webhook_events",
    "Events of the present webhooks: in the outbox or parked now; delivered or dropped since each was added.",
    ("state",),
)
WEBHOOK_OLDEST: Final = Looked(
    "ml_webhook_oldest_event_seconds", "Age of the oldest event in the outbox, seconds.", ()
)
DRIFT_READINGS: Final = Looked(
    "ml_drift_readings", "Readings sampled for drift in the last 24 hours.", ("model",)
)
DRIFT_PSI: Final = Looked(
    "ml_drift_psi",
    "Population stability index of a feature, last 24 hours against training (no unit).",
    ("model", "feature"),
)
DRIFT_FEATURES: Final = Looked(
    "ml_drift_features", "Features by what their drift was judged to be.", ("model", "status")
)
DRIFT_SCORE_PSI: Final = Looked(
    "ml_drift_score_psi",
    "Population stability index of the scores, last 24 hours against training (no unit; 0.25: drifted).",
    ("model",),
)
