"""The ASGI application: single predictions wait on the event loop, everything else runs in Flask.

A thread that waits for a verdict costs four times as much as the rest of the request. Each thread is woken
separately and then queues for the interpreter lock. A future on the loop costs almost nothing
(docs/adr/0008). Both paths use the rules of `web/http/request_bodies.py`. Refused requests and large bodies
go to Flask's view of the same path, which parses them in a thread and returns the error.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote_from_bytes

import orjson
from a2wsgi import WSGIMiddleware
from structlog.contextvars import bound_contextvars

import metrics
import tracing
from errors import BodyTooSlow, LimitState, ServiceError
from readings.reading import Kind
from settings import Settings
from web.app import create_app
from web.http import access
from web.http.asgi_bodies import BodyReader, replayed
from web.http.connection import AsgiConnection
from web.http.errors import Problem, problem_of
from web.http.rate_limits import limit_headers
from web.http.request_bodies import KIND_BY_PATH, PREFIX, SingleRequest, parse
from web.http.services import EXTENSION, Services
from web.http.thread_queue import ThreadQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from a2wsgi.asgi_typing import HTTPScope, Receive, ReceiveEvent, Scope, Send, SendEvent

# Flask's endpoint names, so that both paths share one metric label.
ENDPOINTS: Final[dict[Kind, str]] = {
    "failure": "predictions.predict_failure",
    "maintenance": "predictions.predict_maintenance",
    "anomaly": "predictions.detect_anomaly",
}
# The headers that `parse` reads, keyed by their ASGI names.
WANTED: Final = {
    name.lower().encode(): name
    for name in (
        "Content-Encoding",
        "Content-Type",
        "X-API-Key",
        "X-Request-ID",
        "X-Tenant-ID",
        tracing.TRACEPARENT,
    )
}
# Larger bodies are decoded in a thread: decoding blocks the event loop.
MOST_BYTES: Final = 65_536
# Probes do not wait (`web/http/thread_queue.py`): two threads are for them alone.
PROBE_THREADS: Final = 2
VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


Headers = list[tuple[bytes, bytes]]
OF_ALL: Final = _encoded(access.FIXED)
OF_VERDICTS: Final = _encoded({"Content-Type": "application/json"})


class FastPath:
    """The ASGI application. Lifespan events are not supported.

    Raises `RuntimeError` for any scope other than HTTP.
    """

    def __init__(self, settings: Settings) -> None:
        self.flask = create_app(settings)
        services: Services = self.flask.extensions[EXTENSION]
        self._predictor = services.predictor
        self._access = services.access
        self._logs_answers = settings.access_log
        self._body_s = settings.web_body_timeout_s
        self._bodies = BodyReader(min(MOST_BYTES, settings.max_body_bytes), self._body_s)
        # a2wsgi types the environ as a TypedDict, Flask as Any.
        self._threads = WSGIMiddleware(cast(Any, self.flask), workers=settings.web_threads + PROBE_THREADS)
        self._thread_queue = ThreadQueue(settings.web_threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"No {scope['type']} here.")
        started = time.perf_counter()
        if not self._access.counts_addresses:
            await self._respond(scope, receive, send, started)
            return
        with ExitStack() as held:
            try:
                self._admit(scope, held)
            except ServiceError as error:
                await self._refuse(error, scope, send, started)
            else:
                await self._respond(scope, receive, send, started)

    def _admit(self, scope: HTTPScope, held: ExitStack) -> None:
        """Refuse a request for its address, before its body is read and without a thread.

        Raises `TooManyFromAddress`, and `TooManyWrongKeys`.
        """
        path = scope["path"]
        if access.is_probe(scope["method"], path):
            return
        address = self._access.addresses.of_scope(scope)
        if self._access.open_requests is not None:
            held.enter_context(self._access.open_requests.one(address))
        if self._access.wrong_keys.is_slowed(address) and self._access.is_protected(path):
            presented = dict(scope["headers"]).get(b"x-api-key", b"").decode("latin-1")
            if self._access.is_wrong(presented):
                self._access.wrong_keys.count(address)

    async def _respond(self, scope: HTTPScope, receive: Receive, send: Send, started: float) -> None:
        events: list[ReceiveEvent] = []
        body = None
        if scope["method"] == "POST":
            # Read small bodies here for Flask too: one that never ends must not occupy a thread.
            try:
                events, body = await self._bodies.read(receive)
            except BodyTooSlow as error:
                await self._refuse(error, scope, send, started)
                return
            if body is not None and scope["path"] in KIND_BY_PATH:
                asked = self._parsed(scope, body)
                if asked is not None:
                    events.clear()  # thousands may wait, with 64 kB each
                    body = None
                    await self._send_prediction(*asked, scope, send, started)
                    return
        connection = AsgiConnection(
            replayed(events, receive),
            send,
            silent_s=self._body_s,
            has_body=bool(events),
            body_is_here=body is not None,
        )
        turn = nullcontext() if scope["path"] in access.PROBES else self._thread_queue.turn()
        try:
            async with turn:
                await self._threads(connection.within(_for_wsgi(scope)), connection.receive, connection.send)
        except Exception as error:
            if connection.answers:
                raise  # the server aborts the response
            if not isinstance(error, ServiceError):
                metrics.UNEXPECTED_ERRORS.labels(unit="request").inc()
            await self._refuse(error, scope, connection.send, started)
        finally:
            connection.close()

    def _parsed(self, scope: HTTPScope, body: bytes) -> tuple[SingleRequest, str, str | None] | None:
        """The request, its id and its trace's context, or None if it is refused.

        `orjson` is fast but does not name the wrong field. Flask's view parses a refused request again, and
        counts it for the limits of its key and tenant. So it must not be counted here.
        """
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in WANTED:
                known, text = WANTED[name], value.decode("latin-1")
                headers[known] = f"{headers[known]},{text}" if known in headers else text  # as in WSGI
        try:
            asked = parse(
                scope["path"],
                scope["query_string"],
                headers.get,
                lambda: body,
                access=self._access,
                decode=orjson.loads,
                is_refused_unread=self._predictor.is_refused_unread,
            )
        except Exception:
            return None
        return asked, access.request_id(headers.get("X-Request-ID", "")), headers.get(tracing.TRACEPARENT)

    async def _send_prediction(
        self,
        asked: SingleRequest,
        request_id: str,
        traceparent: str | None,
        scope: HTTPScope,
        send: Send,
        started: float,
    ) -> None:
        status = 200
        span = tracing.begin_request("POST", PREFIX + asked.kind, traceparent)
        limits: Sequence[LimitState] = ()
        try:
            limits = self._access.take_reading(asked.caller)
            if asked.reading is None:
                await self._predictor.refuse(asked.tenant)
            body = await self._predictor.predict_async(
                asked.kind,
                asked.reading,
                asked.tenant,
                store=asked.store,
                trace=tracing.traceparent_of(span),
            )
        except Exception as error:
            # Only on errors: binding costs more than the rest of the request's logging.
            with bound_contextvars(
                request_id=request_id, trace_id=tracing.trace_id_of(span), tenant=asked.tenant
            ):
                problem = problem_of(error, retry_location=asked.retry_location)
            status = problem.status
            await _send_problem(problem, request_id, send, limits)
        else:
            headers = OF_VERDICTS + _encoded(limit_headers(limits)) if limits else OF_VERDICTS
            await _send(status, headers, body, request_id, send)
        access.count(
            ENDPOINTS[asked.kind],
            "POST",
            status,
            started,
            path=PREFIX + asked.kind,
            address=self._access.addresses.of_scope(scope) if self._logs_answers else "",
            request_id=request_id,
            tenant=asked.tenant,
            span=span,
        )

    async def _refuse(
        self, error: Exception, scope: HTTPScope, send: Callable[[SendEvent], Awaitable[None]], started: float
    ) -> None:
        """Answer a request that did not reach Flask with a problem document, and count it."""
        request_id = access.request_id(dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1"))
        with bound_contextvars(request_id=request_id):
            problem = problem_of(error)
        await _send_problem(problem, request_id, send)
        access.count(
            "none",
            scope["method"],
            problem.status,
            started,
            path=scope["path"],
            address=self._access.addresses.of_scope(scope),
            request_id=request_id,
            tenant=None,
            span=None,
        )


async def _send_problem(
    problem: Problem,
    request_id: str,
    send: Callable[[SendEvent], Awaitable[None]],
    limits: Sequence[LimitState] = (),
) -> None:
    headers = _encoded(limit_headers(limits) | problem.all_headers())
    await _send(problem.status, headers, problem.body(request_id), request_id, send)


async def _send(
    status: int,
    headers: Headers,
    body: bytes,
    request_id: str,
    send: Callable[[SendEvent], Awaitable[None]],
) -> None:
    encoded = [
        *headers,
        *OF_ALL,
        (b"x-request-id", request_id.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _for_wsgi(scope: HTTPScope) -> HTTPScope:
    """The scope without what WSGI cannot carry: bytes and header names of more than one meaning.

    Non-ASCII bytes of the query are percent-encoded, as a2wsgi fails on them. Header names with `_` are
    dropped: in WSGI `X_Tenant_ID` is the same as `X-Tenant-ID`, which a gateway may have checked.
    """
    changed: dict[str, Any] = {}
    if not scope["query_string"].isascii():
        changed["query_string"] = quote_from_bytes(scope["query_string"], safe=VISIBLE).encode()
    if any(b"_" in name for name, _ in scope["headers"]):
        changed["headers"] = [header for header in scope["headers"] if b"_" not in header[0]]
    return cast("HTTPScope", {**scope, **changed}) if changed else scope
