"""Pages of JSON that is stored encoded: `{items, next, total}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from web.http import Response


def page(items: Sequence[bytes], *, following: int | None, total: int | None = None) -> Response:
    """A page of already encoded items; `following` is the next page's cursor."""
    body: dict[str, Any] = {
        "items": [orjson.Fragment(item) for item in items],
        "next": None if following is None else str(following),
    }
    if total is not None:
        body["total"] = total
    return Response(orjson.dumps(body), content_type="application/json")
