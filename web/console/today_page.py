"""`/`: where somebody must go today and this week, what has changed since yesterday, and the health."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import orjson

from readings.reading import epoch_rfc3339
from tasks.storage.alert_store import Alert, AlertFilter
from tasks.storage.fleet_columns import FleetColumns
from tasks.storage.fleet_query import FleetQuery, Found
from web.api.chargers import items_of
from web.console.chargers_shown import shown_item
from web.console.pages import page_blueprint, render
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services

blueprint = page_blueprint("today")

# Chargers and alerts of each list; the page of the list has the others.
SHOWN: Final = 10
# Looked through for those of the last day.
MOST_ALERTS: Final = 200
DAY_S: Final = 86_400


class _Visits(NamedTuple):
    """The chargers with one recommended action."""

    action: str
    found: Found


@blueprint.get("/")
@needs("read")
def show_today() -> Response:
    """Where somebody must go"""
    held, tenant = services(), current_request().tenant
    with held.fleets.of(tenant) as (columns, since_ms):
        chargers, scored = len(columns.rows(since_ms)), columns.count(since_ms)
        now, week = (
            _visits(columns, since_ms, action=action, sort=sort)
            for action, sort in (("IMMEDIATE", "risk"), ("WITHIN_7_DAYS", "cost_of_waiting"))
        )
    alerts = held.alerts.page(tenant, AlertFilter("open"), cursor=None, limit=SHOWN)
    closed = held.alerts.page(tenant, AlertFilter("closed"), cursor=None, limit=MOST_ALERTS)
    opened = held.alerts.page(tenant, AlertFilter("all"), cursor=None, limit=MOST_ALERTS)
    since = time.time() - DAY_S
    return render(
        "today.html",
        chargers=chargers,
        scored=scored,
        now=_listed(tenant, now),
        week=_listed(tenant, week),
        alerts=[_shown(alert) for alert in alerts.alerts],
        open_alerts=alerts.total,
        opened=_since(opened.alerts, "opened_at", since),
        closed=_since(closed.alerts, "closed_at", since),
        most=MOST_ALERTS,
        health=held.health().document(),
        currency=held.settings.costs.currency,
        address=current_request().host_url.rstrip("/"),
    )


def _visits(columns: FleetColumns, since_ms: float, *, action: str, sort: str) -> _Visits:
    query = FleetQuery({"action": (action,)}, sort=sort, limit=SHOWN)
    return _Visits(action, columns.find(query, since_ms=since_ms))


def _listed(tenant: str | None, visits: _Visits) -> dict[str, Any]:
    return {
        "action": visits.action,
        "total": visits.found.total,
        "costs": visits.found.costs,
        "chargers": [shown_item(item) for item in items_of(tenant, visits.found)],
    }


def _shown(alert: Alert) -> dict[str, Any]:
    shown: dict[str, Any] = orjson.loads(alert.document())
    return shown


def _since(alerts: list[Alert], field: str, since: float) -> int:
    """The number of alerts with a time in this field that is not before `since` (epoch seconds)."""
    first = epoch_rfc3339(since) or ""
    return sum((_shown(alert)[field] or "") >= first for alert in alerts)
