"""`/models`: versions, cards, drift, shadow, live quality. An administrator switches versions here."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import fields
from werkzeug.wrappers import Response as BaseResponse

from errors import NotFound, ServiceError
from tasks.monitoring import fleet_quality, heartbeats
from tasks.monitoring.drift_counts import WINDOWS
from tasks.monitoring.versions import STORED, stored_name
from tasks.storage.live_quality import live_quality
from web.api.models import held_models, switch_back, switch_to
from web.api.shadow import begin_shadow, end_shadow
from web.console.model_figures import (
    DRIFT_MEANINGS,
    confidence_plot,
    drift_bars,
    figures_of,
    shadow_bars,
)
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import loaded, loaded_query
from web.http.errors import Problem, problem_of
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import model_schemas

blueprint = page_blueprint("models")

MODELS: Final = tuple(dict.fromkeys(STORED.values()))
# Features with a histogram; the others are in a table.
HISTOGRAMS: Final = 12
# An SVG file has its styles within it. It is shown as a picture, and runs no script.
_PLOT_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=300",
}
_VERSION: Final = model_schemas.ActivateSchema()


class _ModelQuery(model_schemas.DriftQuerySchema):
    """The version whose card is shown, and how far back the drift goes."""

    version = fields.String(load_default=None)


_QUERY: Final = _ModelQuery()


@blueprint.get("/models")
@needs("read")
def show_models() -> Response:
    """The models in force, and how good their verdicts turned out to be"""
    held = services()
    with held.fleets.of(current_request().tenant) as (fleet, since_ms):
        probabilities = fleet_quality.probabilities(fleet, since_ms=since_ms)
    in_force = held_models(heartbeats.living(held.redis))
    drift = held.monitor.snapshot.drift
    return render(
        "models.html",
        models=[
            {
                **_versions_of(name),
                "held": [each for each in in_force if each["name"] == name],
                "drift": drift.get(name),
            }
            for name in MODELS
        ],
        quality=live_quality(held.outcomes.kept(current_request().tenant)),
        expected=fleet_quality.expected(held.settings, probabilities),
        drift_meanings=DRIFT_MEANINGS,
    )


@blueprint.get("/models/<string:name>")
@needs("read")
def show_model(name: str) -> Response:
    """One model: its versions, the card of one, drift and shadow"""
    return _model_page(name, loaded_query(_QUERY))


@blueprint.get("/models/<string:name>/versions/<string:version>/<string:plot>.svg")
@needs("read")
def show_plot(name: str, version: str, plot: str) -> Response:
    """A plot of the evaluation of a version"""
    drawing = services().versions.plot(name, version, plot)
    if drawing is None:
        raise NotFound("No such plot.")
    return Response(drawing, content_type="image/svg+xml", headers=_PLOT_HEADERS)


@blueprint.post("/models/<string:name>/activate")
@needs("admin")
def activate(name: str) -> BaseResponse:
    """Verify a version and make it the active one"""
    return _switched(name, "activate")


@blueprint.post("/models/<string:name>/rollback")
@needs("admin")
def roll_back(name: str) -> BaseResponse:
    """Make the version active that was active before"""
    return _switched(name, "rollback")


@blueprint.post("/models/<string:name>/shadow")
@needs("admin")
def set_shadow(name: str) -> BaseResponse:
    """Have a version score beside the active one"""
    return _switched(name, "shadow")


@blueprint.post("/models/<string:name>/shadow/clear")
@needs("admin")
def clear_shadow(name: str) -> BaseResponse:
    """Have no version score beside the active one"""
    return _switched(name, "clear")


def _switched(name: str, change: str) -> BaseResponse:
    """Carry out a change, and show the model again: with a message, or with the reason of a refusal."""
    request = current_request()
    request.is_audited = True
    try:
        if change == "activate":
            settled = switch_to(name, _version_sent())
        elif change == "rollback":
            _, settled = switch_back(name)
        elif change == "shadow":
            settled = begin_shadow(name, _version_sent())
        else:
            settled = end_shadow(name)
    except ServiceError as error:
        if name not in MODELS:
            raise
        return _model_page(name, loaded(_QUERY, {}), problem_of(error))
    return go_to("console_models.show_model", name=name, done=change if settled else "switching")


def _version_sent() -> str:
    version: str = loaded(_VERSION, current_request().form.to_dict())["version"]
    return version


def _model_page(name: str, query: dict[str, Any], problem: Problem | None = None) -> Response:
    name = stored_name(name)
    held, versions = services(), _versions_of(name)
    shown = query["version"] or versions["active"]
    card, card_problem = None, versions["problem"]
    if shown is not None:
        try:
            card = held.versions.manifest(name, shown)
        except ServiceError as error:
            if query["version"] not in (None, *versions["on_disk"]):
                raise
            card_problem = str(error)
    living = heartbeats.living(held.redis)
    response = render(
        "model.html",
        problem=problem,
        versions=versions,
        rows=[_row(name, version) for version in versions["on_disk"]],
        held=[each for each in held_models(living) if each["name"] == name],
        shown=shown,
        card=card,
        card_problem=card_problem,
        figures=figures_of(card or {}),
        confidence=confidence_plot(card or {}),
        plots=[] if card is None else held.versions.plots(name, str(shown)),
        window=query["window"],
        windows=tuple(WINDOWS),
        drift=_drift(name, query["window"]),
        drift_meanings=DRIFT_MEANINGS,
        shadow=_shadow(name) if versions["shadow"] else None,
    )
    if problem is not None:
        response.status_code = problem.status
        response.headers.update(problem.headers)
    return response


def _versions_of(name: str) -> dict[str, Any]:
    """The versions of a model on disk, also where none can serve. `problem` is the reason for that."""
    versions = services().versions
    found = {"name": name, "on_disk": versions.on_disk(name), "previous": versions.previous(name)}
    try:
        card = versions.card(name)
    except ServiceError as error:
        return {**found, "active": None, "shadow": None, "card": None, "problem": str(error)}
    return {
        **found,
        "active": card["active"],
        "shadow": card["shadow"],
        "card": card["card"],
        "problem": None,
    }


def _row(name: str, version: str) -> dict[str, Any]:
    try:
        manifest = services().versions.manifest(name, version)
    except ServiceError as error:
        return {"version": version, "problem": str(error)}
    return {
        "version": version,
        "problem": None,
        "trained_at": manifest.get("trained_at"),
        "trained_on": manifest.get("trained_on"),
        "simulated": bool(manifest.get("simulated")),
    }


def _drift(name: str, window: str) -> dict[str, Any]:
    try:
        report = services().drift.report(name, window)
    except ServiceError as error:
        return {"problem": str(error)}
    features = report["features"]
    return {
        **report,
        "problem": None,
        "score_bars": drift_bars(report["score"]),
        "with_bars": [(each, drift_bars(each)) for each in features[:HISTOGRAMS]],
        "others": features[HISTOGRAMS:],
    }


def _shadow(name: str) -> dict[str, Any]:
    try:
        report = services().shadows.report(name)
    except ServiceError as error:
        return {"problem": str(error), "bars": None}
    return {**report, "bars": shadow_bars(report)}
