"""`/api/v1/predictions`: single predictions and the cache.

`web/fast_path.py` answers plain requests before they reach these views.
"""

from __future__ import annotations

from functools import partial

from flask.views import MethodView
from flask_smorest import Blueprint

import tracing
from errors import QueueFull, UnknownCharger
from readings.parsing import decode_json
from readings.reading import KINDS
from web.http.messages import Response, current_request, no_content
from web.http.request_bodies import parse, read_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas
from web.openapi.decorators import answers, refuses, takes, takes_query

blueprint = Blueprint(
    "predictions",
    __name__,
    url_prefix="/api/v1/predictions",
    description="Will it fail, when, why, what to do, at which cost?",
)


# Decodes values that `orjson` refuses, so that the schema can name the wrong field.
_decode = partial(decode_json, for_schema=True)


def _predict() -> Response:
    request, shared = current_request(), services()
    if request.caller is not None:
        # First, so that bodies that are refused count too.
        request.limits = shared.access.take_reading(request.caller)
    asked = parse(
        request.path,
        request.query_string,
        request.headers.get,
        lambda: read_body(request, shared.settings.max_body_bytes),
        access=shared.access,
        decode=_decode,
        is_refused_unread=shared.predictor.is_refused_unread,
    )
    if asked.reading is None:
        raise QueueFull("predictions")
    request.retry_location = asked.retry_location
    with shared.waiting_threads:
        body = shared.predictor.predict(
            asked.kind,
            asked.reading,
            asked.tenant,
            store=asked.store,
            trace=tracing.traceparent_of(request.span),
        )
    return Response(body, content_type="application/json")


@blueprint.route("/failure", methods=["POST"])
@takes(blueprint, schemas.PREDICTION_BODIES)
@takes_query(blueprint, schemas.PredictionQuerySchema)
@answers(blueprint, schemas.FailurePredictionSchema)
@refuses(blueprint, 400, 408, 413, 415, 422, 429, 504)
@needs("predict")
def predict_failure() -> Response:
    """Probability of failure within 1, 7 and 30 days, with reasons and next steps"""
    return _predict()


@blueprint.route("/maintenance", methods=["POST"])
@takes(blueprint, schemas.PREDICTION_BODIES)
@takes_query(blueprint, schemas.PredictionQuerySchema)
@answers(blueprint, schemas.MaintenanceScheduleSchema)
@refuses(blueprint, 400, 408, 413, 415, 422, 429, 504)
@needs("predict")
def predict_maintenance() -> Response:
    """When a visit is cheapest, and what it saves"""
    return _predict()


@blueprint.route("/anomaly", methods=["POST"])
@takes(blueprint, schemas.PREDICTION_BODIES)
@takes_query(blueprint, schemas.PredictionQuerySchema)
@answers(blueprint, schemas.AnomalyVerdictSchema)
@refuses(blueprint, 400, 408, 413, 415, 422, 429, 504)
@needs("predict")
def detect_anomaly() -> Response:
    """Whether the reading is unlike the fleet's, and in what"""
    return _predict()


@blueprint.route("/<string:charger_id>")
class CachedPrediction(MethodView):
    """`GET` and `DELETE` of one charger's cached predictions."""

    @blueprint.response(200, schemas.FailurePredictionSchema)
    @refuses(blueprint, 404)
    @needs("read")
    def get(self, charger_id: str) -> Response:
        """The newest cached failure prediction of a charger"""
        body = services().cache.newest("failure", charger_id, current_request().tenant)
        if body is None:
            hint = " To score a reading, POST it here." if charger_id in KINDS else ""
            raise UnknownCharger(f"No prediction of charger {charger_id} is cached.{hint}")
        return Response(body, content_type="application/json")

    @blueprint.response(204)
    @refuses(blueprint)
    @needs("predict")
    def delete(self, charger_id: str) -> Response:
        """Forget the cached predictions of a charger"""
        services().cache.delete(charger_id, current_request().tenant)
        return no_content()
