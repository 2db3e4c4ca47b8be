"""`/api/v1/chargers`: the fleet by newest verdicts, one charger, and the history of its verdicts."""

from __future__ import annotations

import logging
from typing import Any, Final, cast

import orjson
from flask_smorest import Blueprint
from redis import Redis, RedisError

from errors import ServiceError, UnknownCharger
from readings.parsing import parse_reading
from readings.reading import KINDS, STALE_AFTER_S, Kind
from tasks.storage import redis_clock
from tasks.storage.alert_store import AlertFilter
from tasks.storage.charger_attributes import attributes_key, decoded
from tasks.storage.fleet import newest_key
from tasks.storage.fleet_query import FILTERS, FleetQuery, Found
from web.http.cursors import decode_cursor, encode_cursor
from web.http.messages import Response, current_request
from web.http.paging import page
from web.http.paths import CHARGER_ID, check_charger_id
from web.http.roles import needs
from web.http.services import services
from web.openapi import charger_schemas, schemas
from web.openapi.charger_schemas import NULL_WITHOUT_VERDICT
from web.openapi.decorators import refuses

blueprint = Blueprint(
    "chargers", __name__, url_prefix="/api/v1/chargers", description="The fleet, by newest verdicts."
)

# Kinds that are scored anew if their verdict is not cached. The newest failure prediction is stored.
SCORED_FOR_VIEW: Final[tuple[Kind, ...]] = ("maintenance", "anomaly")
MOST_ALERTS: Final = 20

log = logging.getLogger(__name__)

# The verdict of a charger of which only attributes are stored. Lists and flags keep their type.
UNSCORED: Final[dict[str, Any]] = {
    **dict.fromkeys(NULL_WITHOUT_VERDICT),
    "recommended_actions": [],
    "top_contributing_factors": [],
    "in_failure": False,
    "reading_stale": False,
    "cached": False,
    "degraded": False,
}

# A key, as no text of JSON has quotes without a backslash.
_FRESH, _STALE = b'"reading_stale":false', b'"reading_stale":true'


@blueprint.route("")
@blueprint.arguments(charger_schemas.FleetQuerySchema, location="query")
@blueprint.response(200, charger_schemas.FleetPageSchema)
@refuses(blueprint)
@needs("read")
def list_chargers(query: dict[str, Any]) -> Response:
    """Each charger with its newest verdict, highest probability first, by filters and in other orders"""
    tenant, asked = current_request().tenant, fleet_query(query)
    with services().fleets.of(tenant) as (columns, since_ms):
        found = columns.find(asked, since_ms=since_ms)
    return page(items_of(tenant, found), following=encode_cursor(found.following), total=found.total)


def fleet_query(query: dict[str, Any]) -> FleetQuery:
    """The question to the fleet in a loaded `FleetQuerySchema`. Raises `InvalidParameter` for its cursor."""
    sort = query["sort"]
    return FleetQuery(
        filters={name: query[name] for name in FILTERS if name in query},
        min_risk=query["min_risk"],
        text=query.get("q", ""),
        scored=query.get("scored"),
        sort=sort,
        limit=query["limit"],
        after=decode_cursor(query["cursor"], sort),
    )


def items_of(tenant: str | None, found: Found, redis: Redis | None = None) -> list[bytes]:
    """The verdicts of a page with what is known of their chargers, as JSON, without erased ones.

    A charger of which only attributes are stored has the verdict `UNSCORED`.
    `redis` is for callers outside a request. Blocks for one round trip, and raises `redis.RedisError`.
    """
    if not found.charger_ids:
        return []
    with (redis or services().redis).pipeline(transaction=False) as pipeline:
        pipeline.hmget(attributes_key(tenant), found.charger_ids)
        for charger_id in found.charger_ids:
            pipeline.hget(newest_key(tenant, charger_id), "body")
        fields, *bodies = pipeline.execute()
    stale_before = redis_clock.now() - STALE_AFTER_S
    items = []
    chargers = zip(found.charger_ids, bodies, fields, found.statuses, found.read_at, strict=True)
    for charger_id, body, field, status, at in chargers:
        if at is None:
            if attributes := decoded(field):
                who = {"charger_id": charger_id, "tenant_id": tenant, "attributes": attributes}
                items.append(orjson.dumps(UNSCORED | who))
            continue
        if body is None:
            continue
        is_stale = at < stale_before
        if is_stale:  # it was fresh when it was scored
            body = body.replace(_FRESH, _STALE, 1)
        known: dict[str, Any] = {"attributes": decoded(field) or {}, "connector_status": status}
        if _FRESH not in body and _STALE not in body:  # a verdict of an older release
            known["reading_stale"] = is_stale
        items.append(b"%b,%b" % (body[:-1], orjson.dumps(known)[1:]))
    return items


