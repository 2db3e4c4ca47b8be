"""Requests continue the OpenTelemetry trace of their caller."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest
from driven import Connect, reading
from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState
from proxy import Head, Proxy

from evzone_ml_client import AsyncMLClient, MLClient, Retry, Settings, trace_context
from evzone_ml_client.command.program import main
from tests.processes import KEY

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer(__name__)


def header_of(span: Span) -> str:
    """The `traceparent` of a request whose parent is this span."""
    its = span.get_span_context()
    return f"00-{its.trace_id:032x}-{its.span_id:016x}-{its.trace_flags:02x}"


def answer(status: str, body: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\nContent-Type: application/json\r\n\r\n{body}".encode()


def sent(requests: list[Head], name: str = "traceparent") -> list[list[str]]:
    return [request.values(name) for request in requests]


class Broken(TextMapPropagator):
    """Stands for a propagator that fails, or that sets a header which HTTP does not allow."""

    def __init__(self, value: str | None = None) -> None:
        self._value = value

    def extract(
        self,
        carrier: CarrierT,
        context: context.Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> context.Context:
        raise NotImplementedError  # a client only injects; the base class demands the method

    def inject(
        self,
        carrier: CarrierT,
        context: context.Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        if self._value is None:
            raise RuntimeError("a propagator's own failure")
        setter.set(carrier, "broken", self._value)

    @property
    def fields(self) -> set[str]:
        return {"broken"}


def test_a_request_names_the_current_span_as_its_parent(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    with TRACER.start_as_current_span("outer"), TRACER.start_as_current_span("inner") as span:
        ml.predict_failure(reading())
    with TRACER.start_as_current_span("another") as another:
        ml.health_check()
    assert sent(proxy.requests) == [[header_of(span)], [header_of(another)]]
    assert sent(proxy.requests, "tracestate") == [[], []]


def test_the_state_of_the_trace_is_passed_on(connect: Connect, proxy: Proxy) -> None:
    state = TraceState([("vendor", "opaque")])
    remote = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(0), trace_state=state)
    with trace.use_span(NonRecordingSpan(remote)):
        connect(proxy.url).predict_failure(reading())
    assert sent(proxy.requests) == [[f"00-{0xA1:032x}-{0xB2:016x}-00"]]
    assert sent(proxy.requests, "tracestate") == [["vendor=opaque"]]


def test_without_a_current_span_there_is_no_header(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    with TRACER.start_as_current_span("over"):
        pass
    ml.predict_failure(reading())
    assert sent(proxy.requests) == [[]]
    assert sent(proxy.requests, "baggage") == [[]]


def test_each_attempt_names_the_span_of_its_moment(connect: Connect, proxy: Proxy) -> None:
    spans = [TRACER.start_span(f"attempt {number}") for number in (1, 2, 3)]

    def scenario() -> None:
        ml = connect(proxy.url, on_retry=next_span)
        context.attach(trace.set_span_in_context(spans[0]))
        proxy.answer(*[answer("503 Service Unavailable")] * 2)
        ml.predict_failure(reading())

    def next_span(retry: Retry) -> None:
        context.attach(trace.set_span_in_context(spans[retry.attempt]))

    copy_context().run(scenario)
    assert sent(proxy.requests) == [[header_of(span)] for span in spans]


def test_files_events_and_pages_are_of_the_callers_trace(
    connect: Connect, proxy: Proxy, tmp_path: Path
) -> None:
    """`AsyncMLClient` sends a file by a thread."""
    ml = connect(proxy.url)
    file = tmp_path / "fleet.csv"
    file.write_text("charger_id,connector_status\nEVZ-1,CHARGING\n")
    with TRACER.start_as_current_span("caller") as span:
        job = ml.submit_batch(file)
        job_id = job["job_id"]
        proxy.answer(answer("200 OK", json.dumps(job)))  # still running: its events are opened
        assert list(ml.stream_job(job_id))
        ml.save_results(job_id, tmp_path / "scored.ndjson")
        assert list(ml.job_results(job_id))
    ends = {(request.method, request.path.partition("?")[0].rpartition("/")[2]) for request in proxy.requests}
    assert ends == {("POST", "batch"), ("GET", job_id), ("GET", "events"), ("GET", "results")}
    assert sent(proxy.requests) == [[header_of(span)]] * len(proxy.requests)


def charger_headers(proxy: Proxy) -> dict[str, list[str]]:
    return {request.path.rpartition("/")[2]: request.values("traceparent") for request in proxy.requests}


def test_tasks_and_threads_name_each_its_own_span(proxy: Proxy) -> None:
    settings = Settings(url=proxy.url, api_key=KEY, timeout_s=30)
    spans: dict[str, Span] = {}

    async def ask(ml: AsyncMLClient, charger: str) -> None:
        with TRACER.start_as_current_span(charger) as spans[charger]:
            await asyncio.sleep(0)
            await ml.get_cached_prediction(charger)

    async def scenario() -> None:
        async with AsyncMLClient(settings) as ml:
            await asyncio.gather(*(ask(ml, f"task-{number}") for number in range(5)))

    def ask_blocking(ml: MLClient, charger: str) -> None:
        with TRACER.start_as_current_span(charger) as spans[charger]:
            ml.get_cached_prediction(charger)

    asyncio.run(scenario())
    with MLClient(settings) as ml, ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda number: ask_blocking(ml, f"thread-{number}"), range(5)))
    assert charger_headers(proxy) == {charger: [header_of(span)] for charger, span in spans.items()}
    assert len(spans) == 10


def test_the_command_continues_the_trace_of_its_process(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_SERVICE_URL", proxy.url)
    monkeypatch.setenv("ML_SERVICE_API_KEY", KEY)
    file = tmp_path / "fleet.csv"
    file.write_text("charger_id,connector_status\nEVZ-1,CHARGING\n")
    with TRACER.start_as_current_span("nightly") as span:
        assert main(["batch", str(file), "--out", str(tmp_path / "scored.csv")]) == 0
    assert len(proxy.requests) >= 3
    assert sent(proxy.requests) == [[header_of(span)]] * len(proxy.requests)


def without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", None)


def with_an_unknown_propagator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.propagate")
    monkeypatch.setenv("OTEL_PROPAGATORS", "unheard-of")


@pytest.mark.parametrize(
    ("absent", "warnings"),
    [(without_the_package, 0), (with_an_unknown_propagator, 1)],
    ids=["not installed", "broken"],
)
def test_without_opentelemetry_there_is_no_header_and_no_error(
    connect: Connect,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    absent: Callable[[pytest.MonkeyPatch], None],
    warnings: int,
) -> None:
    absent(monkeypatch)
    monkeypatch.setattr(trace_context, "_inject", trace_context.load_inject())
    with TRACER.start_as_current_span("caller"):
        connect(proxy.url).predict_failure(reading())
    assert sent(proxy.requests) == [[]]
    told = [each for each in caplog.records if each.name == "evzone_ml_client"]
    assert [each.levelno for each in told] == [logging.WARNING] * warnings


@pytest.mark.parametrize("value", [None, "two\r\nlines", "µ"], ids=["raises", "two lines", "not ASCII"])
def test_a_failure_of_a_propagator_fails_no_call(
    connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", Broken(value))
    ml = connect(proxy.url, attempts=1)
    with TRACER.start_as_current_span("caller"):
        ml.predict_failure(reading())
    assert sent(proxy.requests) == sent(proxy.requests, "broken") == [[]]


def test_the_applications_propagators_decide(
    connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", Broken("its own"))
    with TRACER.start_as_current_span("caller"):
        connect(proxy.url).predict_failure(reading())
    assert sent(proxy.requests) == [[]]
    assert sent(proxy.requests, "broken") == [["its own"]]
