"""Chargers as templates read them: each field is there, None if it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from readings.attributes import FIELDS

NO_ATTRIBUTES: Final = dict.fromkeys(FIELDS)
# Fields that verdicts of older releases lack.
_NEWER: Final[Mapping[str, Any]] = {
    "cost_of_waiting": None,
    "currency": None,
    "cost_policy": None,
    "in_failure": False,
    "predicted_failure_date": None,
    "predicted_failure_window": None,
    "top_contributing_factors": (),
    "recommended_actions": (),
    "degraded": False,
}


def shown_item(item: bytes) -> dict[str, Any]:
    """An item of `web/api/chargers.items_of`."""
    charger = shown_verdict(orjson.loads(item))
    return {**charger, "attributes": NO_ATTRIBUTES | charger["attributes"]}


def shown_verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    """A failure prediction."""
    return {**_NEWER, **verdict}
