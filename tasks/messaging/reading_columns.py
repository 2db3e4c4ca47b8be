"""Readings in a task message, as one column per field, so that field names are not repeated.

With 500 readings per message, names and braces are most of the bytes. Every process on the way handles them:
the sender, Redis twice, the worker's parent and its child (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final

from readings.reading import NO_METADATA, Reading

# Defaults of optional fields. A column that contains only its default is left out.
_LEFT_OUT: Final[Mapping[str, Any]] = {**Reading._field_defaults, "metadata": {}}


def to_columns(readings: Sequence[Reading]) -> dict[str, Sequence[Any]]:
    """The fields of `Reading` as JSON values, one column per field, in the order of `readings`.

    Times are epoch seconds.
    """
    columns: dict[str, Sequence[Any]] = dict(
        zip(Reading._fields, zip(*readings, strict=True), strict=True) if readings else ()
    )
    for name in ("timestamp", "last_maintenance"):
        columns[name] = [None if moment is None else moment.timestamp() for moment in columns.get(name, ())]
    return {
        name: column
        for name, column in columns.items()
        if name not in _LEFT_OUT or column.count(_LEFT_OUT[name]) < len(readings)
    }


def from_columns(columns: Mapping[str, Sequence[Any]]) -> list[Reading]:
    """The inverse of `to_columns`. Does not validate; ignores unknown columns."""
    values: dict[str, Iterable[Any]] = {
        name: columns.get(name) or repeat(default) for name, default in Reading._field_defaults.items()
    }
    values["charger_id"], values["connector_status"] = columns["charger_id"], columns["connector_status"]
    values["timestamp"] = [datetime.fromtimestamp(at, UTC) for at in columns["timestamp"]]
    if "last_maintenance" in columns:
        values["last_maintenance"] = [
            None if at is None else datetime.fromtimestamp(at, UTC) for at in columns["last_maintenance"]
        ]
    if "error_codes" in columns:
        values["error_codes"] = [None if codes is None else tuple(codes) for codes in columns["error_codes"]]
    if "metadata" in columns:
        values["metadata"] = [metadata or NO_METADATA for metadata in columns["metadata"]]
    return list(map(Reading, *(values[name] for name in Reading._fields)))
