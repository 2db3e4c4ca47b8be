"""Unit and meaning of every setting, for `settings/page.py`. The order is that of `docs/settings.md`."""

from __future__ import annotations

from typing import Final

# Defaults that follow from other settings, or from where the service runs.
DEFAULTS_IN_WORDS: Final = {
    "ML_SERVICE_URL": "`http://localhost:PORT`, `https://` with `TLS_CERTFILE`",
    "AUDIT_LOG": "`STATE_DIR/log/audit.jsonl`",
    "ADMIN_PORT": "9464, or the next free one",
    "REDIS_URL": "an embedded Valkey",
    "REDIS_CACHE_URL": "`REDIS_URL`",
    "KAFKA_BOOTSTRAP_SERVERS": "an embedded broker",
    "KAFKA_TOPIC_OCPP": "`ocpp.events`, not started by `make run`",
    "KAFKA_MEMBER_ID": "the host name and a random part, kept in `STATE_DIR`",
    "KAFKA_TRANSACTIONS": "see the meaning",
    "SMTP_PORT": "587, 465 or 25, by `SMTP_TLS`",
    "ML_ALERT_CLEAR_THRESHOLD": "0.1 below `ML_ALERT_THRESHOLD`, at least half of it",
}

# Section -> setting -> (unit or form, meaning).
SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "General": {
        "ENVIRONMENT": (
            "",
            "`production` refuses missing, short and example keys, Flower without a login, Redis and Kafka "
            "without a login on another host, and an API on a network without TLS ([list]"
            "(operations.md#production)).",
        ),
        "LOG_LEVEL": ("", "The least severe level that is logged."),
        "LOG_FORMAT": (
            "",
            "`json` writes one object a line. `auto` means text where standard error is a terminal, JSON "
            "elsewhere. `make run` writes text into `var/log` unless this is `json`.",
        ),
        "ACCESS_LOG": ("", "Whether each HTTP answer is logged in one line."),
        "AUDIT_LOG": (
            "file",
            "What administrators did: one JSON object a line, appended. The file is not rotated here.",
        ),
        "STATE_DIR": (
            "folder",
            "Data of the embedded Redis, logs, metric files, and the journal by which a consumer "
            "recognises a record that ends its process. Keep the folder between restarts. A relative path "
            "starts at the project's folder.",
        ),
    },
    "Web": {
        "ML_SERVICE_API_KEY": (
            "`KEY[:ROLE],…`",
            "First keys, for all tenants. Roles are `predict`, `read` and `admin`; a key without a role has "
            "all three. A key may be named several times with different roles. Required. "
            "`python -m web.keys` makes others.",
        ),
        "ML_SERVICE_URL": ("URL", "Where `evzone-ml batch` finds the service."),
        "HOST": ("address", "Where the HTTP server listens. `0.0.0.0` answers other hosts too."),
        "PORT": ("port", "Port of the HTTP server."),
        "TLS_CERTFILE": (
            "PEM file",
            "Certificate of the API, with those of the authorities between. With it the API speaks HTTPS. A "
            "relative path starts at the project's folder.",
        ),
        "TLS_KEYFILE": ("PEM file", "Its key, in PKCS#8 and not encrypted."),
        "TRUSTED_PROXIES": (
            "networks, like `10.0.0.0/8,::1`",
            "Reverse proxies in front of the API. Only their `X-Forwarded-For` is believed.",
        ),
        "WEB_PROCESSES": ("processes", "Web processes."),
        "WEB_THREADS": (
            "threads",
            "Threads of each web process. They serve everything but single predictions, which hold none. "
            "With `wsgi.py` they serve those too, and the number must not exceed the server's own "
            "(`gunicorn.conf.py` passes it on). Three quarters may wait or stream; a quarter may send "
            "downloads.",
        ),
        "WEB_MAX_CONNECTIONS": (
            "connections",
            "Open connections of each web process of `make run`. More wait until one ends.",
        ),
        "WEB_MAX_REQUESTS_BY_ADDRESS": (
            "requests",
            "Requests that one address may have open at once in a web process: also those whose body has not "
            "come, that wait, and streams. More get 429. 0 is no limit. Behind a proxy set `TRUSTED_PROXIES` "
            "too, or all callers share the proxy's address. An IPv6 network (`/64`) counts as one address.",
        ),
        "WEB_IDLE_TIMEOUT": (
            "seconds",
            "A connection that sends no whole request header for this long is closed: silent, slow and idle "
            "ones. A proxy must close its idle connections earlier.",
        ),
        "WEB_BODY_TIMEOUT": (
            "seconds",
            "Time for a body of up to 64 kB after its header, and a second more for each kilobyte. A larger "
            "body is given up when nothing of it comes for this long.",
        ),
        "ML_MAX_WAITING": (
            "requests",
            "Single predictions of one process that may wait at the same time. Fewer may wait where workers "
            "are slow. Further ones get 503 unless they are cached. Each tenant beside others has its share.",
        ),
        "ML_SYNC_TIMEOUT": (
            "seconds",
            "Time until a single prediction is given up with 504. It must be below the caller's own limit.",
        ),
        "ML_DEGRADED_SCORING": (
            "",
            "Whether a web process scores single predictions itself while no worker can: without history, "
            "marked `degraded`. It then holds the models in memory.",
        ),
        "ML_MAX_BODY_BYTES": ("bytes", "Largest body of a request that is not a batch."),
        "ML_MAX_BATCH_BYTES": ("bytes", "Largest body of a batch, compressed and decompressed."),
        "ML_MAX_BATCH_ROWS": ("rows", "Most readings of a batch."),
        "METRICS_REQUIRE_KEY": (
            "",
            "Whether `/metrics` and `/health` refuse requests without a key. Without one, `/health` has its "
            "`status` alone in any case.",
        ),
        "WEBHOOK_ALLOW_PRIVATE": (
            "",
            "Whether webhooks may be at private, loopback and link-local addresses, and in production at "
            "`http` URLs. A key of role `admin` then reaches all that this service's hosts reach.",
        ),
        "ML_CSV_ESCAPE_FORMULAS": (
            "",
            "Whether results in CSV have a `'` before a text that a spreadsheet would run as a formula. Ids "
            "of chargers may begin so, and a program would read another id.",
        ),
        "ML_MIN_FREE_DISK_BYTES": (
            "bytes",
            "Bodies of more than a megabyte are refused with 507 while the disk of `TMPDIR` has less free. A "
            "tenth of the disk is enough in any case. 0 is off.",
        ),
        "ML_MAX_REDIS_MEMORY_SHARE": (
            "",
            "Jobs are refused with 507 while Redis uses more than this share of its `maxmemory`, or without "
            "one of its machine's memory. 1 is off.",
        ),
        "ML_PROCESS_MEMORY_BYTES": (
            "bytes",
            "Memory of each web, worker and consumer process, at least 1,000,000,000; 0 is no limit.",
        ),
        "ML_TENANT_READINGS_PER_SECOND": (
            "readings a second",
            "Single predictions of each tenant, and its readings from Kafka; 0 is no limit. More requests "
            "get 429, more records wait. Requests without a tenant count as one tenant.",
        ),
        "ML_TENANT_JOBS": ("jobs", "Open batch jobs of each tenant; 0 is no limit."),
        "ML_TENANT_JOB_BYTES": (
            "bytes",
            "Input and results of each tenant's jobs in Redis, compressed; 0 is no limit. They count until "
            "the jobs expire.",
        ),
        "ML_TENANT_ROWS": ("rows", "Rows of the open jobs of each tenant; 0 is no limit."),
        "ADMIN_HOST": (
            "address",
            "Where the admin ports listen: `/health`, `/health/ready` and `/metrics` of each process, "
            "without a key. Keep them on loopback or on a network for operators.",
        ),
        "ADMIN_PORT": (
            "port",
            "Admin port of a process; 0 is off. `make run` gives it to the web server, and the next five to "
            "the workers of single predictions, batch and stream, the consumer, and OCPP.",
        ),
    },
    "Redis": {
        "REDIS_URL": (
            "`redis://user:password@host:port/db`, or `rediss://`",
            "Queues, jobs, histories and fleet. The server must not evict keys (`maxmemory-policy "
            "noeviction`). If empty, `make run` starts an embedded one.",
        ),
        "REDIS_CACHE_URL": ("as `REDIS_URL`", "Where cached verdicts go. This server may evict keys."),
        "REDIS_SSL_CAFILE": (
            "PEM file",
            "The authority that signed the certificates of the servers with `rediss://`. If empty, the "
            "system's authorities are used. A server is always verified, and so is its name.",
        ),
        "REDIS_SSL_CERTFILE": ("PEM file", "This client's certificate, if those servers ask for one."),
        "REDIS_SSL_KEYFILE": ("PEM file", "The key of that certificate."),
        "REDIS_PORT": ("port", "Port of the embedded Redis."),
        "ML_CACHE_TTL_FAILURE": ("seconds", "How long a cached failure prediction is valid."),
        "ML_CACHE_TTL_MAINTENANCE": ("seconds", "How long a cached maintenance schedule is valid."),
        "ML_CACHE_TTL_ANOMALY": ("seconds", "How long a cached anomaly verdict is valid."),
        "ML_FLEET_RETENTION_DAYS": (
            "days",
            "How long the fleet view keeps a charger's newest verdicts; up to a hundredth longer.",
        ),
        "ML_JOB_RETENTION": ("seconds", "How long a batch job can be read after its end."),
        "ML_BATCH_CHUNK_ROWS": (
            "rows",
            "Most rows of a job that one task scores. A task gets fewer rows where it would take longer "
            "than about a quarter of a second.",
        ),
    },
    "Kafka": {
        "KAFKA_BOOTSTRAP_SERVERS": (
            "`host:port,…`",
            "Your brokers. If empty, `make run` starts an embedded one, which keeps nothing on disk.",
        ),
        "KAFKA_PORT": ("port", "Port of the embedded broker."),
        "KAFKA_SECURITY_PROTOCOL": ("", "How the service talks to your brokers."),
        "KAFKA_SSL_CAFILE": (
            "PEM file",
            "The authority that signed the brokers' certificates. If empty, the system's authorities are "
            "used.",
        ),
        "KAFKA_SSL_CERTFILE": ("PEM file", "This client's certificate, if the brokers ask for one."),
        "KAFKA_SSL_KEYFILE": ("PEM file", "The key of that certificate."),
        "KAFKA_SASL_MECHANISM": ("", "How the service logs in with `SASL_PLAINTEXT` and `SASL_SSL`."),
        "KAFKA_SASL_USERNAME": ("", "Required with `SASL_PLAINTEXT` and `SASL_SSL`."),
        "KAFKA_SASL_PASSWORD": ("", "Required with `SASL_PLAINTEXT` and `SASL_SSL`."),
        "KAFKA_GROUP_ID": ("", "Consumer group of the scoring consumer."),
        "KAFKA_MEMBER_ID": (
            "name",
            "Part of the transactional ids of the consumers of this `STATE_DIR`: "
            "`KAFKA_GROUP_ID-KAFKA_MEMBER_ID-NUMBER`. Two consumers with one id stop each other. Where "
            "`STATE_DIR` is lost at each restart, set a name that stays, like that of the pod.",
        ),
        "KAFKA_TOPIC_METRICS": ("topic", "Readings that are scored. No other setting may name this topic."),
        "KAFKA_TOPIC_PREDICTIONS": ("topic", "Predictions."),
        "KAFKA_TOPIC_DEAD_LETTERS": ("topic", "Records that could not be scored or translated."),
        "KAFKA_TOPIC_FAILURE_ALERTS": ("topic", "Failure alerts that open and close."),
        "KAFKA_TOPIC_ANOMALIES": ("topic", "Anomaly alerts that open and close."),
        "KAFKA_TOPIC_ALERT_STATE": (
            "topic",
            "Compacted memory of open alerts. No other setting may name this topic.",
        ),
        "KAFKA_TOPIC_OCPP": (
            "topic",
            "OCPP events that `python -m consumers ocpp` translates. If it is set, `make run` starts that "
            "process. No other setting may name this topic.",
        ),
        "KAFKA_TOPIC_OCPP_STATE": (
            "topic",
            "Compacted memory of each charge point. No other setting may name this topic.",
        ),
        "KAFKA_TOPIC_PARTITIONS": (
            "partitions",
            "Partitions of the topics that a consumer creates. One process at a time reads a partition.",
        ),
        "KAFKA_TRANSACTIONS": (
            "",
            "`true` commits outcomes and offsets in one transaction and refuses a broker that does not "
            "isolate transactions. `false` delivers at least once. By default your own brokers get "
            "transactions if they prove at start that they isolate them, and at-least-once delivery with a "
            "warning if they do not; the embedded broker gets none.",
        ),
        "KAFKA_SESSION_TIMEOUT": (
            "seconds",
            "Time until the group gives the partitions of a dead consumer to others. Brokers refuse less "
            "than 6.",
        ),
        "KAFKA_MAX_POLL_RECORDS": ("records", "Most records that the consumer takes at once."),
        "KAFKA_MAX_RECORD_BYTES": (
            "bytes",
            "Largest record, decompressed. A larger one becomes a dead letter with its first 64 kB.",
        ),
        "KAFKA_SCORE_TIMEOUT": ("seconds", "How long the consumer waits for verdicts before it tries again."),
        "ML_ALERT_THRESHOLD": ("probability", "A failure alert opens at this 30-day failure probability."),
        "ML_ALERT_POLICY": (
            "",
            "How the threshold of failure alerts is chosen: `threshold` takes `ML_ALERT_THRESHOLD`. `budget` "
            "and `precision` compute it for each active version ([policies](models.md#alert-policies)).",
        ),
        "ML_ALERT_VISITS_PER_WEEK": (
            "chargers",
            "With `budget`: the expected number of chargers at or above the threshold at one time, without "
            "FAULTY ones. Workers need the same value.",
        ),
        "ML_ALERT_PRECISION": (
            "share",
            "With `precision`: of the chargers that alert, at least this share fails within 30 days.",
        ),
        "ML_ALERT_CONFIDENCE": (
            "probability",
            "With `budget` and `precision`: the probability that the threshold keeps its promise.",
        ),
        "ML_ALERT_CLEAR_THRESHOLD": (
            "probability",
            "A reading below this probability counts towards closing a failure alert. It must not exceed "
            "`ML_ALERT_THRESHOLD`. For a computed threshold, it is 0.1 below that, at least half of it.",
        ),
        "ML_ALERT_CALM_READINGS": (
            "readings",
            "Readings in a row below the threshold, or without an anomaly, that close an alert.",
        ),
    },
    "E-mail": {
        "SMTP_HOST": (
            "host",
            "The server that takes [e-mails about alerts](email.md). Empty: none are sent. The workers for "
            "batches read these settings.",
        ),
        "SMTP_PORT": ("port", "The server's port."),
        "SMTP_TLS": (
            "",
            "`starttls` upgrades a plain connection, `tls` begins with TLS, and `off` has none. The server's "
            "certificate must be valid for `SMTP_HOST`. Production refuses `off`, except on this machine.",
        ),
        "SMTP_USER": ("", "User name, if the server asks for a login."),
        "SMTP_PASSWORD": ("", "Its password."),
        "SMTP_FROM": ("address", "The sender, like `ml@example.com`. Required with `SMTP_HOST`."),
        "SMTP_TO": ("addresses, by commas", "The recipients, at most 20. Required with `SMTP_HOST`."),
        "SMTP_DIGEST_MINUTES": ("minutes", "News that can wait is sent together, this long after the first."),
    },
    "Flower": {
        "FLOWER_BASIC_AUTH": (
            "`user:password`",
            "Login of the task monitor, which answers this host only. It does not start without one. "
            "Production refuses none and the example.",
        ),
        "FLOWER_PORT": ("port", "Port of the task monitor."),
    },
    "Traces": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": (
            "URL",
            "Base address of an OTLP receiver over HTTP, like `http://127.0.0.1:4318`. Traces are off "
            "without one. OpenTelemetry's SDK also reads its other `OTEL_…` variables: headers, time-outs, "
            "service name.",
        ),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("URL", "The whole address for traces, instead of the base."),
        "OTEL_TRACES_EXPORTER": (
            "",
            "`otlp` sends traces to `http://localhost:4318` if no address is set. `none` sends none.",
        ),
        "OTEL_EXPORTER_OTLP_PROTOCOL": ("", "Must be `http/protobuf`."),
        "OTEL_SDK_DISABLED": ("", "`true` switches traces off."),
        "OTEL_TRACES_SAMPLER": (
            "name",
            "Decides which traces are kept. `parentbased_traceidratio` keeps a share of those that begin "
            "here, and follows the caller's decision for the others.",
        ),
        "OTEL_TRACES_SAMPLER_ARG": ("share", "The sampler's argument: 0.01 keeps one trace of a hundred."),
    },
    "Models": {
        "MODEL_DIR": (
            "folder",
            "Folder of model versions; it may be a shared volume. A relative path starts at the project's "
            "folder.",
        ),
        "COST_CURRENCY": ("", "Currency of all costs."),
        "COST_VISIT": ("money", "One technician's visit."),
        "COST_PARTS_PREVENTIVE": ("money", "Parts for planned work."),
        "COST_PARTS_FAILURE": ("money", "Parts after a failure."),
        "COST_DOWNTIME_PER_HOUR": ("money per hour", "Lost margin for each hour out of service."),
        "COST_EMERGENCY_FACTOR": (
            "factor",
            "How many times dearer an unplanned visit is than a planned one.",
        ),
        "PLANNED_DOWNTIME_HOURS": ("hours", "Time out of service for planned work."),
        "FAILURE_DOWNTIME_HOURS": ("hours", "Time out of service after a failure."),
    },
}
