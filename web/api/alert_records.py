"""`/api/v1/alerts`: list alerts, read one, and note that it is acknowledged, assigned or muted.

`web/console/alerts_page.py` does the same for people, with the functions of this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from errors import FieldError, InvalidParameter
from tasks.storage.alert_store import AlertFilter, AlertPage, cursor_of
from web.http.messages import Response, current_request
from web.http.paging import page
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import alert_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint(
    "alerts", __name__, url_prefix="/api/v1/alerts", description="Alerts, and the work on them."
)

ACKNOWLEDGEMENT: Final = alert_schemas.AcknowledgementSchema()
ASSIGNMENT: Final = alert_schemas.AssignmentSchema()
MUTING: Final = alert_schemas.MutingSchema()
HOUR_S: Final = 3_600
# Of the length of an id; other paths are not found.
_ONE: Final = "/<string(length=24):alert_id>"


@blueprint.route("")
@blueprint.arguments(alert_schemas.AlertsQuerySchema, location="query")
@blueprint.response(200, alert_schemas.AlertPageSchema)
@refuses(blueprint)
@needs("read")
def list_alerts(query: dict[str, Any]) -> Response:
    """Alerts, the newest first: open ones, closed ones by their closing, or all"""
    found = find(query)
    following = None if found.following is None else str(found.following)
    return page(
        [each.document() for each in found.alerts], following=following, total=found.total, with_total=True
    )


@blueprint.route(_ONE)
@blueprint.response(200, alert_schemas.AlertWithStorySchema)
@refuses(blueprint, 404)
@needs("read")
def get_alert(alert_id: str) -> Response:
    """An alert, with its verdicts and its story"""
    return _told(alert_id)


@blueprint.route(_ONE + "/acknowledge", methods=["POST"])
@takes(blueprint, alert_schemas.AcknowledgementSchema)
@blueprint.response(200, alert_schemas.AlertWithStorySchema)
@refuses(blueprint, 400, 404, 408, 413, 415)
@needs("predict")
def acknowledge_alert(alert_id: str) -> Response:
    """Note that somebody has seen an alert"""
    acknowledge(alert_id, loaded_body(ACKNOWLEDGEMENT))
    return _told(alert_id)


@blueprint.route(_ONE + "/assign", methods=["POST"])
@takes(blueprint, alert_schemas.AssignmentSchema)
@blueprint.response(200, alert_schemas.AlertWithStorySchema)
@refuses(blueprint, 400, 404, 408, 413, 415)
@needs("predict")
def assign_alert(alert_id: str) -> Response:
    """Assign an alert to a person or team, or end that"""
    assign(alert_id, loaded_body(ASSIGNMENT))
    return _told(alert_id)


@blueprint.route(_ONE + "/mute")
class Muting(MethodView):
    """`POST` and `DELETE` of an alert's muting."""

    @takes(blueprint, alert_schemas.MUTINGS)
    @blueprint.response(200, alert_schemas.AlertWithStorySchema)
    @refuses(blueprint, 400, 404, 408, 409, 413, 415)
    @needs("predict")
    def post(self, alert_id: str) -> Response:
        """Mute an open alert until a time; the alert topics do not change"""
        mute(alert_id, loaded_body(MUTING))
        return _told(alert_id)

    @blueprint.response(200, alert_schemas.AlertWithStorySchema)
    @refuses(blueprint, 404)
    @needs("predict")
    def delete(self, alert_id: str) -> Response:
        """End the muting of an alert"""
        unmute(alert_id)
        return _told(alert_id)


def find(query: dict[str, Any]) -> AlertPage:
    """The page of this tenant's alerts that a loaded `AlertsQuerySchema` asks for."""
    query = {**query}
    limit, cursor = query.pop("limit"), query.pop("cursor", None)
    return services().alerts.page(
        current_request().tenant,
        AlertFilter(**query),
        cursor=None if cursor is None else cursor_of(cursor),
        limit=limit,
    )


def acknowledge(alert_id: str, body: dict[str, Any]) -> None:
    """Note that somebody has seen an alert. `body` is loaded by `ACKNOWLEDGEMENT`."""
    _act(alert_id, lambda store, **who: store.acknowledge(**who, note=body.get("note")), "acknowledged")


def assign(alert_id: str, body: dict[str, Any]) -> None:
    """Assign an alert, or end that. `body` is loaded by `ASSIGNMENT`."""
    _act(alert_id, lambda store, **who: store.assign(**who, to=body["to"]), "assigned")


def mute(alert_id: str, body: dict[str, Any]) -> None:
    """Mute an open alert. `body` is loaded by `MUTING`. Raises `InvalidParameter` for an end out of range."""
    until, reason = _end_of(body, time.time()), body["reason"]
    _act(alert_id, lambda store, **who: store.mute(**who, until=until, reason=reason), "muted")


def unmute(alert_id: str) -> None:
    """End the muting of an alert."""
    _act(alert_id, lambda store, **who: store.unmute(**who), "unmuted")


def _end_of(body: dict[str, Any], now: float) -> float:
    """The end of a muting in epoch seconds. Raises `InvalidParameter`."""
    if "until" not in body:
        return now + float(body["hours"]) * HOUR_S
    until = float(body["until"].timestamp())
    if not now < until <= now + alert_schemas.MAX_MUTED_HOURS * HOUR_S:
        detail = "Must be in the future, at most 90 days ahead."
        raise InvalidParameter([FieldError("/until", detail, "range")])
    return until


def _act(alert_id: str, act: Callable[..., bool], action: str) -> None:
    """Act on an alert for this request's tenant and key. A change is counted, and the audit log has it."""
    request = current_request()
    actor = request.caller.key.name if request.caller else ""
    if act(services().alerts, tenant=request.tenant, alert_id=alert_id, actor=actor):
        request.is_audited = True
        metrics.ALERT_ACTIONS.labels(action=action).inc()


def _told(alert_id: str) -> Response:
    alert, story = services().alerts.get(current_request().tenant, alert_id)
    return Response(alert.document(story), content_type="application/json")
