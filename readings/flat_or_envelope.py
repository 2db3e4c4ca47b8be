"""The two shapes of a reading in JSON: flat, or in an envelope `{charger_id, metrics}`.

REST bodies, rows of batches and Kafka records all come through `parse_flat_or_enveloped`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from errors import FieldError, InvalidReading
from readings.parsing import parse_reading
from readings.reading import Reading

METRICS: Final = "metrics"
_MISMATCH: Final = FieldError("/charger_id", "Must be equal to /metrics/charger_id.", "mismatch")
_NO_TEXT: Final = FieldError("/charger_id", "Not a valid string.", "type")


def is_envelope(document: dict[str, Any]) -> bool:
    """Whether the reading is in `metrics`.

    A flat reading may have an unknown field of that name, which is no object and is ignored.
    """
    return METRICS in document and (isinstance(document[METRICS], dict) or "connector_status" not in document)


def parse_flat_or_enveloped(
    document: object, *, now: datetime, shared: Sequence[str] = ("charger_id",)
) -> Reading:
    """Turn decoded JSON, a flat reading or an envelope, into a `Reading`.

    Args:
        document: the decoded JSON.
        now: the arrival time (aware UTC), as for `parse_reading`.
        shared: fields that the envelope may have in place of its `metrics`.

    Raises:
        InvalidReading: names every field that is wrong, by its place in the document. The `charger_id` of an
            envelope must be that of its `metrics`, where both have one.
    """
    if not isinstance(document, dict) or not is_envelope(document):
        return parse_reading(document, now=now)
    metrics = document[METRICS]
    if not isinstance(metrics, dict):
        return parse_reading(metrics, now=now, pointer="/metrics")
    problems = _id_problems(document.get("charger_id"), metrics.get("charger_id"))
    lent = [name for name in shared if metrics.get(name) is None and document.get(name) is not None]
    try:
        reading = parse_reading(
            {**metrics, **{name: document[name] for name in lent}} if lent else metrics,
            now=now,
            pointer="/metrics",
        )
    except InvalidReading as error:
        places = {f"/metrics/{name}": f"/{name}" for name in lent}
        found = [replace(each, pointer=places.get(each.pointer, each.pointer)) for each in error.errors]
        raise InvalidReading(found + [each for each in problems if each not in found]) from None
    if problems:
        raise InvalidReading(problems)
    return reading


def _id_problems(outer: object, inner: object) -> list[FieldError]:
    """The problems of an envelope's own `charger_id`. One alone is judged with the reading.

    Only texts are compared: lists of a thousand levels cannot be.
    """
    if outer is None or inner is None:
        return []
    if not isinstance(outer, str):
        return [_NO_TEXT]
    return [_MISMATCH] if isinstance(inner, str) and outer != inner else []
