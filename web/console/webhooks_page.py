"""`/system/webhooks`: receivers of events, the events that failed, and their replay."""

from __future__ import annotations

from typing import Final

import orjson
from werkzeug.wrappers import Response as BaseResponse

from tasks.notify.webhook_store import webhook_document
from web.api.webhooks import replay_parked, visible_webhook, visible_webhooks
from web.console.pages import go_to, page_blueprint, render
from web.console.queries import ListPage, loaded, loaded_query
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas, webhook_schemas

blueprint = page_blueprint("webhooks")

_PAGE: Final = schemas.PageQuerySchema()
_REPLAY: Final = webhook_schemas.ReplayQuerySchema()


@blueprint.get("/system/webhooks")
@needs("admin")
def show_webhooks() -> Response:
    """The webhooks of the tenant that is shown, or all"""
    query = loaded_query(_PAGE)
    found, offset, limit = visible_webhooks(), query["cursor"], query["limit"]
    some = found[offset : offset + limit]
    statuses = services().webhooks.statuses(some)
    return render(
        "webhooks.html",
        webhooks=[webhook_document(each, status) for each, status in zip(some, statuses, strict=True)],
        address=current_request().host_url.rstrip("/"),
        paging=ListPage(offset, limit, len(found)),
    )


@blueprint.get("/system/webhooks/<string:webhook_id>")
@needs("admin")
def show_webhook(webhook_id: str) -> Response:
    """One webhook, and the events that it did not take"""
    query = loaded_query(_PAGE)
    offset, limit = query["cursor"], query["limit"]
    found = visible_webhook(webhook_id)
    (status,) = services().webhooks.statuses([found])
    failures, total = services().outbox.failures(found.webhook_id, offset=offset, limit=limit)
    return render(
        "webhook.html",
        webhook=webhook_document(found, status),
        failures=[orjson.loads(each) for each in failures],
        paging=ListPage(offset, limit, total),
    )


@blueprint.post("/system/webhooks/<string:webhook_id>/replay")
@needs("admin")
def replay_events(webhook_id: str) -> BaseResponse:
    """Send parked events again, all or the one of the form"""
    request = current_request()
    request.is_audited = True
    replay_parked(webhook_id, loaded(_REPLAY, request.form.to_dict()).get("event_id"))
    return go_to("console_webhooks.show_webhook", webhook_id=webhook_id, done="replayed")
