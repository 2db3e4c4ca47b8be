"""A receiver of OpenTelemetry traces over HTTP, for tests: it decodes and keeps every span."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from stack.servers import LOOPBACK
from tests.processes import wait_until

PATH: Final = "/v1/traces"


@dataclass(frozen=True)
class ReceivedSpan:
    """One span. Ids are hexadecimal, `parent_id` is empty for the first of a trace; times in nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    linked_traces: tuple[str, ...]
    attributes: dict[str, Any]
    is_error: bool


class OtlpReceiver:
    """Answers `POST /v1/traces` on a free port. While `is_mute`, it accepts requests and answers none."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.is_mute = False
        self.was_asked = threading.Event()
        self._unmuted = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.was_asked.set()
                if receiver.is_mute:
                    receiver._unmuted.wait()
                if receiver.is_mute:
                    return
                receiver.spans += _spans_of(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if self.path == PATH else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        """The variables that make a program send its spans here, soon after they end."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of a trace, in the order of their beginnings."""
        return sorted(
            (span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.began_ns
        )

    def unmute(self) -> None:
        """Answer now what was asked while it was mute."""
        self.is_mute = False
        self._unmuted.set()

    def wait_for(self, trace_id: str, *names: str) -> dict[str, ReceivedSpan]:
        """Wait until a trace has spans with these names; all its spans by name."""

        def found() -> dict[str, ReceivedSpan]:
            spans = {span.name: span for span in self.trace(trace_id)}
            return spans if spans.keys() >= set(names) else {}

        return wait_until(found, what=f"spans {names} of {trace_id}", log=lambda: self.drawn(trace_id))

    def drawn(self, trace_id: str) -> str:
        """A trace as text: one line a span, indented below its parent."""
        spans = self.trace(trace_id)
        known = {span.span_id for span in spans}

        def lines(parent_id: str | None, indent: str) -> Iterator[str]:
            for span in spans:
                if (span.parent_id if span.parent_id in known else None) == parent_id:
                    took_ms = (span.ended_ns - span.began_ns) / 1e6
                    yield f"{indent}{span.service}: {span.name} {took_ms:.1f} ms"
                    yield from lines(span.span_id, indent + "  ")

        return "\n".join(lines(None, ""))

    def close(self) -> None:
        """Stop answering."""
        self._unmuted.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _spans_of(body: bytes) -> list[ReceivedSpan]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            found += [
                ReceivedSpan(
                    service=service,
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    linked_traces=tuple(link.trace_id.hex() for link in span.links),
                    attributes=_values(span.attributes),
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                )
                for span in scope.spans
            ]
    return found


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
