"""`/api/v1/models`: what the workers really hold, and the order to look again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
from flask import Response
from flask_smorest import Blueprint

from tasks import workers
from tasks.workers import WorkerState
from web import schemas
from web.documented import refuses
from web.services import services

blueprint = Blueprint("models", __name__, url_prefix="/api/v1/models", description="Models in force.")

RELOAD_WAIT_S: Final = 3.0
POLL_S: Final = 0.1


@blueprint.route("")
@blueprint.response(200, schemas.ModelsSchema)
@refuses(blueprint)
def list_models() -> Response:
    """The models that the workers hold now"""
    models = held_models(workers.living(services().redis))
    return _json({"models": models, "total": len(models)})


@blueprint.route("/reload", methods=["POST"])
@blueprint.response(200, schemas.ReloadSchema)
@blueprint.alt_response(202, schema=schemas.ReloadSchema, description="Not every worker has answered yet.")
@refuses(blueprint)
def reload_models() -> Response:
    """Have every worker look at the model folder; running requests are answered by the old version"""
    redis = services().redis
    generation = workers.request_reload(redis)
    deadline = time.monotonic() + RELOAD_WAIT_S
    with services().gate.place():
        while True:
            living = workers.living(redis)
            settled = bool(living) and all(worker.generation >= generation for worker in living)
            if settled or time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
    body = {
        "status": "reloaded" if settled else "requested",
        "workers": sum(worker.able for worker in living),
        "models": held_models(living),
    }
    return _json(body, status=200 if settled else 202)


def held_models(living: Sequence[WorkerState]) -> list[dict[str, Any]]:
    """Each version that some worker holds, once: `active` if all hold it, otherwise `partial`."""
    able = [worker for worker in living if worker.able]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    holders: dict[tuple[str, str], list[str]] = {}
    for worker in able:
        for model in worker.models:
            key = (model["name"], model["version"])
            found.setdefault(key, model)
            holders.setdefault(key, []).append(f"{worker.name}:{worker.pid}")
    return [
        model
        | {
            "status": "active" if len(holders[key]) == len(able) else "partial",
            "workers": holders[key],
        }
        for key, model in sorted(found.items())
    ]


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
