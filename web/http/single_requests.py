"""A request for one prediction: from method, path, headers and body to what is asked, or to a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from readings.reading import KINDS, Kind, Reading
from web.http.access import Access
from web.http.request_bodies import check_json, reading_of

PREFIX: Final = "/api/v1/predictions/"
KIND_BY_PATH: Final[dict[str, Kind]] = {PREFIX + kind: kind for kind in KINDS}


class SingleRequest(NamedTuple):
    """A reading to score. `retry_location` is the path of a late verdict, None where none is kept."""

    kind: Kind
    reading: Reading
    tenant: str | None
    retry_location: str | None


def parse(
    method: str,
    path: str,
    header: Callable[[str], str | None],
    read_body: Callable[[], bytes],
    *,
    access: Access,
    decode: Callable[[bytes], Any],
) -> SingleRequest:
    """Judge a request to one of `KIND_BY_PATH`: key, role, tenant, media type, body, in this order.

    `header` finds a header by its name, in any case. `read_body` is called for those that may ask, and may
    block. `decode` makes Python's objects of a JSON text. Raises `Unauthorized`, `Forbidden`,
    `InvalidParameter` (tenant), `UnsupportedMediaType`, `InvalidReading`, and what `read_body` and `decode`
    raise.
    """
    tenant = access.tenant_of(method, path, header)
    check_json(header)
    kind, reading = KIND_BY_PATH[path.rstrip("/")], reading_of(decode(read_body()))
    location = PREFIX + quote(reading.charger_id) if kind == "failure" else None
    return SingleRequest(kind, reading, tenant, location)
