"""`/api/v1/webhooks`: receivers of events, their failures, and the replay of parked events.

A request with a tenant sees the webhooks of that tenant alone, and a webhook that it adds gets events of that
tenant alone. A request without one sees all webhooks, and adds one for all tenants.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from flask import url_for
from flask.views import MethodView
from flask_smorest import Blueprint

import metrics
from errors import FieldError, InvalidParameter, UnknownWebhook
from tasks.notify.targets import TargetRefused, parse_target
from tasks.notify.webhook_store import NO_EVENTS, Webhook, webhook_document
from web.http.messages import Response, current_request, no_content
from web.http.paging import page
from web.http.request_bodies import loaded_body
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas, webhook_schemas
from web.openapi.decorators import refuses, takes

blueprint = Blueprint(
    "webhooks", __name__, url_prefix="/api/v1/webhooks", description="Events for other systems."
)

_NEW: Final = webhook_schemas.NewWebhookSchema()


@blueprint.route("")
class Webhooks(MethodView):
    """`GET` and `POST` of webhooks."""

    @blueprint.arguments(schemas.PageQuerySchema, location="query")
    @blueprint.response(200, webhook_schemas.WebhookPageSchema)
    @refuses(blueprint)
    @needs("admin")
    def get(self, query: dict[str, Any]) -> Response:
        """The webhooks, the oldest first, without their secrets"""
        found, offset, limit = visible_webhooks(), query["cursor"], query["limit"]
        some = found[offset : offset + limit]
        statuses = services().webhooks.statuses(some)
        items = [
            orjson.dumps(webhook_document(each, status)) for each, status in zip(some, statuses, strict=True)
        ]
        following = offset + limit if offset + limit < len(found) else None
        return page(items, following=following, total=len(found))

    @takes(blueprint, webhook_schemas.NewWebhookSchema)
    @blueprint.response(201, webhook_schemas.NewWebhookAnswerSchema)
    @refuses(blueprint, 400, 408, 409, 413, 415)
    @needs("admin")
    def post(self) -> Response:
        """Add a webhook; the answer has its secret, which is not shown again"""
        body = loaded_body(_NEW)
        try:
            parse_target(body["url"], services().settings)
        except TargetRefused as error:
            raise InvalidParameter([FieldError("/url", str(error), "url")]) from None
        made, secret = services().webhooks.create(body["url"], body["types"], current_request().tenant)
        metrics.ADMIN_ACTIONS.labels(action="webhook_add").inc()
        document = webhook_document(made, NO_EVENTS) | {"secret": secret}
        headers = {
            "Location": url_for("webhooks.OneWebhook", webhook_id=made.webhook_id),
            "Cache-Control": "no-store",
        }
        return Response(orjson.dumps(document), 201, content_type="application/json", headers=headers)


@blueprint.route("/<string:webhook_id>")
class OneWebhook(MethodView):
    """`GET` and `DELETE` of one webhook."""

    @blueprint.response(200, webhook_schemas.WebhookSchema)
    @refuses(blueprint, 404)
    @needs("admin")
    def get(self, webhook_id: str) -> Response:
        """A webhook, without its secret"""
        found = visible_webhook(webhook_id)
        (status,) = services().webhooks.statuses([found])
        return _json(webhook_document(found, status))

    @blueprint.response(204)
    @refuses(blueprint, 404)
    @needs("admin")
    def delete(self, webhook_id: str) -> Response:
        """Remove a webhook with the events that wait for it"""
        services().webhooks.remove(visible_webhook(webhook_id).webhook_id)
        metrics.ADMIN_ACTIONS.labels(action="webhook_remove").inc()
        return no_content()


@blueprint.route("/<string:webhook_id>/failures")
@blueprint.arguments(schemas.PageQuerySchema, location="query")
@blueprint.response(200, webhook_schemas.FailurePageSchema)
@refuses(blueprint, 404)
@needs("admin")
def list_failures(query: dict[str, Any], webhook_id: str) -> Response:
    """Events whose delivery has failed: parked ones, and those that are tried again"""
    offset, limit = query["cursor"], query["limit"]
    items, total = services().outbox.failures(
        visible_webhook(webhook_id).webhook_id, offset=offset, limit=limit
    )
    return page(items, following=offset + limit if offset + limit < total else None, total=total)


@blueprint.route("/<string:webhook_id>/replay", methods=["POST"])
@blueprint.arguments(webhook_schemas.ReplayQuerySchema, location="query")
@blueprint.response(202, webhook_schemas.ReplaySchema)
@refuses(blueprint, 404)
@needs("admin")
def replay(query: dict[str, Any], webhook_id: str) -> Response:
    """Send parked events again, and enable a webhook that was disabled"""
    return _json({"replayed": replay_parked(webhook_id, query.get("event_id"))}, status=202)


def replay_parked(webhook_id: str, event_id: str | None) -> int:
    """Send parked events again, all or one, and enable the webhook. Returns their number.

    Raises `UnknownWebhook`.
    """
    number = services().outbox.replay(visible_webhook(webhook_id).webhook_id, event_id)
    metrics.ADMIN_ACTIONS.labels(action="webhook_replay").inc()
    return number


def visible_webhooks() -> list[Webhook]:
    """The webhooks that this request may see, the oldest first: those of its tenant, or all without one."""
    tenant = current_request().tenant
    return [each for each in services().webhooks.all() if tenant in (None, each.tenant)]


def visible_webhook(webhook_id: str) -> Webhook:
    """One of `visible_webhooks`. Raises `UnknownWebhook` for any other id."""
    found = next((each for each in visible_webhooks() if each.webhook_id == webhook_id), None)
    if found is None:
        raise UnknownWebhook(f"No webhook {webhook_id[:80]}.")
    return found


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status=status, content_type="application/json")
