"""From a request's body to a `Reading`, or to what a schema makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from errors import FieldError, InvalidParameter, InvalidReading
from readings.parsing import decode_json, field_errors, parse_reading
from readings.reading import Reading
from web.http.messages import Request, current_request
from web.http.services import services
from web.http.streaming import receiving

# Whoever sends a flat reading, as batches and Kafka take it, is told where it goes.
REQUIRED: Final = {"charger_id": "", "metrics": ": the reading, with its own charger_id and connector_status"}


def json_body(limit_bytes: int, request: Request | None = None, *, for_schema: bool = False) -> Any:
    """The decoded body of the current request; `for_schema` is that of `decode_json`.

    Raises `MalformedBody`, `QueueFull` where too many bodies are still on their way, and werkzeug's 408, 413
    and 415.
    """
    request = current_request() if request is None else request
    if (
        request.content_type != "application/json"
        and request.mimetype != "application/json"
        and not request.mimetype.endswith("+json")
    ):
        raise UnsupportedMediaType("Send Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send no Content-Encoding; only batches may be compressed.")
    request.max_content_length = limit_bytes
    with receiving(request):
        raw = request.get_data(cache=False)
    if request.content_length is None and len(raw) >= limit_bytes:
        raise RequestEntityTooLarge  # a chunked body is cut at the limit
    return decode_json(raw, for_schema=for_schema)


def prediction_request(request: Request, limit_bytes: int) -> Reading:
    """The reading of a `{charger_id, metrics}` body. Raises `InvalidReading`, naming each wrong field."""
    return reading_of(json_body(limit_bytes, request, for_schema=True))


def reading_of(body: Any) -> Reading:
    """The same of a decoded body."""
    if not isinstance(body, dict):
        raise InvalidReading([FieldError("", "Must be a JSON object.", "type")])
    found = [
        FieldError(f"/{name}", f"Missing data for required field{hint}.", "required")
        for name, hint in REQUIRED.items()
        if name not in body
    ]
    charger_id = body.get("charger_id")
    if "charger_id" in body and not isinstance(charger_id, str):
        found.append(FieldError("/charger_id", "Not a valid string.", "type"))
    reading = None
    if "metrics" in body:
        try:
            reading = parse_reading(body["metrics"], now=datetime.now(UTC), pointer="/metrics")
        except InvalidReading as error:
            found += error.errors
    inner = body["metrics"].get("charger_id") if isinstance(body.get("metrics"), dict) else None
    if isinstance(charger_id, str) and isinstance(inner, str) and charger_id != inner:
        found.append(FieldError("/charger_id", "Must be equal to /metrics/charger_id.", "mismatch"))
    if found or reading is None:
        raise InvalidReading(found)
    return reading


def loaded_body(schema: Schema) -> dict[str, Any]:
    """What `schema` makes of the current request's body, which holds no reading.

    Raises `InvalidParameter`, naming each wrong field, and what `json_body` raises.
    """
    body = json_body(services().settings.max_body_bytes)
    if not isinstance(body, dict):
        raise InvalidParameter([FieldError("", "Must be a JSON object.", "type")])
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise InvalidParameter(field_errors(error.messages)) from None
    return loaded
