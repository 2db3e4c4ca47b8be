"""Parse and check requests with a JSON body. Holds the rules of a single prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote

from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header

from errors import FieldError, InvalidParameter, UnsupportedMediaType
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.parsing import decode_json, field_errors
from readings.reading import KINDS, Kind, Reading
from tasks.storage import redis_clock
from web.http.access import Access
from web.http.key_ring import Caller
from web.http.messages import Request, current_request
from web.http.services import services
from web.http.streaming import receiving


def check_json(header: Callable[[str], str | None]) -> None:
    """Check the content headers. Raises `UnsupportedMediaType` unless they declare uncompressed JSON."""
    content_type = header("Content-Type")
    if content_type != "application/json":
        media_type = parse_options_header(content_type)[0].lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMediaType("Send Content-Type: application/json.")
    if header("Content-Encoding") not in (None, "identity"):
        raise UnsupportedMediaType("Send no Content-Encoding; only batches may be compressed.")


def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read the whole body. Blocks until it has been received.

    Raises `QueueFull` if too many bodies are being received, and werkzeug's 408 and 413.
    """
    request.max_content_length = limit_bytes
    with receiving(request):
        raw = request.get_data(cache=False)
    if request.content_length is None and len(raw) >= limit_bytes:
        raise RequestEntityTooLarge  # a chunked body is cut at the limit
    return raw


def loaded_body(schema: Schema) -> dict[str, Any]:
    """Load the current request's body by `schema`. Blocks like `read_body`. For bodies without a reading.

    Raises `InvalidParameter` that names each wrong field, `MalformedBody`, `UnsupportedMediaType`, and the
    errors of `read_body`.
    """
    request = current_request()
    check_json(request.headers.get)
    body = decode_json(read_body(request, services().settings.max_body_bytes))
    if not isinstance(body, dict):
        raise InvalidParameter([FieldError("", "Must be a JSON object.", "type")])
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise InvalidParameter(field_errors(error.messages)) from None
    return loaded


PREFIX: Final = "/api/v1/predictions/"
KIND_BY_PATH: Final[dict[str, Kind]] = {PREFIX + kind: kind for kind in KINDS}


class SingleRequest(NamedTuple):
    """A single prediction request: a reading to score by one model, and its caller.

    `reading` is None if it was not parsed, because there is no capacity for the request.
    """

    kind: Kind
    reading: Reading | None
    caller: Caller
    store: bool = True

    @property
    def tenant(self) -> str | None:
        """The tenant of the reading."""
        return self.caller.tenant

    @property
    def retry_location(self) -> str | None:
        """The path of a verdict that arrives after the timeout.

        None for kinds other than failure, and for verdicts that are not stored.
        """
        if self.reading is None or self.kind != "failure" or not self.store:
            return None
        return PREFIX + quote(self.reading.charger_id)


def parse(
    path: str,
    query: bytes,
    header: Callable[[str], str | None],
    read_body: Callable[[], bytes],
    *,
    access: Access,
    decode: Callable[[bytes], Any],
    is_refused_unread: Callable[[str | None], bool],
) -> SingleRequest:
    """Check a request to one of `KIND_BY_PATH`: key, role, tenant, media type, query, body, in this order.

    `header` looks up a header by its name, case-insensitively. `read_body` is called only for authorised
    requests, and may block. `decode` decodes a JSON text. `is_refused_unread` says whether there is no
    capacity for a tenant; the body is not parsed then.

    Raises `Unauthorized`, `Forbidden`, `InvalidParameter` (tenant, query), `UnsupportedMediaType`,
    `InvalidReading`, and the errors of `read_body` and `decode`.
    """
    caller = access.caller("predict", header)
    check_json(header)
    kind = KIND_BY_PATH[path.rstrip("/")]
    store = _is_stored(query) if query else True
    if is_refused_unread(caller.tenant):
        return SingleRequest(kind, None, caller)
    reading = parse_flat_or_enveloped(decode(read_body()), now=redis_clock.moment())
    return SingleRequest(kind, reading, caller, store)


def _is_stored(query: bytes) -> bool:
    """Whether the verdict is stored, by `?store`. Raises `InvalidParameter` for another value."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("store", ["true"])[-1]
    if given not in ("true", "false"):
        raise InvalidParameter([FieldError("/query/store", "Must be true or false.", "enum")])
    return given == "true"
