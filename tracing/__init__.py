"""OpenTelemetry traces, sent over OTLP/HTTP. Off unless the standard variables name a receiver.

One trace leads from an HTTP request or a Kafka record through queue and worker to the answer or outcome. Its
context travels as a W3C `traceparent`: in HTTP and Kafka headers, task messages and job records. Only sampled
traces have spans and travel, so that any other request costs one decision of the sampler.

While tracing is off nothing of OpenTelemetry is imported here, and every function returns at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Final

from settings import Settings
from tracing.values import TRACEPARENT, Attributes, Headers

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tracing.recorder import Recorder

__all__ = ["TRACEPARENT", "Attributes"]

_recorder: Recorder | None = None
_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


def start(settings: Settings, program: str) -> None:
    """Start tracing in this process if it is on. Call once, after the fork: a thread sends the spans.

    `program` is part of the service's name, unless `OTEL_SERVICE_NAME` says otherwise.
    """
    global _recorder
    if settings.traces and _recorder is None:
        from tracing.recorder import Recorder

        _recorder = Recorder(program)
        # Called at exit, also in the processes of granian, which end without `atexit`.
        Finalize(None, stop, exitpriority=1)


def stop() -> None:
    """Send the ended spans and end tracing. Blocks for 2 s at most."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None:
        recorder.close()


def begin_request(method: str, route: str, traceparent: str | None) -> Span | None:
    """Begin the span of an HTTP request; None if tracing is off or the trace is not sampled."""
    return None if _recorder is None else _recorder.begin_request(method, route, traceparent)


def begin_record(topic: str, headers: Headers) -> Span | None:
    """Begin the span of a consumed Kafka record; None if tracing is off or the trace is not sampled."""
    return None if _recorder is None else _recorder.begin_record(topic, headers)


def end(span: Span, attributes: Attributes, *, error: str | None = None) -> None:
    """End a span. `error` is the code of a failure that is this service's own."""
    if _recorder is not None:
        _recorder.end(span, attributes, error)


def traceparent_of(span: Span | None) -> str | None:
    """The context of a span as text, for headers and messages."""
    return None if span is None or _recorder is None else _recorder.traceparent_of(span)


def trace_id_of(span: Span | None) -> str | None:
    """The trace id of a span, 32 hexadecimal digits, for the log."""
    return None if span is None else f"{span.get_span_context().trace_id:032x}"


def task(
    name: str, traceparents: Iterable[str | None], *, waited_s: float | None, attributes: Attributes
) -> AbstractContextManager[None]:
    """A context for a task that serves these traces. It is one span, in the first trace, with links to all.

    Every further trace gets a span that links to the task's own. An attribute of all is `waited_s`,
    the time on the queue in seconds. Does nothing without a sampled trace.
    """
    return _NOTHING if _recorder is None else _recorder.task(name, traceparents, waited_s, attributes)


def phase(name: str) -> AbstractContextManager[object]:
    """A context for a part of the current task: an attribute of its span, if it has one, in milliseconds."""
    return _NOTHING if _recorder is None else _recorder.phase(name)


def current_trace_id() -> str | None:
    """The trace id of the task that this thread runs, for the log; None without one."""
    return None if _recorder is None else _recorder.current_trace_id()
