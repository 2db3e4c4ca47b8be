"""Settings: read, checked, and their mistakes said in one line each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from errors import SettingsInvalid
from settings import ROOT, load_or_exit, read_settings
from settings.secret_files import SECRETS as SECRETS_IN_FILES
from settings.secret_files import forget_secrets_of_files
from settings.unknown_names import OF_CLIENTS, unknown_names


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("REDIS_URL", "REDIS_CACHE_URL", "KAFKA_BOOTSTRAP_SERVERS", "PORT", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_SERVICE_API_KEY", "one:read,two")
    return monkeypatch


def problems() -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(dotenv=None)
    return caught.value.problems


def test_defaults_are_enough(environment: pytest.MonkeyPatch) -> None:
    settings = read_settings(dotenv=None)
    assert (settings.port, settings.sync_timeout_s, settings.redis_embedded) == (8000, 3.0, True)
    assert settings.redis_cache_url == settings.redis_url == "redis://127.0.0.1:6379/0"
    assert [(key.key, sorted(key.roles)) for key in settings.api_keys] == [
        ("one", ["read"]),
        ("two", ["admin", "predict", "read"]),
    ]


def test_trusted_proxies_are_networks(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    assert [str(each) for each in read_settings(dotenv=None).trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_the_environment_wins_over_the_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=8001\nFLOWER_PORT=5556\n")
    environment.setenv("PORT", "8002")
    environment.setattr(os, "environ", dict(os.environ))  # reading .env leaves its names there
    settings = read_settings(dotenv=dotenv)
    assert (settings.port, settings.flower_port) == (8002, 5556)


@pytest.mark.owasp("API8", "a password in a broker's address is refused, and not repeated in the message")
def test_a_password_in_the_address_of_a_broker_is_refused_and_not_repeated(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,me:secret@kafka:9092")
    assert [line.split(":")[0] for line in problems()] == ["KAFKA_BOOTSTRAP_SERVERS"]
    assert "secret" not in problems()[0]


def test_every_problem_is_named_in_a_line_of_its_own(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "eighty")
    environment.setenv("ML_SYNC_TIMEOUT", "0")
    environment.setenv("ENVIRONMENT", "prod")
    found = problems()
    assert [line.split(":")[0] for line in found] == ["ENVIRONMENT", "PORT", "ML_SYNC_TIMEOUT"]
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_SERVICE_API_KEY", ""),
        ("ML_SERVICE_API_KEY", "key:owner"),
        ("WEB_THREADS", "1"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", "redis://localhost:99999/0"),
        ("REDIS_URL", "redis://localhost:6379/jobs"),
        ("REDIS_URL", "rediss://localhost:6379/0?ssl_cert_reqs=none"),
        ("REDIS_CACHE_URL", "http://localhost"),
        ("REDIS_SSL_CAFILE", "/does/not/exist"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost"),
        ("FLOWER_BASIC_AUTH", "nopassword"),
        ("MODEL_DIR", "/does/not/exist"),
        ("COST_CURRENCY", "dollars"),
        ("KAFKA_TOPIC_METRICS", "charger metrics"),
        ("KAFKA_TOPIC_OCPP", "charger.metrics"),
        ("KAFKA_TOPIC_PREDICTIONS", "charger.metrics"),
        ("KAFKA_TOPIC_DEAD_LETTERS", "charger.metrics"),
        ("KAFKA_TOPIC_ANOMALIES", "ml.alert_state"),
        ("ML_ALERT_THRESHOLD", "2"),
        ("ML_ALERT_POLICY", "best"),
        ("ML_ALERT_VISITS_PER_WEEK", "-1"),
        ("ML_ALERT_PRECISION", "1"),
        ("ML_ALERT_CONFIDENCE", "0"),
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "5"),
    ],
)
def test_what_cannot_work_is_refused_by_name(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    assert any(line.startswith(f"{name}:") for line in problems())


def test_a_budget_needs_a_number_of_visits(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ML_ALERT_POLICY", "budget")
    assert [line.split(":")[0] for line in problems()] == ["ML_ALERT_VISITS_PER_WEEK"]
    environment.setenv("ML_ALERT_VISITS_PER_WEEK", "2.5")
    assert read_settings(dotenv=None).alert_visits_per_week == 2.5


@pytest.mark.owasp("API2", "production refuses missing, short and example keys")
@pytest.mark.parametrize("key", ["", "change-me", "short"])
def test_production_refuses_missing_and_example_keys(environment: pytest.MonkeyPatch, key: str) -> None:
    environment.setenv("ENVIRONMENT", "production")
    environment.setenv("ML_SERVICE_API_KEY", key)
    assert any(line.startswith("ML_SERVICE_API_KEY:") for line in problems())


@pytest.mark.parametrize("url", ["redis://h", "redis://h:1/", "redis://u:p@h:6379/2", "redis://[::1]:6379/0"])
def test_a_redis_url_may_leave_out_what_has_a_default(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("REDIS_URL", url)
    assert read_settings(dotenv=None).redis_url == url


@pytest.mark.owasp("API8", "TLS to Redis always verifies the server's certificate")
def test_a_rediss_url_names_its_certificates_and_verifies(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "a file.pem"
    file.touch()
    environment.setenv("REDIS_URL", "rediss://u:p@h:6379/2")
    assert read_settings(dotenv=None).redis_url == "rediss://u:p@h:6379/2?ssl_cert_reqs=required"
    environment.setenv("REDIS_SSL_CAFILE", str(file))
    settings = read_settings(dotenv=None)
    given = f"?ssl_cert_reqs=required&ssl_ca_certs={quote(str(file), safe='')}"
    assert settings.redis_url == f"rediss://u:p@h:6379/2{given}"
    assert settings.redis_cache_url == settings.redis_url
    environment.setenv("REDIS_CACHE_URL", "redis://cache")
    assert read_settings(dotenv=None).redis_cache_url == "redis://cache"


def test_a_certificate_without_its_key_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TLS_CERTFILE", "cert.pem")
    assert problems() == ["TLS_KEYFILE: must be set with TLS_CERTFILE"]


def test_certificates_of_redis_want_a_rediss_url(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("REDIS_SSL_CAFILE", str(tmp_path))
    assert [line.split(":")[0] for line in problems()] == ["REDIS_SSL_CAFILE", "REDIS_URL"]


def test_outcomes_may_share_a_topic(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_TOPIC_ANOMALIES", "charger.failure_alerts")
    assert read_settings(dotenv=None).kafka_topic_anomalies == "charger.failure_alerts"


@pytest.mark.owasp("API8", "production refuses the example password of Flower")
def test_production_refuses_an_example_password_of_flower(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENVIRONMENT", "production")
    environment.setenv("FLOWER_BASIC_AUTH", "admin:change-me")
    assert any(line.startswith("FLOWER_BASIC_AUTH:") for line in problems())


def test_a_factor_below_1_is_refused_and_need_not_be_whole(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("COST_EMERGENCY_FACTOR", "1.25")
    assert read_settings(dotenv=None).costs.emergency_factor == 1.25
    environment.setenv("COST_EMERGENCY_FACTOR", "0.5")
    assert problems() == ["COST_EMERGENCY_FACTOR: must be 1 or more"]


@pytest.mark.parametrize(
    ("given", "traces"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),  # of another program in this environment
    ],
)
def test_traces_are_on_where_the_variables_of_opentelemetry_say_so(
    environment: pytest.MonkeyPatch, given: dict[str, str], *, traces: bool
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    assert read_settings(dotenv=None).traces is traces


def test_traces_over_grpc_are_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317")
    environment.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert problems() == ["OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf; gRPC is not built in"]


EMAIL = {
    "SMTP_HOST": "mail.example",
    "SMTP_FROM": "ml@example.com",
    "SMTP_TO": "a@example.com, b@example.com",
}


@pytest.mark.parametrize(("mode", "port"), [("starttls", 587), ("tls", 465), ("off", 25)])
def test_the_port_of_e_mail_follows_from_its_tls(
    environment: pytest.MonkeyPatch, mode: str, port: int
) -> None:
    assert not read_settings(dotenv=None).smtp.wanted
    for name, value in {**EMAIL, "SMTP_TLS": mode}.items():
        environment.setenv(name, value)
    smtp = read_settings(dotenv=None).smtp
    assert (smtp.wanted, smtp.port, smtp.digest_s) == (True, port, 3600.0)
    assert smtp.recipients == ("a@example.com", "b@example.com")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_HOST", "mail.example\r\nQUIT"),
        ("SMTP_HOST", "smtp://mail.example"),
        ("SMTP_PORT", "0"),
        ("SMTP_TLS", "maybe"),
        ("SMTP_FROM", ""),
        ("SMTP_FROM", "ML <ml@example.com>"),
        ("SMTP_FROM", "ml@example.com\nBcc: x@example.com"),
        ("SMTP_TO", ""),
        ("SMTP_TO", "a@example.com, nobody"),
        ("SMTP_TO", "a@example.com\n"),
        ("SMTP_TO", "a@example.com>\r\nRCPT TO:<x@example.com"),
        ("SMTP_TO", ",".join(f"a{number}@example.com" for number in range(21))),
        ("SMTP_USER", "without-a-password"),
        ("SMTP_PASSWORD", "without-a-user"),
        ("SMTP_DIGEST_MINUTES", "0"),
    ],
)
@pytest.mark.owasp("API8", "addresses of e-mail with line breaks are refused; a password is not repeated")
def test_settings_of_e_mail_that_cannot_work_are_refused_by_name(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for each, good in {**EMAIL, name: value}.items():
        environment.setenv(each, good)
    missing = {"SMTP_USER": "SMTP_PASSWORD", "SMTP_PASSWORD": "SMTP_USER"}.get(name, name)
    (line,) = problems()
    assert line.startswith(f"{missing}:")
    assert "without-a-user" not in line
    assert "\n" not in line


@pytest.mark.owasp("API8", "the password of e-mail is not in the text of the settings")
def test_the_password_of_e_mail_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    for name, value in {**EMAIL, "SMTP_USER": "ml", "SMTP_PASSWORD": "hidden"}.items():
        environment.setenv(name, value)
    settings = read_settings(dotenv=None)
    assert settings.smtp.password == "hidden"
    assert "hidden" not in repr(settings)


SECRETS = {
    "ML_SERVICE_API_KEY": "a-key:read,another",
    "REDIS_URL": "redis://user:hidden@redis:6379/0",
    "REDIS_CACHE_URL": "redis://user:hidden@cache:6379/0",
    "KAFKA_SASL_PASSWORD": "hidden",
    "FLOWER_BASIC_AUTH": "admin:hidden",
    "SMTP_PASSWORD": "hidden",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=hidden",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=hidden-too",
}


@pytest.fixture
def files(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a file for each secret, each named by its variable."""
    for name, secret in SECRETS.items():
        environment.setenv(name, "")
        (tmp_path / name).write_text(f"{secret}\n")
        environment.setenv(f"{name}_FILE", str(tmp_path / name))
    return tmp_path


