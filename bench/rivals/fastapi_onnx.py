# mypy: ignore-errors
"""FastAPI with pydantic, the models in the web process, no queue. Started twice.

Each process listens on the port itself (SO_REUSEPORT), so that the kernel spreads connections over both: of
uvicorn's own two workers, which share one socket, the first to wake takes nearly all of a benchmark's.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

from bench.rivals.answer import Answerer
from models.reading import Reading

app = FastAPI()
answerer = Answerer()


class Metrics(BaseModel):
    charger_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9*_=:+|@.\-]{1,128}$")]
    connector_status: Literal[
        "AVAILABLE", "CHARGING", "OCCUPIED", "UNAVAILABLE", "OFFLINE", "FAULTY", "FULLY_CHARGED"
    ]
    energy_delivered: Annotated[float, Field(ge=0, le=1e6)] | None = None
    power: Annotated[float, Field(ge=0, le=1e5)] | None = None
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


@app.post("/predict")
async def predict(request: Request) -> Response:
    fields = request.metrics.model_dump()
    fields["timestamp"] = fields["timestamp"] or datetime.now(UTC)
    fields["error_codes"] = tuple(fields["error_codes"] or ())
    fields["metadata"] = fields["metadata"] or {}
    (body,) = answerer.verdicts([Reading(**fields)])
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
