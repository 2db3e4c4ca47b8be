"""`/fleet` and `/sites`: the chargers by risk and by filters, the same as CSV, and the sites to visit."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

from flask import redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from readings.reading import STATUSES
from tasks.storage.fleet_columns import FleetColumns
from tasks.storage.fleet_query import HIGHEST_FIRST
from tasks.storage.fleet_rows import ACTIONS
from web.api.chargers import fleet_query, items_of
from web.api.sites import sites_of
from web.console.chargers_shown import shown_item
from web.console.fleet_csv import stream_fleet
from web.console.formats import action_label, in_words
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import View, changed, has_empty, load_view, view_of
from web.http.cursors import encode_cursor
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi.charger_schemas import FleetQuerySchema, SitesQuerySchema

blueprint = page_blueprint("fleet")

PAGE: Final = "50"
# Values of a filter that are shown as boxes. A filter with more of them is a field with suggestions.
MOST_BOXES: Final = 20
MOST_SUGGESTED: Final = 100
READINGS: Final = {"true": "with a reading", "false": "without a reading"}
RISKS: Final = ("0.05", "0.1", "0.25", "0.5", "0.75", "0.9")
_FLEET: Final = FleetQuerySchema()
_SITES: Final = SitesQuerySchema()
_LABELS: Final = {"action": action_label, "status": in_words}


class _Filter(NamedTuple):
    """A filter of the form: its values with their labels, and those that are chosen."""

    name: str
    title: str
    values: list[tuple[str, str]]
    chosen: list[str]
    is_boxes: bool


class _Head(NamedTuple):
    """The head of a column: the address that sorts by it, and how it is sorted now (`aria-sort`)."""

    address: str
    sorted: str | None


@blueprint.get("/fleet")
@needs("read")
def show_fleet() -> BaseResponse:
    """Chargers by filters, in the order asked for"""
    if has_empty(_FLEET):
        return redirect(_address("show_fleet", view_of(_FLEET)), HTTPStatus.SEE_OTHER)
    if current_request().args.get("by") == "site":
        return go_to("console_fleet.show_sites")
    view, tenant, held = view_of(_FLEET), current_request().tenant, services()
    query = load_view(_FLEET, view, {"limit": PAGE})
    asked = fleet_query(query)
    with held.fleets.of(tenant) as (columns, since_ms):
        chargers = len(columns.rows(since_ms))
        found = columns.find(asked, since_ms=since_ms)
        filters = _filters(columns, since_ms, view)
    following = encode_cursor(found.following)
    return render(
        "fleet.html",
        chargers=chargers,
        total=found.total,
        costs=found.costs,
        currency=held.settings.costs.currency,
        items=[shown_item(item) for item in items_of(tenant, found)],
        filters=filters,
        risks=_risks(view),
        readings=READINGS,
        view=view,
        removals=_removals(view),
        heads={
            name: _head("show_fleet", view, name, query["sort"])
            for name in ("charger_id", "site", "risk", "cost_of_waiting", "reading_timestamp")
        },
        first=_address("show_fleet", changed(view, ["cursor"])) if "cursor" in view else None,
        following=_address("show_fleet", changed(view, cursor=following)) if following else None,
        csv=_address("download_fleet", changed(view, ["cursor", "limit"])),
        address=current_request().host_url.rstrip("/"),
    )


@blueprint.get("/fleet.csv")
@needs("read")
def download_fleet() -> Response:
    """The selection of `/fleet` as CSV, all its pages"""
    query = load_view(_FLEET, changed(view_of(_FLEET), ["cursor", "limit"]), {})
    return stream_fleet(services(), current_request().tenant, fleet_query(query))


@blueprint.get("/sites")
@needs("read")
def show_sites() -> BaseResponse:
    """Sites with the visits that are due there"""
    view = view_of(_SITES)
    query = load_view(_SITES, view, {"limit": PAGE})
    items, total, following = sites_of(current_request().tenant, query)
    return render(
        "sites.html",
        sites=items,
        total=total,
        heads={
            name: _head("show_sites", view, name, query["sort"])
            for name in ("site_id", "chargers", "risk", "cost_of_waiting")
        },
        first=_address("show_sites", changed(view, ["cursor"])) if "cursor" in view else None,
        following=_address("show_sites", changed(view, cursor=following)) if following else None,
        address=current_request().host_url.rstrip("/"),
    )


def _address(endpoint: str, view: View) -> str:
    return url_for(f"console_fleet.{endpoint}", **view)  # type: ignore[arg-type]  # lists are repeated


def _head(endpoint: str, view: View, name: str, sort: str) -> _Head:
    """The head of a column. A second click turns the order round."""
    is_current, is_turned = sort.removeprefix("-") == name, sort.startswith("-")
    wanted = f"-{name}" if is_current and not is_turned else name
    is_falling = (name in HIGHEST_FIRST) != is_turned
    return _Head(
        _address(endpoint, changed(view, ["cursor"], sort=wanted)),
        ("descending" if is_falling else "ascending") if is_current else None,
    )


def _filters(columns: FleetColumns, since_ms: float, view: View) -> list[_Filter]:
    """The filters of the form. Those of a closed set come first; others offer the values of the fleet."""
    found = [
        _boxes("action", "Action", ACTIONS, view),
        _boxes("status", "Status", STATUSES, view),
    ]
    for name, title in (
        ("site", "Site"),
        ("vendor", "Vendor"),
        ("model", "Model"),
        ("firmware", "Firmware"),
    ):
        values = columns.commonest(name, MOST_SUGGESTED, since_ms=since_ms)
        chosen = view.get(name, [])
        if name != "site" and len(values) <= MOST_BOXES:
            found.append(_boxes(name, title, sorted({*values, *chosen}), view))
        else:
            shown = [(value, value) for value in sorted(values)]
            found.append(_Filter(name, title, shown, chosen, is_boxes=False))
    return found


def _boxes(name: str, title: str, values: Iterable[str], view: View) -> _Filter:
    label = _LABELS.get(name, str)
    shown = [(value, label(value)) for value in values]
    return _Filter(name, title, shown, view.get(name, []), is_boxes=True)


def _risks(view: View) -> list[str]:
    """The choices for the least risk, the present one among them."""
    return sorted({*RISKS, *view.get("min_risk", [])}, key=float)


def _removals(view: View) -> list[tuple[str, str]]:
    """Each filter of the view in words, and the address of the view without it."""
    found = []
    for name, values in view.items():
        if name in ("sort", "limit", "cursor"):
            continue
        for value in values:
            others = [each for each in values if each != value]
            kept = changed(view, [name, "cursor"]) | ({name: others} if others else {})
            if name == "min_risk":
                text = f"risk at least {float(value) * 100:g} %"
            elif name == "scored":
                text = READINGS.get(value, value)
            elif name == "q":
                text = f"text “{value}”"
            else:
                text = f"{name}: {_LABELS.get(name, str)(value)}"
            found.append((text, _address("show_fleet", kept)))
    return found
