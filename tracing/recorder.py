"""The spans of one process. The only module that knows OpenTelemetry; imported while tracing is on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from settings import SERVICE, VERSION
from tracing.values import QUEUE_WAIT_MS, TRACEPARENT, Attributes, Headers

# A program that stops waits this long for a receiver that does not answer.
CLOSE_WITHIN_S: Final = 2.0
_MS: Final = 1000
_NS_A_MS: Final = 1_000_000
_PROPAGATOR: Final = TraceContextTextMapPropagator()
# Without it, the current span of the thread would be the parent.
_EMPTY: Final = Context()


class _DrawnIds(RandomIdGenerator):
    """Ids of spans, and of traces that were drawn before their span was begun. Thread-safe."""

    def __init__(self) -> None:
        self._local = threading.local()

    def draw(self) -> int:
        """A trace id for the next span that begins a trace in this thread."""
        self._local.drawn = super().generate_trace_id()
        return int(self._local.drawn)

    def generate_trace_id(self) -> int:
        """The id drawn last in this thread."""
        return int(self._local.drawn)


class Recorder:
    """Makes the spans of this process and sends them in a thread. Reads the `OTEL_…` variables.

    Thread-safe. `program` is part of the service's name where the variables give none.
    """

    def __init__(self, program: str) -> None:
        own: dict[str, str] = {SERVICE_VERSION: VERSION}
        if str(Resource.create().attributes[SERVICE_NAME]).startswith("unknown_service"):
            own[SERVICE_NAME] = f"{SERVICE}-{program}"
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        self._ids = _DrawnIds()
        provider = TracerProvider(
            resource=Resource.create(own), shutdown_on_exit=False, id_generator=self._ids
        )
        provider.add_span_processor(self._processor)
        self._sampler = provider.sampler
        self._tracer = provider.get_tracer(SERVICE, VERSION)

    def close(self) -> None:
        """Send the ended spans. Blocks for 2 s at most; the processor itself would wait for 30 s."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)

    def begin_request(self, method: str, route: str, traceparent: str | None) -> Span | None:
        """The span of an HTTP request, or None if it is not sampled."""
        attributes: Attributes = {"http.request.method": method, "http.route": route}
        return self._begin(f"{method} {route}", SpanKind.SERVER, traceparent, attributes)

    def begin_record(self, topic: str, headers: Headers) -> Span | None:
        """The span of a consumed record, or None if it is not sampled."""
        values = [value for name, value in headers if name == TRACEPARENT]
        traceparent = values[0].decode("latin-1") if values and values[0] else None
        attributes: Attributes = {"messaging.system": "kafka", "messaging.destination.name": topic}
        return self._begin(f"process {topic}", SpanKind.CONSUMER, traceparent, attributes)

    def _begin(
        self, name: str, kind: SpanKind, traceparent: str | None, attributes: Attributes
    ) -> Span | None:
        parent = _context_of(traceparent) if traceparent else _EMPTY
        # Asked here first: a span that is not sampled costs three times as much as this decision.
        if parent is _EMPTY and not self._is_sampled(name, kind, self._ids.draw()):
            return None
        span = self._tracer.start_span(name, parent, kind, attributes)
        return span if span.is_recording() else None

    def _is_sampled(self, name: str, kind: SpanKind, trace_id: int) -> bool:
        return self._sampler.should_sample(None, trace_id, name, kind).decision is not Decision.DROP

    def end(self, span: Span, attributes: Attributes, error: str | None) -> None:
        """End a span. With an error code its status is an error."""
        span.set_attributes(attributes)
        if error is not None:
            self._fail(span, error)
        span.end()

    def _fail(self, span: Span, error: str) -> None:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)

    def traceparent_of(self, span: Span) -> str:
        """The context of a span as text."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span, _EMPTY))
        return carrier[TRACEPARENT]

    def task(
        self, name: str, traceparents: Iterable[str | None], waited_s: float | None, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """The context of a task, as `tracing.task` describes it."""
        parents = [_context_of(each) for each in dict.fromkeys(traceparents) if each]
        sampled = [each for each in parents if _span_context(each).trace_flags.sampled]
        return self._task(name, sampled, waited_s, attributes) if sampled else nullcontext()

    @contextmanager
    def _task(
        self, name: str, parents: list[Context], waited_s: float | None, attributes: Attributes
    ) -> Iterator[None]:
        began_ns = time.time_ns()
        if waited_s is not None:
            attributes = attributes | {QUEUE_WAIT_MS: waited_s * _MS}
        first, *others = parents
        span = self._tracer.start_span(
            name,
            first,
            SpanKind.CONSUMER,
            attributes,
            links=[Link(_span_context(other)) for other in others],
            start_time=began_ns,
        )
        try:
            # Not recorded by the library: an exception's message may quote a reading.
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            self._fail(span, type(error).__name__)
            raise
        finally:
            span.end()
            link = Link(span.get_span_context())
            for other in others:
                self._tracer.start_span(
                    name, other, SpanKind.CONSUMER, attributes, links=[link], start_time=began_ns
                ).end()

    def phase(self, name: str) -> AbstractContextManager[object]:
        """The context of a part of the current task."""
        span = get_current_span()
        return _phase(span, name) if span.is_recording() else nullcontext()

    def current_trace_id(self) -> str | None:
        """The trace id of the span that this thread runs in."""
        context = get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None


@contextmanager
def _phase(span: Span, name: str) -> Iterator[None]:
    began_ns = time.perf_counter_ns()
    try:
        yield
    finally:
        span.set_attribute(f"evzone.{name}_ms", (time.perf_counter_ns() - began_ns) / _NS_A_MS)


def _context_of(traceparent: str) -> Context:
    """The context that a `traceparent` names; an empty one if the text is malformed."""
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, _EMPTY)


def _span_context(parent: Context) -> SpanContext:
    return get_current_span(parent).get_span_context()
