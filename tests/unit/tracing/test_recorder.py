"""The spans of one process, as a real receiver gets them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import tracing
from settings import ROOT
from tests.otlp_receiver import OtlpReceiver
from tests.processes import environment, settings_for

TRACES = ("a" * 32, "b" * 32, "c" * 32)
PARENTS = [f"00-{trace_id}-{'1' * 16}-01" for trace_id in TRACES]
UNSAMPLED = f"00-{'d' * 32}-{'1' * 16}-00"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """A receiver of this process's own spans."""
    with OtlpReceiver() as receiver:
        for name, value in receiver.settings.items():
            monkeypatch.setenv(name, value)
        tracing.start(settings_for(**receiver.settings), "test")
        try:
            yield receiver
        finally:
            tracing.stop()


def test_a_task_is_linked_with_all_its_traces(receiver: OtlpReceiver) -> None:
    task = tracing.task("work", PARENTS, waited_s=2, attributes={"size": 3})
    with task, tracing.phase("part"):
        assert tracing.current_trace_id() == TRACES[0]
    own, *others = [receiver.wait_for(trace_id, "work") for trace_id in TRACES]
    assert own.keys() == {"work"}
    assert own["work"].linked_traces == TRACES[1:]
    assert own["work"].attributes.keys() == {"size", "evzone.queue_wait_ms", "evzone.part_ms"}
    assert own["work"].attributes["size"] == 3
    assert float(own["work"].attributes["evzone.part_ms"]) >= 0
    for other in others:
        assert other.keys() == {"work"}
        assert other["work"].linked_traces == (TRACES[0],)
        assert other["work"].attributes["evzone.queue_wait_ms"] == 2000


def test_a_task_that_raises_ends_its_spans_and_quotes_nothing(receiver: OtlpReceiver) -> None:
    def fail() -> None:
        with tracing.task("work", PARENTS[:2], waited_s=None, attributes={}), tracing.phase("part"):
            raise ValueError("a reading's secret")

    with pytest.raises(ValueError, match="secret"):
        fail()
    spans = receiver.wait_for(TRACES[0], "work")
    receiver.wait_for(TRACES[1], "work")
    assert spans["work"].is_error
    assert spans["work"].attributes["error.type"] == "ValueError"
    assert "secret" not in repr(receiver.spans)


@pytest.mark.parametrize("unusable", [None, "", "nonsense", UNSAMPLED])
def test_a_task_without_a_sampled_trace_has_no_span(receiver: OtlpReceiver, unusable: str | None) -> None:
    with tracing.task("work", [unusable], waited_s=None, attributes={}), tracing.phase("part"):
        assert tracing.current_trace_id() is None
    with tracing.task("work", PARENTS[:1], waited_s=None, attributes={}):
        pass
    receiver.wait_for(TRACES[0], "work")
    assert {span.trace_id for span in receiver.spans} == {TRACES[0]}


def test_a_record_follows_the_context_of_its_headers(receiver: OtlpReceiver) -> None:
    assert tracing.begin_record("topic", [("traceparent", UNSAMPLED.encode())]) is None
    span = tracing.begin_record("topic", [("other", None), ("traceparent", PARENTS[1].encode())])
    assert span is not None
    tracing.end(span, {"offset": 7}, error="invalid_reading")
    received = receiver.wait_for(TRACES[1], "process topic")["process topic"]
    assert received.attributes["offset"] == 7
    assert received.attributes["error.type"] == "invalid_reading"
    assert received.is_error
    assert tracing.traceparent_of(span) == f"00-{TRACES[1]}-{received.span_id}-01"
    for odd in (b"\xff\xfe", b"", None):
        root = tracing.begin_record("topic", [("traceparent", odd)])
        assert tracing.trace_id_of(root) not in (None, TRACES[1])


def test_the_sampler_of_the_settings_decides_by_the_id_of_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    with OtlpReceiver() as receiver:
        for name, value in {**receiver.settings, **sampler}.items():
            monkeypatch.setenv(name, value)
        tracing.start(settings_for(**receiver.settings), "test")
        spans = [tracing.begin_request("GET", "/", None) for _ in range(2000)]
        sampled = [int(str(tracing.trace_id_of(span)), 16) for span in spans if span is not None]
        tracing.stop()
    assert 350 < len(sampled) < 650
    assert len(set(sampled)) == len(sampled)
    assert max(trace_id % 2**64 for trace_id in sampled) < 2**62


def test_stopping_does_not_wait_for_a_mute_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        receiver.is_mute = True
        for name, value in receiver.settings.items() | {("OTEL_EXPORTER_OTLP_TIMEOUT", "600")}:
            monkeypatch.setenv(name, value)
        tracing.start(settings_for(**receiver.settings), "test")
        with tracing.task("work", PARENTS[:1], waited_s=None, attributes={}):
            pass
        assert receiver.was_asked.wait(10)
        tracing.stop()
        assert not receiver.spans
        receiver.unmute()
        receiver.wait_for(TRACES[0], "work")  # else the exporter would retry for minutes


def test_the_name_of_the_service_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        chosen = {"OTEL_SERVICE_NAME": "chargers"}
        for name, value in {**receiver.settings, **chosen}.items():
            monkeypatch.setenv(name, value)
        tracing.start(settings_for(**receiver.settings), "test")
        with tracing.task("work", PARENTS[:1], waited_s=None, attributes={}):
            pass
        assert receiver.wait_for(TRACES[0], "work")["work"].service == "chargers"
        tracing.stop()


def test_nothing_is_traced_while_it_is_off() -> None:
    tracing.start(settings_for(), "test")
    assert tracing.begin_request("GET", "/", PARENTS[0]) is None
    assert tracing.begin_record("topic", [("traceparent", PARENTS[0].encode())]) is None
    with tracing.task("work", PARENTS, waited_s=None, attributes={}), tracing.phase("part"):
        assert tracing.current_trace_id() is None


def test_no_exporter_is_loaded_while_it_is_off() -> None:
    """redis-py loads a part of the SDK by itself."""
    code = (
        "import sys, web.fast_path, consumers.processes, tasks.worker.score\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'tracing.rec'))])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
