"""The chargers of a selection as CSV, for people with a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from tasks.storage.fleet_query import FleetQuery, Found
from web.api.chargers import items_of
from web.http.messages import Response
from web.http.services import Services
from web.http.streaming import stream

COLUMNS: Final = (
    "charger_id",
    "name",
    "site_id",
    "vendor",
    "model",
    "firmware",
    "connector_status",
    "recommended_action",
    "failure_probability_30d",
    "failure_probability_7d",
    "failure_probability_1d",
    "cost_of_waiting",
    "currency",
    "in_failure",
    "top_factor",
    "reading_timestamp",
    "reading_stale",
)
# A fleet in memory has no more chargers.
MOST_ROWS: Final = 1_000_000
ROWS_AT_ONCE: Final = 500
# The beginnings of OWASP's page on CSV injection, as for the results of jobs.
_IS_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]").match


def stream_fleet(held: Services, tenant: str | None, query: FleetQuery) -> Response:
    """The chargers that a query selects, in its order, as CSV by RFC 4180.

    The selection is fixed at the start, so that each charger has one row. A charger that is erased meanwhile
    has none. Blocks until the first rows are ready; the errors are those of `streaming.stream`.
    """
    with held.fleets.of(tenant) as (columns, since_ms):
        found = columns.find(replace(query, limit=MOST_ROWS, after=0), since_ms=since_ms)
    return stream(
        lambda _connection: _parts(held, tenant, found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="fleet.csv"'},
        within=held.downloads,
        shows_its_end=False,
    )


def _parts(held: Services, tenant: str | None, found: Found) -> Iterator[bytes]:
    yield _csv([COLUMNS])
    for start in range(0, len(found.charger_ids), ROWS_AT_ONCE):
        end = start + ROWS_AT_ONCE
        some = found._replace(
            charger_ids=found.charger_ids[start:end],
            statuses=found.statuses[start:end],
            read_at=found.read_at[start:end],
        )
        yield _csv([_row(orjson.loads(item)) for item in items_of(tenant, some, held.redis)])


def _row(charger: dict[str, Any]) -> list[Any]:
    attributes, horizons = charger["attributes"], charger["horizons"] or {}
    factors = charger.get("top_contributing_factors") or [{}]
    values = {
        **charger,
        **attributes,
        "in_failure": charger["in_failure"] if horizons else None,
        "reading_stale": charger["reading_stale"] if horizons else None,
        "failure_probability_30d": horizons.get("30d"),
        "failure_probability_7d": horizons.get("7d"),
        "failure_probability_1d": horizons.get("1d"),
        "top_factor": factors[0].get("text"),
    }
    return [_cell(values.get(name)) for name in COLUMNS]


def _cell(value: Any) -> Any:
    """A value as a cell. A text that a spreadsheet would run as a formula begins with a `'`."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and _IS_FORMULA(value) else value


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
