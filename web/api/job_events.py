"""`GET /api/v1/jobs/{id}/events`: a job's progress as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import orjson
from flask_smorest import Blueprint

from errors import UnknownJob
from tasks.jobs.job_record import Job
from tasks.storage import redis_clock
from web.http.connection import Connection, shutting_down
from web.http.messages import Response, current_request, no_content
from web.http.roles import needs
from web.http.services import services
from web.http.streaming import StreamBroken, stream
from web.openapi.decorators import refuses, takes_headers
from web.openapi.header_schemas import EventsHeadersSchema

blueprint = Blueprint("events", __name__, url_prefix="/api/v1/jobs", description="A job's progress, live.")

EVENT_STREAM: Final = "text/event-stream"
LOOK_EVERY_S: Final = 0.5
KEEP_ALIVE_S: Final = 10.0
LONGEST_S: Final = 600.0
# The id of the last event. A browser that reconnects with it gets a 204, which ends its retries.
THE_END: Final = "done"
RETRY: Final = b"retry: 1000\n\n"
# One event, as OpenAPI describes a stream of them.
_EVENT: Final = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "done"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
        "retry": {"type": "integer", "description": "Milliseconds until a browser comes back."},
    },
}
_DESCRIBED: Final = {
    "responses": {
        200: {
            "description": "`progress` (when something has changed, at most twice a second) and, once the "
            "job has ended, `done`; the data of both is the job as `GET /jobs/{job_id}` shows it. A comment "
            "every 10 s keeps the connection. After 10 minutes, or when the service is restarted, the stream "
            "ends without `done`: connect again.",
            "content": {EVENT_STREAM: {"schema": _EVENT}},
        },
        204: {"description": "`done` has been seen."},
    },
}


@blueprint.route("/<string:job_id>/events")
@refuses(blueprint, 404)
@takes_headers(blueprint, EventsHeadersSchema)
@blueprint.doc(**_DESCRIBED)
@needs("read")
def job_events(job_id: str) -> Response:
    """Progress of a job as server-sent events"""
    request, jobs = current_request(), services().jobs
    tenant = request.tenant
    job = jobs.get(job_id, tenant)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if job.ended and request.headers.get("Last-Event-ID") == THE_END:
        return no_content(headers)

    def events(connection: Connection) -> Iterator[bytes]:
        now = job
        shown, said_at = None, time.monotonic()
        until = said_at + LONGEST_S
        yield RETRY
        while True:
            state = (now.status, now.done, now.failed)
            if now.ended:
                yield _event("done", now, THE_END)
                return
            if state != shown:
                shown, said_at = state, time.monotonic()
                yield _event("progress", now, str(now.done))
            elif time.monotonic() - said_at >= KEEP_ALIVE_S:
                said_at = time.monotonic()
                yield b": still there\n\n"
            if connection.over(LOOK_EVERY_S) or time.monotonic() >= until or shutting_down():
                return
            try:
                now = jobs.get(job_id, tenant)
            except UnknownJob:
                raise StreamBroken(f"job {job_id} has expired") from None

    return stream(events, content_type=EVENT_STREAM, headers=headers)


def _event(name: str, job: Job, its_id: str) -> bytes:
    data: dict[str, Any] = job.document(redis_clock.now())
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), its_id.encode(), orjson.dumps(data))
