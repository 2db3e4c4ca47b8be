"""Log lines: alike for every logger, as JSON or as text, and nothing in them looks like another line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import pytest
from structlog.contextvars import bound_contextvars

from process import ACCESS_LOGGER, Context, configure_logging, formatter
from settings import Settings, read_settings
from web.http import access

UTC_WITH_MS: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
FORGED: Final = "2026-01-01T00:00:00.000Z [info     ] all is well"
# Whatever a terminal or a reader of files takes for the end of a line, and a terminal's own commands.
BREAKS: Final = (
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x1b[2K\x1b[G",
    "\x00",
)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ML_SERVICE_API_KEY", "a-key")
    return replace(read_settings(dotenv=None), log_format="auto", log_level="INFO", access_log=False)


@pytest.fixture
def logged_by(settings: Settings) -> Iterator[Callable[..., str]]:
    """What one call of a logger writes."""
    log = logging.getLogger("some.library")
    log.propagate, log.level = False, logging.DEBUG

    def written(
        call: Callable[[logging.Logger], None],
        *,
        log_format: str,
        is_terminal: bool = False,
        context: Context | None = None,
    ) -> str:
        handler = logging.StreamHandler(io.StringIO())
        chosen = replace(settings, log_format=log_format)
        handler.setFormatter(formatter(chosen, is_terminal=is_terminal, context=context))
        log.handlers = [handler]
        call(log)
        return handler.stream.getvalue()

    yield written
    log.handlers, log.propagate, log.level = [], True, logging.NOTSET


def failing(message: str) -> Callable[[logging.Logger], None]:
    def call(log: logging.Logger) -> None:
        try:
            raise ValueError(message)
        except ValueError:
            log.exception("%s could not be read", "a record")

    return call


def test_a_json_line_has_time_level_logger_event_and_what_is_bound(logged_by: Callable[..., str]) -> None:
    with bound_contextvars(request_id="r-1", tenant=None):
        line = logged_by(
            lambda log: log.warning("%d rows", 3), log_format="json", context=lambda: {"task_id": "t-1"}
        )
    found = json.loads(line)
    assert re.fullmatch(UTC_WITH_MS, found.pop("timestamp"))
    assert found == {
        "level": "warning",
        "logger": "some.library",
        "event": "3 rows",
        "request_id": "r-1",
        "task_id": "t-1",
    }


def test_an_exception_is_one_field_of_one_json_line(logged_by: Callable[..., str]) -> None:
    line = logged_by(failing("first\nsecond\u2028third"), log_format="json")
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert found["event"] == "a record could not be read"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: first\nsecond\u2028third")


@pytest.mark.parametrize("end", BREAKS)
def test_nothing_that_a_caller_sends_begins_a_line_of_text(end: str, logged_by: Callable[..., str]) -> None:
    sent = f"mine{end}{FORGED}"
    with bound_contextvars(request_id=sent, tenant=sent):
        text = logged_by(lambda log: log.info("unknown charger %s", sent), log_format="text")
    assert text.removesuffix("\n").isprintable()
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("end", BREAKS)
def test_a_traceback_is_indented_whatever_its_message_holds(end: str, logged_by: Callable[..., str]) -> None:
    first, *others = logged_by(failing(f"mine{end}{FORGED}"), log_format="text").splitlines()
    assert "a record could not be read" in first
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in others)


@pytest.mark.parametrize("sent", ["\udce9", "\u202egnisrever", "é ☃ 中"])
def test_odd_letters_reach_json_as_they_are(sent: str, logged_by: Callable[..., str]) -> None:
    assert json.loads(logged_by(lambda log: log.info(sent), log_format="json"))["event"] == sent


def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    logged_by: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hello(log: logging.Logger) -> None:
        log.info("hello")

    monkeypatch.setenv("NO_COLOR", "1")
    on_terminal = logged_by(hello, log_format="auto", is_terminal=True)
    assert re.fullmatch(UTC_WITH_MS + r" \[info     \] hello +\[some\.library\]\n", on_terminal)
    assert json.loads(logged_by(hello, log_format="auto"))["event"] == "hello"
    assert json.loads(logged_by(hello, log_format="json", is_terminal=True))["event"] == "hello"
    assert " hello " in logged_by(hello, log_format="text")


@pytest.fixture
def restored() -> Iterator[None]:
    """Loggers as pytest needs them, after the test."""
    root, access = logging.getLogger(), logging.getLogger(ACCESS_LOGGER)
    kept = list(root.handlers), root.level
    yield
    root.handlers, root.level = kept
    access.disabled = False
    access.setLevel(logging.NOTSET)
    for name in ("celery.worker.strategy", "celery.app.trace", "kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def count_one() -> None:
    access.count(
        "predictions.predict_failure",
        "POST",
        HTTPStatus.SERVICE_UNAVAILABLE,
        0.0,
        path="/api/v1/predictions/failure",
        address="203.0.113.7",
        request_id="r-1",
        tenant="acme",
        span=None,
    )


@pytest.mark.usefixtures("restored")
def test_answers_are_logged_only_where_that_is_wanted(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings)
    count_one()
    assert capsys.readouterr().err == ""
    configure_logging(replace(settings, access_log=True, log_format="text"))
    count_one()
    assert " status=503 tenant=acme\n" in capsys.readouterr().err
    # LOG_LEVEL is about events, not about answers.
    configure_logging(replace(settings, access_log=True, log_level="ERROR"))
    count_one()
    found: dict[str, Any] = json.loads(capsys.readouterr().err)
    assert found.pop("duration_ms") > 0
    del found["timestamp"]
    assert found == {
        "level": "info",
        "logger": "access",
        "event": "answered",
        "method": "POST",
        "path": "/api/v1/predictions/failure",
        "address": "203.0.113.7",
        "status": 503,
        "request_id": "r-1",
        "tenant": "acme",
    }
