"""`/api/v1/models`: list the models that workers hold; reload, activate, roll back and verify versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from flask_smorest import Blueprint

import metrics
from tasks.monitoring import heartbeats
from tasks.monitoring.heartbeats import WorkerState
from web.http.messages import Response
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import model_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint("models", __name__, url_prefix="/api/v1/models", description="Models in force.")

RELOAD_WAIT_S: Final = 3.0
_VERSION: Final = model_schemas.ActivateSchema()


@blueprint.route("")
@blueprint.response(200, model_schemas.ModelsSchema)
@refuses(blueprint)
@needs("read")
def list_models() -> Response:
    """The models that the workers hold now"""
    models = held_models(heartbeats.living(services().redis))
    return _json({"models": models, "total": len(models)})


@blueprint.route("/reload", methods=["POST"])
@blueprint.response(200, model_schemas.ReloadSchema)
@blueprint.alt_response(
    202, schema=model_schemas.ReloadSchema, description="Not every worker has answered yet."
)
@refuses(blueprint)
@needs("admin")
def reload_models() -> Response:
    """Have every worker look at the model folder; running requests are answered by the old version"""
    with services().waiting_threads:
        living, settled = heartbeats.reload(services().redis, timeout_s=RELOAD_WAIT_S)
    metrics.ADMIN_ACTIONS.labels(action="reload").inc()
    body = {
        "status": "reloaded" if settled else "requested",
        "workers": sum(worker.able for worker in living),
        "models": held_models(living),
    }
    return _json(body, status=200 if settled else 202)


@blueprint.route("/<string:name>")
@blueprint.response(200, model_schemas.ModelCardSchema)
@refuses(blueprint, 404, 409)
@needs("read")
def show_model(name: str) -> Response:
    """The model card: its versions, how the active one was made and measured, and who holds it"""
    return _json(services().versions.card(name))


@blueprint.route("/<string:name>/activate", methods=["POST"])
@takes(blueprint, model_schemas.ActivateSchema)
@blueprint.response(200, model_schemas.SwitchSchema)
@blueprint.alt_response(
    202, schema=model_schemas.SwitchSchema, description="Not every worker has switched yet."
)
@refuses(blueprint, 400, 404, 408, 409, 413, 415, 422, 504)
@needs("admin")
def activate_model(name: str) -> Response:
    """Verify a version in a worker and make it the active one; a version that is refused changes nothing"""
    version: str = loaded_body(_VERSION)["version"]
    return _switched(name, version, switch_to(name, version))


@blueprint.route("/<string:name>/rollback", methods=["POST"])
@blueprint.response(200, model_schemas.SwitchSchema)
@blueprint.alt_response(
    202, schema=model_schemas.SwitchSchema, description="Not every worker has switched yet."
)
@refuses(blueprint, 404, 409, 504)
@needs("admin")
def rollback_model(name: str) -> Response:
    """Make the version active that was active before; again goes one version further back"""
    version, settled = switch_back(name)
    return _switched(name, version, settled)


@blueprint.route("/<string:name>/versions/<string:version>/verify", methods=["POST"])
@blueprint.response(200, model_schemas.SwitchSchema)
@refuses(blueprint, 404, 409, 504)
@needs("admin")
def verify_version(name: str, version: str) -> Response:
    """Have a worker check a version's files and golden rows, without using it"""
    with services().waiting_threads:
        services().versions.verify(name, version)
    return _json({"name": name, "version": version, "status": "verified"})


def switch_to(name: str, version: str) -> bool:
    """Activate a version for the API or the console. Returns and raises like `Versions.activate`."""
    with services().waiting_threads:
        settled = services().versions.activate(name, version)
    metrics.ADMIN_ACTIONS.labels(action="activate").inc()
    return settled


def switch_back(name: str) -> tuple[str, bool]:
    """Roll a model back for the API or the console. Returns and raises like `Versions.rollback`."""
    with services().waiting_threads:
        version, settled = services().versions.rollback(name)
    metrics.ADMIN_ACTIONS.labels(action="rollback").inc()
    return version, settled


def held_models(living: Sequence[WorkerState]) -> list[dict[str, Any]]:
    """The versions that workers hold, each once: `active` if all workers hold it, otherwise `partial`."""
    able = [worker for worker in living if worker.able]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    holders: dict[tuple[str, str], list[str]] = {}
    refused: dict[tuple[str, str], dict[str, Any]] = {}
    for worker in able:
        for model in worker.models:
            key = (model["name"], model["version"])
            found.setdefault(key, model)
            holders.setdefault(key, []).append(f"{worker.name}:{worker.pid}")
            if model.get("refused"):  # a worker of an older release states none
                refused.setdefault(key, model["refused"])
    return [
        model
        | {
            "status": "active" if len(holders[key]) == len(able) else "partial",
            "workers": holders[key],
            "refused": refused.get(key),
        }
        for key, model in sorted(found.items())
    ]


def _switched(name: str, version: str, settled: bool) -> Response:
    status = "active" if settled else "requested"
    return _json({"name": name, "version": version, "status": status}, status=200 if settled else 202)


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
