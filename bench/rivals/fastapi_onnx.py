# mypy: ignore-errors
"""FastAPI with pydantic, the models in the web process, no queue. Started twice.

Each process listens on the port itself (SO_REUSEPORT), so that the kernel distributes connections over both.
uvicorn's own workers share one socket, and the first to wake takes nearly all connections of a benchmark.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

from bench.rivals.responses import Answerer
from readings.reading import Reading

SCORED_AT_ONCE = 4096

app = FastAPI()
answerer = Answerer()


class Metrics(BaseModel):
    charger_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9*_=:+|@.\-]{1,128}$")]
    connector_status: Literal[
        "AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED"
    ]
    energy_delivered: Annotated[float, Field(ge=0, le=10_000)] | None = None
    power: Annotated[float, Field(ge=0, le=5_000)] | None = None
    temperature: Annotated[float, Field(ge=-60, le=200)] | None = None
    error_codes: list[str] | None = None
    uptime_hours: Annotated[float, Field(ge=0, le=1e6)] | None = None
    total_sessions: Annotated[int, Field(ge=0, le=10**9)] | None = None
    last_maintenance: datetime | None = None
    timestamp: datetime | None = None
    metadata: dict[str, Any] | None = None


class Request(BaseModel):
    charger_id: str
    metrics: Metrics


class Batch(BaseModel):
    chargers: list[Metrics]


@app.post("/predict")
async def predict(request: Request) -> Response:
    (body,) = answerer.verdicts([_reading(request.metrics)])
    return Response(body, media_type="application/json")


@app.post("/batch")
def predict_batch(batch: Batch) -> Response:
    """Score a few thousand readings at a time, which is faster than all at once."""
    bodies = []
    for start in range(0, len(batch.chargers), SCORED_AT_ONCE):
        some = batch.chargers[start : start + SCORED_AT_ONCE]
        bodies += answerer.verdicts([_reading(metrics) for metrics in some])
    return Response(b'{"predictions":[' + b",".join(bodies) + b"]}", media_type="application/json")


def _reading(metrics: Metrics) -> Reading:
    fields = metrics.model_dump()
    fields["timestamp"] = fields["timestamp"] or datetime.now(UTC)
    fields["error_codes"] = tuple(fields["error_codes"] or ())
    fields["metadata"] = fields["metadata"] or {}
    return Reading(**fields)


if __name__ == "__main__":
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