def test_secrets_may_be_in_files(environment: pytest.MonkeyPatch, files: Path) -> None:
    settings = read_settings(dotenv=None)
    assert [key.key for key in settings.api_keys] == ["a-key", "another"]
    assert (settings.redis_url, settings.redis_cache_url) == (
        SECRETS["REDIS_URL"],
        SECRETS["REDIS_CACHE_URL"],
    )
    assert (settings.kafka_sasl_password, settings.flower_basic_auth) == ("hidden", "admin:hidden")
    assert settings.smtp.password == "hidden"
    assert read_settings(dotenv=None) == settings  # as a child process does, with both
    assert SECRETS.keys() == set(SECRETS_IN_FILES)
    # Its SDK reads it by itself.
    assert os.environ["OTEL_EXPORTER_OTLP_HEADERS"] == SECRETS["OTEL_EXPORTER_OTLP_HEADERS"]


def test_a_child_process_reads_its_secrets_from_their_files(
    environment: pytest.MonkeyPatch, files: Path
) -> None:
    read_settings(dotenv=None)
    forget_secrets_of_files()
    (files / "REDIS_URL").write_text("redis://user:rotated@redis:6379/0")
    assert read_settings(dotenv=None).redis_url == "redis://user:rotated@redis:6379/0"


@pytest.mark.owasp("API8", "a wrong secret file is named and not shown")
def test_a_file_that_cannot_count_is_named_and_not_shown(
    environment: pytest.MonkeyPatch, files: Path
) -> None:
    (files / "REDIS_URL").unlink()
    (files / "KAFKA_SASL_PASSWORD").write_bytes(b"\xff")
    (files / "FLOWER_BASIC_AUTH").write_text("\n")
    environment.setenv("ML_SERVICE_API_KEY", "other")
    assert problems() == [
        "ML_SERVICE_API_KEY_FILE: ML_SERVICE_API_KEY is set too, to something else",
        f"REDIS_URL_FILE: {files}/REDIS_URL cannot be read: No such file or directory",
        f"KAFKA_SASL_PASSWORD_FILE: {files}/KAFKA_SASL_PASSWORD cannot be read: it is not UTF-8",
        f"FLOWER_BASIC_AUTH_FILE: {files}/FLOWER_BASIC_AUTH is empty",
    ]


