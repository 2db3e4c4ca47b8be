"""`/api/v1/sites`: the fleet grouped by site."""

from __future__ import annotations

from typing import Any

import orjson
from flask_smorest import Blueprint

from tasks.storage.fleet_sites import find_sites
from web.http.cursors import decode_cursor, encode_cursor
from web.http.messages import Response, current_request
from web.http.paging import page
from web.http.roles import needs
from web.http.services import services
from web.openapi import charger_schemas
from web.openapi.decorators import refuses

blueprint = Blueprint("sites", __name__, url_prefix="/api/v1/sites", description="The fleet, by site.")


@blueprint.route("")
@blueprint.arguments(charger_schemas.SitesQuerySchema, location="query")
@blueprint.response(200, charger_schemas.SitePageSchema)
@refuses(blueprint)
@needs("read")
def list_sites(query: dict[str, Any]) -> Response:
    """Sites with their chargers, highest probability, visits that are due and cost of waiting"""
    items, total, following = sites_of(current_request().tenant, query)
    return page([orjson.dumps(item) for item in items], following=following, total=total)


def sites_of(tenant: str | None, query: dict[str, Any]) -> tuple[list[dict[str, Any]], int, str | None]:
    """The page of a loaded `SitesQuerySchema`, the number of all sites, and the cursor of the next page.

    Raises `InvalidParameter` for the cursor of the query, and the errors of `FleetSnapshots.of`.
    """
    held, sort = services(), query["sort"]
    after = decode_cursor(query["cursor"], sort)
    with held.fleets.of(tenant) as (columns, since_ms):
        found, total, following = find_sites(
            columns,
            since_ms=since_ms,
            sort=sort,
            limit=query["limit"],
            after=after,
            currency=held.settings.costs.currency,
        )
    items = [
        {
            "site_id": site.site_id,
            "chargers": site.chargers,
            "highest_risk": site.highest_risk,
            "visits_due": site.due,
            "cost_of_waiting": site.cost_of_waiting,
            "currency": None if site.cost_of_waiting is None else held.settings.costs.currency,
            "other_currency": site.other_currency,
        }
        for site in found
    ]
    return items, total, encode_cursor(following)
