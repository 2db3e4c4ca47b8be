"""Does a window hold readings that a version was trained on? Figures of such readings are too good.

The manifest states the training period (`training_data`, the first and the last reading) and the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from errors import ServiceError
from readings.reading import rfc3339


class InSample(ServiceError):
    """Raised for a window of readings that the version was trained on."""

    code = "in_sample"


def training_period(manifest: Mapping[str, Any]) -> tuple[float, float] | None:
    """The first and the last reading of the training data, in seconds since 1970; None if not stated."""
    data = manifest.get("training_data", {})
    try:
        first, last = (datetime.fromisoformat(data[name]).timestamp() for name in ("from", "to"))
    except (KeyError, TypeError, ValueError):
        return None
    return first, last


def overlap(manifest: Mapping[str, Any], fleet: Mapping[str, Any], since_s: float, end_s: float) -> str:
    """How a window of a fleet overlaps the training period, as the rest of a sentence; empty if it does not.

    `fleet` has `trained_on` and `simulated` as a manifest of that fleet would have. A simulated fleet is
    another than a real one, and than a simulated one of other arguments. All real ones count as the same
    fleet, for nothing tells them apart. A version whose manifest states no period overlaps nothing.
    """
    simulated = bool(manifest.get("simulated", False))
    if simulated != fleet["simulated"] or (simulated and manifest.get("trained_on") != fleet["trained_on"]):
        return ""
    period = training_period(manifest)
    if period is None or since_s > period[1] or end_s < period[0]:
        return ""
    return f"was trained on {span(*period)}, and the window {span(since_s, end_s)} overlaps that"


def span(first_s: float, last_s: float) -> str:
    """Two moments in seconds since 1970, as text in RFC 3339."""
    return " to ".join(rfc3339(datetime.fromtimestamp(time_s, UTC)) for time_s in (first_s, last_s))
