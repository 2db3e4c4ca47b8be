"""Rows of a batch that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from errors import ServiceError


class Refused(NamedTuple):
    """A row that is not a valid reading: its stated charger id, if any, and the error."""

    charger_id: str | None
    error: ServiceError


def unreadable(error: Exception) -> Refused:
    """The refusal of a row whose parsing raised an unexpected error."""
    return Refused(None, ServiceError(f"The row cannot be read ({type(error).__name__})."))


def said_id(raw: Mapping[str, Any]) -> str | None:
    """The row's `charger_id` as text, even if it is not a valid id. None for other than text and numbers.

    The text can be encoded: a lone surrogate in it becomes a question mark. Of an envelope without its own
    `charger_id` it is that of its `metrics`.
    """
    said, metrics = raw.get("charger_id"), raw.get("metrics")
    if said is None and isinstance(metrics, Mapping):
        said = metrics.get("charger_id")
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    return str(said).encode("utf-8", "replace").decode()
