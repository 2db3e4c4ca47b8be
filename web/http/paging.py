"""Pages of items that are stored as encoded JSON: `{items, next, total}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from web.http.messages import Response, current_request


def page(
    items: Sequence[bytes], *, following: int | str | None, total: int | None = None, with_total: bool = False
) -> Response:
    """A page of encoded items. `following` is the cursor of the next page, None on the last.

    An unknown total is left out, or null `with_total`.
    """
    body: dict[str, Any] = {
        "items": [orjson.Fragment(item) for item in items],
        "next": None if following is None else str(following),
    }
    if total is not None or with_total:
        body["total"] = total
    return Response(orjson.dumps(body), content_type="application/json", headers=next_link(following))


def next_link(following: int | str | None) -> dict[str, str]:
    """The `Link` header (RFC 8288) to the next page: this URL with another cursor. Empty on the last page."""
    if following is None:
        return {}
    request = current_request()
    query = urlencode({**request.args.to_dict(flat=False), "cursor": following}, doseq=True)
    return {"Link": f'<{request.path}?{query}>; rel="next"'}