@pytest.mark.owasp("API8", "a misspelt setting is warned of")
def test_a_misspelt_setting_is_warned_of_with_the_nearest_name(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("ML_ALERT_TRESHOLD", "0.5")
    environment.setenv("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1")
    environment.setenv("ML_SERVICE_TIMEOUT", "5000")
    for _ in range(2):
        load_or_exit()
    assert capsys.readouterr().err == (
        "Warning: ML_ALERT_TRESHOLD is not a setting. Did you mean ML_ALERT_THRESHOLD?\n"
    )


def test_names_that_resemble_none_point_to_the_list() -> None:
    assert unknown_names(["REDIS_X", "HOME", "PORT_X"], ["ML_SYNC_TIMEOUT"]) == [
        "REDIS_X is not a setting. See .env.example."
    ]


def test_a_setting_of_a_former_release_is_told_from_a_misspelt_one() -> None:
    assert unknown_names(["ML_FLEET_HISTORY_ENTRIES"], ["ML_FLEET_RETENTION_DAYS"]) == [
        "ML_FLEET_HISTORY_ENTRIES is no longer a setting. The history of a charger has a fixed bound now. "
        "Remove the name."
    ]


def test_every_name_that_a_client_reads_is_known() -> None:
    sources = [*(ROOT / "clients/nestjs/src").rglob("*.ts"), *(ROOT / "clients/python/src").rglob("*.py")]
    read = {
        name
        for source in sources
        for name in re.findall(r"""["'`](ML_(?:SERVICE|CACHE)_[A-Z_]+)["'`]""", source.read_text())
    }
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert len(read) > 5
    assert read - OF_CLIENTS - example == set()
