"""`/alerts` and `/alerts/{id}`: alerts with their story; acknowledge, assign and mute them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from marshmallow import Schema
from werkzeug.wrappers import Response as BaseResponse

from errors import FieldError, InvalidParameter, UnknownAlert
from tasks.storage.alert_records import ALERT_KINDS
from tasks.storage.alert_store import ALERT_ID_PATTERN, ALERT_STATES, AlertState
from web.api import alert_records
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import address_with, loaded, loaded_query
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import alert_schemas

blueprint = page_blueprint("alerts")

_QUERY: Final = alert_schemas.AlertsQuerySchema()
_IS_ID: Final = re.compile(ALERT_ID_PATTERN.replace("$", r"\Z"))
_IS_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
STATE_LABELS: Final[dict[AlertState, str]] = {"open": "Open", "closed": "Closed", "all": "Open and closed"}
DEFAULT_MUTED_HOURS: Final = "24"


@blueprint.get("/alerts")
@needs("read")
def show_alerts() -> Response:
    """The alerts that the filters select"""
    try:
        query = loaded_query(_QUERY)
    except InvalidParameter as error:
        response = _list(query=current_request().args, problems=error.errors)
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    found = alert_records.find(query)
    return _list(
        query=query,
        alerts=[orjson.loads(alert.document()) for alert in found.alerts],
        total=found.total,
        first=address_with(None) if "cursor" in query else None,
        following=None if found.following is None else address_with(str(found.following)),
    )


def _list(*, query: Mapping[str, Any], problems: Sequence[FieldError] = (), **values: Any) -> Response:
    """The filters with `query` in them. Below are the alerts, or the `problems` of the query."""
    return render(
        "alerts.html",
        query=query,
        problems=problems,
        is_filtered=bool(query.keys() - {"state", "limit", "cursor", "done"}),
        states=[(state, STATE_LABELS[state]) for state in ALERT_STATES],
        kinds=[("", "Any"), *((kind, kind.capitalize()) for kind in ALERT_KINDS)],
        most_name=alert_schemas.MAX_NAME,
        **values,
    )


@blueprint.get("/alerts/<alert_id>")
@needs("read")
def show_alert(alert_id: str) -> Response:
    """An alert with its verdicts and its story"""
    return _page(alert_id)


@blueprint.get("/alerts/<alert_id>/<any(acknowledge, assign, unassign, mute, unmute):action>")
@needs("read")
def show_after_action(alert_id: str, action: str) -> BaseResponse:
    """Go to the alert: a page with the problems of a form has the form's address, and is loaded again"""
    return go_to("console_alerts.show_alert", alert_id=alert_id)


@blueprint.post("/alerts/<alert_id>/acknowledge")
@needs("predict")
def acknowledge(alert_id: str) -> BaseResponse:
    """Note that somebody has seen an alert"""
    typed = _typed("note")
    body = typed if typed["note"] else {}
    return _change(alert_id, typed, alert_records.ACKNOWLEDGEMENT, body, alert_records.acknowledge)


@blueprint.post("/alerts/<alert_id>/assign")
@needs("predict")
def assign(alert_id: str) -> BaseResponse:
    """Assign an alert to a person or team"""
    typed = _typed("to")
    return _change(alert_id, typed, alert_records.ASSIGNMENT, typed, alert_records.assign)


@blueprint.post("/alerts/<alert_id>/unassign")
@needs("predict")
def unassign(alert_id: str) -> BaseResponse:
    """End the assignment of an alert"""
    return _change(alert_id, {}, alert_records.ASSIGNMENT, {"to": None}, alert_records.assign)


@blueprint.post("/alerts/<alert_id>/mute")
@needs("predict")
def mute(alert_id: str) -> BaseResponse:
    """Mute an open alert for some hours"""
    typed = _typed("hours", "reason")
    # The schema takes a JSON number. It names the problem of any other text.
    is_number = _IS_NUMBER.fullmatch(typed["hours"])
    body = {**typed, "hours": float(typed["hours"]) if is_number else typed["hours"]}
    return _change(alert_id, typed, alert_records.MUTING, body, alert_records.mute)


@blueprint.post("/alerts/<alert_id>/unmute")
@needs("predict")
def unmute(alert_id: str) -> BaseResponse:
    """End the muting of an alert"""
    _check_id(alert_id)
    alert_records.unmute(alert_id)
    return go_to("console_alerts.show_alert", alert_id=alert_id, done="alert")


def _typed(*names: str) -> dict[str, str]:
    return {name: current_request().form.get(name, "").strip() for name in names}


def _change(
    alert_id: str,
    typed: dict[str, str],
    schema: Schema,
    body: dict[str, Any],
    act: Callable[[str, dict[str, Any]], None],
) -> BaseResponse:
    """Carry out a form, or show it again with its problems and the text that was typed."""
    _check_id(alert_id)
    try:
        act(alert_id, loaded(schema, body))
    except InvalidParameter as error:
        problems = {each.pointer.removeprefix("/"): each.detail for each in error.errors}
        response = _page(alert_id, typed=typed, problems=problems)
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    return go_to("console_alerts.show_alert", alert_id=alert_id, done="alert")


def _check_id(alert_id: str) -> None:
    """Raise `UnknownAlert` unless this is the text of an id."""
    if not _IS_ID.fullmatch(alert_id):
        raise UnknownAlert(f"No alert {alert_id}.")


def _page(
    alert_id: str, *, typed: dict[str, str] | None = None, problems: dict[str, str] | None = None
) -> Response:
    _check_id(alert_id)
    alert, story = services().alerts.get(current_request().tenant, alert_id)
    return render(
        "alert.html",
        alert=orjson.loads(alert.document(story)),
        typed={"hours": DEFAULT_MUTED_HOURS, **(typed or {})},
        problems=problems or {},
        most_text=alert_schemas.MAX_TEXT,
        most_name=alert_schemas.MAX_NAME,
        most_hours=alert_schemas.MAX_MUTED_HOURS,
    )