@blueprint.route("/<string:charger_id>", parameters=[CHARGER_ID])
@blueprint.response(200, charger_schemas.ChargerSchema)
@refuses(blueprint, 404)
@needs("read")
def get_charger(charger_id: str) -> Response:
    """A charger: its attributes, newest reading, newest verdicts and open alerts"""
    check_charger_id(charger_id)
    body = orjson.dumps(charger_document(current_request().tenant, charger_id))
    return Response(body, content_type="application/json")


def charger_document(tenant: str | None, charger_id: str, *, scores: bool = True) -> dict[str, Any]:
    """All that is known of a charger, as `orjson` encodes it: parts that are stored as JSON are fragments.

    With `scores`, verdicts that are not cached are scored from the newest reading, and not stored. Blocks for
    the setting `ML_SYNC_TIMEOUT` at most then. Raises `UnknownCharger` and `redis.RedisError`.
    """
    held = services()
    with held.redis.pipeline(transaction=False) as pipeline:
        pipeline.hget(attributes_key(tenant), charger_id)
        pipeline.hmget(newest_key(tenant, charger_id), "at", "body", "reading")
        field, (at, body, reading) = cast("tuple[bytes | None, list[bytes | None]]", pipeline.execute())
    attributes = decoded(field)
    cached: dict[str, bytes | None] = {}
    for kind in KINDS:
        try:
            cached[kind] = held.cache.newest(kind, charger_id, tenant)
        except RedisError:  # the cache may be away, which fails nothing
            cached[kind] = None
    verdict = body or cached["failure"]
    if attributes is None and verdict is None and not any(cached.values()):
        raise UnknownCharger(f"Nothing is stored of charger {charger_id}.")
    if scores and reading is not None:
        _add_missing(cached, reading, tenant)
    alerts = held.alerts.page(
        tenant, AlertFilter("open", charger_id=charger_id), cursor=None, limit=MOST_ALERTS
    )
    return {
        "charger_id": charger_id,
        "attributes": attributes or {},
        "newest_reading": _json(reading),
        "failure": _json(verdict),
        "maintenance": _json(cached["maintenance"]),
        "anomaly": _json(cached["anomaly"]),
        "reading_stale": None if at is None else float(at) < redis_clock.now() - STALE_AFTER_S,
        "open_alerts": [orjson.Fragment(alert.document()) for alert in alerts.alerts],
    }


def _add_missing(verdicts: dict[str, bytes | None], reading: bytes, tenant: str | None) -> None:
    """Score the newest reading for the kinds that are not cached, and store nothing. Without capacity: none.

    Blocks for the setting `ML_SYNC_TIMEOUT` at most: after a failure no other kind is scored.
    """
    try:
        parsed = parse_reading(orjson.loads(reading), now=redis_clock.moment())
        with services().waiting_threads:
            for kind in SCORED_FOR_VIEW:
                if verdicts[kind] is None:
                    verdicts[kind] = services().predictor.predict(kind, parsed, tenant, store=False)
    except ServiceError as error:
        log.info("a charger is shown without some of its verdicts: %s", error)


def _json(encoded: bytes | None) -> orjson.Fragment | None:
    return None if encoded is None else orjson.Fragment(encoded)


@blueprint.route("/<string:charger_id>/history")
@blueprint.arguments(schemas.PageQuerySchema, location="query")
@blueprint.response(200, schemas.PageSchema)
@refuses(blueprint, 404)
@needs("read")
def charger_history(query: dict[str, Any], charger_id: str) -> Response:
    """Past verdicts of a charger, newest reading first"""
    offset, limit = query["cursor"], query["limit"]
    bodies, total = services().fleet.history(current_request().tenant, charger_id, offset=offset, limit=limit)
    return page(bodies, following=offset + limit if offset + limit < total else None, total=total)
