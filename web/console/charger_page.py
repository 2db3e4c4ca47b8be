"""`/chargers/{id}`: one charger now and over time, why, what to do, "what if", and reports of outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import orjson
from werkzeug.wrappers import Response as BaseResponse

from errors import ServiceError, UnknownCharger
from readings.reading import STATUSES
from tasks.storage import redis_clock
from tasks.storage.fleet_query import FleetQuery
from tasks.storage.outcomes import OUTCOMES
from tasks.storage.reading_history import PastReading, past_readings
from web.api.chargers import charger_document, items_of
from web.api.outcomes import stored_report
from web.console.charger_plots import action_changes, over_time, risk_curve
from web.console.chargers_shown import NO_ATTRIBUTES, shown_item, shown_verdict
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import loaded
from web.console.what_if import NUMBERS, asked_reading, fields_of, fields_of_reading
from web.http.errors import problem_of
from web.http.messages import Response, current_request
from web.http.paths import check_charger_id
from web.http.roles import needs
from web.http.services import services
from web.openapi.outcome_schemas import OutcomeSchema
from web.openapi.schemas import MAX_PAGE

blueprint = page_blueprint("charger")

NEIGHBOURS: Final = 10
SUGGESTED: Final = 10
MOST_OUTCOMES: Final = 20
# The time of a verdict is in milliseconds, that of a stored reading may have more digits.
SAME_READING_S: Final = 0.002
_REPORT: Final = OutcomeSchema()


@blueprint.get("/chargers/<string:charger_id>")
@needs("read")
def show_charger(charger_id: str) -> BaseResponse:
    """A charger: now, over time, why, and what to do"""
    if "HX-Request" in current_request().headers:
        # Every 15 s while the page is open: the state now alone, and nothing is scored for it.
        return _varied(render("charger_now.html", charger=_charger(charger_id, scores=False)))
    return _varied(_page(charger_id))


@blueprint.post("/chargers/<string:charger_id>")
@needs("predict")
def ask_what_if(charger_id: str) -> BaseResponse:
    """The verdict on other values of the newest reading. Nothing is stored."""
    request, held = current_request(), services()
    given = fields_of(request.form)
    try:
        if request.caller is not None:
            request.limits = held.access.take_reading(request.caller)
        charger = _charger(charger_id, scores=False)
        reading = asked_reading(charger_id, given, charger["newest_reading"])
        with held.waiting_threads:
            verdict = held.predictor.predict("failure", reading, request.tenant, store=False)
    except ServiceError as error:
        return _page_with_problem(charger_id, error, what_if=given)
    return _page(charger_id, what_if=given, answer=shown_verdict(orjson.loads(verdict)))


@blueprint.post("/chargers/<string:charger_id>/outcomes")
@needs("predict")
def report_outcome(charger_id: str) -> BaseResponse:
    """Store that the charger failed, was repaired, or that its alert was false"""
    request = current_request()
    given = {name: request.form.get(name, "").strip() for name in ("outcome", "occurred_at")}
    try:
        filled_in = {name: text for name, text in given.items() if text}
        stored_report(request.tenant, loaded(_REPORT, {"charger_id": charger_id, **filled_in}))
    except ServiceError as error:
        return _page_with_problem(charger_id, error, outcome=given)
    return go_to("console_charger.show_charger", charger_id=charger_id, done="outcome")


def _charger(charger_id: str, *, scores: bool) -> dict[str, Any]:
    """The document of the API with each field that templates read."""
    check_charger_id(charger_id)
    document = charger_document(current_request().tenant, charger_id, scores=scores)
    charger: dict[str, Any] = orjson.loads(orjson.dumps(document))
    failure = charger["failure"]
    return {
        **charger,
        "attributes": NO_ATTRIBUTES | charger["attributes"],
        "failure": None if failure is None else shown_verdict(failure),
    }


def _page_with_problem(charger_id: str, error: ServiceError, **typed: dict[str, str]) -> Response:
    """The page with the problem beside the form, and what was typed."""
    problem = problem_of(error)
    fields = {
        each.pointer.split("/")[1]: each.detail for each in problem.field_problems or () if each.pointer
    }
    shown = {name for values in typed.values() for name in values}
    detail = "See the marked fields." if fields and fields.keys() <= shown else problem.detail
    response = _page(charger_id, **typed, problem=detail, problems=fields)
    if response.status_code == HTTPStatus.OK:
        response.status_code = problem.status
        response.headers.update(problem.headers)
    return response


def _page(
    charger_id: str,
    *,
    what_if: dict[str, str] | None = None,
    answer: dict[str, Any] | None = None,
    outcome: dict[str, str] | None = None,
    problem: str | None = None,
    problems: Mapping[str, str] | None = None,
) -> Response:
    """The page, or that of an unknown charger. `problem` is that of the form whose texts are given."""
    held, tenant = services(), current_request().tenant
    try:
        charger = _charger(charger_id, scores=True)
    except UnknownCharger as error:
        return _unknown(charger_id, str(error))
    verdicts = _verdicts(tenant, charger_id)
    readings = _readings(tenant, charger)
    reported, _ = held.outcomes.page(tenant, charger_id, offset=0, limit=MOST_OUTCOMES)
    failure, site = charger["failure"], charger["attributes"]["site_id"]
    return render(
        "charger.html",
        charger=charger,
        failure=failure,
        curve=None if failure is None else risk_curve(failure),
        most_weight=max((abs(each["weight"]) for each in failure["top_contributing_factors"]), default=1)
        if failure
        else 1,
        plots=over_time(verdicts, readings),
        verdicts=verdicts[::-1],
        changes=action_changes(verdicts)[::-1],
        readings=readings[::-1],
        neighbours=_neighbours(tenant, charger_id, site) if site else [],
        outcomes=[each.document() for each in reported],
        kinds=OUTCOMES,
        statuses=STATUSES,
        numbers=NUMBERS,
        is_asked=what_if is not None,
        what_if=what_if or fields_of_reading(charger["newest_reading"]),
        answer=answer,
        is_reported=outcome is not None,
        outcome=outcome or {"outcome": "", "occurred_at": f"{redis_clock.moment():%Y-%m-%dT%H:%M}"},
        problem=problem,
        problems=problems or {},
        address=current_request().host_url.rstrip("/"),
    )


def _verdicts(tenant: str | None, charger_id: str) -> list[dict[str, Any]]:
    """The past verdicts, oldest first; none for a charger that has no verdict."""
    try:
        bodies, _ = services().fleet.history(tenant, charger_id, offset=0, limit=MAX_PAGE)
    except UnknownCharger:
        return []
    return [orjson.loads(body) for body in reversed(bodies)]


def _readings(tenant: str | None, charger: dict[str, Any]) -> list[PastReading]:
    """The stored readings and the newest one, oldest first."""
    stored = past_readings(services().redis, tenant, charger["charger_id"])
    newest = charger["newest_reading"]
    if newest is None:
        return stored
    at = datetime.fromisoformat(newest["timestamp"]).timestamp()
    values = (newest.get(name) for name in ("connector_status", "power", "temperature", "error_codes"))
    older = [each for each in stored if each.at < at - SAME_READING_S]
    return [*older, PastReading(at, *values)]


def _neighbours(tenant: str | None, charger_id: str, site: str) -> list[dict[str, Any]]:
    """The other chargers of the site, highest risk first."""
    found = _found(tenant, FleetQuery({"site": (site,)}, limit=NEIGHBOURS + 1))
    return [each for each in found if each["charger_id"] != charger_id][:NEIGHBOURS]


def _unknown(charger_id: str, detail: str) -> Response:
    """The page of a charger of which nothing is stored: ids that are like it, and how a charger begins."""
    response = render(
        "charger_unknown.html",
        charger_id=charger_id,
        detail=detail,
        similar=_found(current_request().tenant, FleetQuery(text=charger_id, limit=SUGGESTED)),
        address=current_request().host_url.rstrip("/"),
    )
    response.status_code = HTTPStatus.NOT_FOUND
    return response


def _found(tenant: str | None, query: FleetQuery) -> list[dict[str, Any]]:
    with services().fleets.of(tenant) as (columns, since_ms):
        found = columns.find(query, since_ms=since_ms)
    return [shown_item(item) for item in items_of(tenant, found)]


def _varied(response: Response) -> Response:
    response.vary.add("HX-Request")
    return response
