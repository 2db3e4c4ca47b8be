"""`/api/v1/outcomes`: report actual failures and repairs, correct reports, and read the live quality."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson
from flask import url_for
from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from errors import FieldError, InvalidParameter, UnknownCharger
from readings.reading import FUTURE_TOLERANCE
from readings.wrong_values import IN_THE_FUTURE
from tasks.monitoring import fleet_quality
from tasks.storage import redis_clock
from tasks.storage.live_quality import live_quality
from tasks.storage.outcomes import Outcome
from web.http.messages import Response, current_request, no_content
from web.http.paging import page
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import outcome_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint(
    "outcomes", __name__, url_prefix="/api/v1/outcomes", description="What really happened."
)

_REPORT: Final = outcome_schemas.OutcomeSchema()
_CORRECTION: Final = outcome_schemas.OutcomeCorrectionSchema()


@blueprint.route("")
class Outcomes(MethodView):
    """`GET` and `POST` of outcomes."""

    @blueprint.arguments(outcome_schemas.OutcomesQuerySchema, location="query")
    @blueprint.response(200, outcome_schemas.OutcomePageSchema)
    @refuses(blueprint)
    @needs("read")
    def get(self, query: dict[str, Any]) -> Response:
        """Reported outcomes, the latest first"""
        offset, limit = query["cursor"], query["limit"]
        found, total = services().outcomes.page(
            current_request().tenant, query.get("charger_id"), offset=offset, limit=limit
        )
        following = offset + limit if offset + limit < total else None
        return page([orjson.dumps(each.document()) for each in found], following=following, total=total)

    @takes(blueprint, outcome_schemas.OutcomeSchema)
    @blueprint.response(202, outcome_schemas.OutcomeAcceptedSchema)
    @refuses(blueprint, 400, 404, 408, 413, 415)
    @needs("predict")
    def post(self) -> Response:
        """Report that a charger failed, was repaired, or that an alert was false"""
        kept = stored_report(current_request().tenant, loaded_body(_REPORT))
        # `called` is deprecated and stays for one release.
        body = orjson.dumps({**kept.document(), "called": kept.alerted})
        headers = {"Location": url_for("outcomes.ReportedOutcome", outcome_id=kept.outcome_id)}
        return Response(body, status=202, content_type="application/json", headers=headers)


@blueprint.route("/quality")
@blueprint.response(200, outcome_schemas.LiveQualitySchema)
@refuses(blueprint)
@needs("read")
def quality() -> Response:
    """Quality of the verdicts by the outcomes reported, and the expected one before any are"""
    held, tenant = services(), current_request().tenant
    report = live_quality(held.outcomes.kept(tenant))
    with held.fleets.of(tenant) as (fleet, since_ms):
        probabilities = fleet_quality.probabilities(fleet, since_ms=since_ms)
    report["expected"] = fleet_quality.expected(held.settings, probabilities)
    return Response(orjson.dumps(report), content_type="application/json")


# Of the length of an id, so that the path of the quality is not taken for one.
@blueprint.route("/<string(length=32):outcome_id>")
class ReportedOutcome(MethodView):
    """`GET`, `PUT` and `DELETE` of one outcome."""

    @blueprint.response(200, outcome_schemas.ReportedOutcomeSchema)
    @refuses(blueprint, 404)
    @needs("read")
    def get(self, outcome_id: str) -> Response:
        """A reported outcome"""
        return _json(services().outcomes.get(current_request().tenant, outcome_id).document())

    @takes(blueprint, outcome_schemas.CORRECTIONS)
    @blueprint.response(200, outcome_schemas.ReportedOutcomeSchema)
    @refuses(blueprint, 400, 404, 408, 409, 413, 415)
    @needs("predict")
    def put(self, outcome_id: str) -> Response:
        """Correct the outcome, its time, or both; the live quality follows"""
        correction = _checked(loaded_body(_CORRECTION))
        occurred_at: datetime | None = correction.get("occurred_at")
        corrected = services().outcomes.correct(
            current_request().tenant,
            outcome_id,
            outcome=correction.get("outcome"),
            occurred_at=None if occurred_at is None else occurred_at.timestamp(),
        )
        metrics.OUTCOME_CHANGES.labels(change="corrected").inc()
        return _json(corrected.document())

    @blueprint.response(204)
    @refuses(blueprint, 404)
    @needs("predict")
    def delete(self, outcome_id: str) -> Response:
        """Delete an outcome that was reported by mistake; the live quality follows"""
        services().outcomes.delete(current_request().tenant, outcome_id)
        metrics.OUTCOME_CHANGES.labels(change="deleted").inc()
        return no_content()


def stored_report(tenant: str | None, report: dict[str, Any]) -> Outcome:
    """Store a report, a loaded `OutcomeSchema`. Returns the outcome; a repeated report is stored once.

    Raises `InvalidParameter` for a time in the future, `UnknownCharger`, and `redis.RedisError`.
    """
    held, report = services(), _checked(report)
    charger_id = report["charger_id"]
    reported = (tenant, charger_id, report["outcome"], report["occurred_at"].timestamp())
    kept, is_new = held.outcomes.reported(*reported), False
    if kept is None:
        if not held.charger_data.exists(tenant, charger_id):
            of = "this tenant" if tenant else "requests without a tenant"
            raise UnknownCharger(
                f"No reading, verdict or outcome of charger {charger_id} is stored for {of}. "
                "Look for a misspelt id, or another X-Tenant-ID."
            )
        kept, is_new = held.outcomes.add(*reported)
    if is_new:
        metrics.OUTCOMES.labels(outcome=kept.outcome, called=str(kept.alerted).lower()).inc()
    return kept


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """The loaded body. Raises `InvalidParameter` for a time in the future."""
    if "occurred_at" in body and body["occurred_at"] > redis_clock.moment() + FUTURE_TOLERANCE:
        raise InvalidParameter([FieldError("/occurred_at", IN_THE_FUTURE, "future")])
    return body


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")
