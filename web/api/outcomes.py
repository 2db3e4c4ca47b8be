"""`/api/v1/outcomes`: report actual failures and repairs, and read the live quality of verdicts."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from flask_smorest import Blueprint

import metrics
from errors import FieldError, InvalidParameter
from readings.reading import FUTURE_TOLERANCE
from readings.wrong_values import IN_THE_FUTURE
from tasks.storage.outcomes import live_quality
from web.http.messages import Response, current_request
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint(
    "outcomes", __name__, url_prefix="/api/v1/outcomes", description="What really happened."
)

_SCHEMA = schemas.OutcomeSchema()


@blueprint.route("", methods=["POST"])
@takes(blueprint, schemas.OutcomeSchema)
@blueprint.response(202, schemas.OutcomeAcceptedSchema)
@refuses(blueprint, 400, 408, 413, 415)
@needs("predict")
def post_outcome() -> Response:
    """Report that a charger failed, was repaired, or that an alert was false"""
    outcome = loaded_body(_SCHEMA)
    if outcome["occurred_at"] > datetime.now(UTC) + FUTURE_TOLERANCE:
        raise InvalidParameter([FieldError("/occurred_at", IN_THE_FUTURE, "future")])
    kept = services().outcomes.add(
        current_request().tenant,
        outcome["charger_id"],
        outcome["outcome"],
        outcome["occurred_at"].timestamp(),
    )
    metrics.OUTCOMES.labels(outcome=kept.outcome, called=str(kept.alerted).lower()).inc()
    answer = {
        "charger_id": kept.charger_id,
        "outcome": kept.outcome,
        "verdict_known": kept.verdict is not None,
        "alerted": kept.alerted,
        "called": kept.alerted,  # deprecated: stays for one release
    }
    return Response(orjson.dumps(answer), status=202, content_type="application/json")


@blueprint.route("/quality")
@blueprint.response(200, schemas.LiveQualitySchema)
@refuses(blueprint)
@needs("read")
def quality() -> Response:
    """Precision, recall, lead time and calibration of the verdicts, by the outcomes reported"""
    report = live_quality(services().outcomes.kept(current_request().tenant))
    return Response(orjson.dumps(report), content_type="application/json")
