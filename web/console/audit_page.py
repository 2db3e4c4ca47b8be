"""`/system/audit`: which key did what, when, from where."""

from __future__ import annotations

from typing import Final

import orjson

from tasks.storage.audit_log import MAX_KEPT
from web.console.pages import page_blueprint, render
from web.console.queries import ListPage, loaded_query
from web.http.messages import Response
from web.http.roles import needs
from web.http.services import services
from web.openapi import schemas

blueprint = page_blueprint("audit")

_PAGE: Final = schemas.PageQuerySchema()


@blueprint.get("/system/audit")
@needs("admin")
def show_audit() -> Response:
    """The newest actions of administrators"""
    query = loaded_query(_PAGE)
    offset, limit = query["cursor"], query["limit"]
    lines, total = services().audit.newest(offset=offset, limit=limit)
    return render(
        "audit.html",
        actions=[orjson.loads(line) for line in lines],
        most=MAX_KEPT,
        paging=ListPage(offset, limit, total),
    )
