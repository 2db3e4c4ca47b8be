"""Names of the contract's fields, and the nearest of them to a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from evzone_ml_client.calls import Kind
from evzone_ml_client.command.outcome import Refused
from evzone_ml_client.schemas import AnomalyVerdict, FailurePrediction, MaintenanceSchedule, Reading

READING_FIELDS: Final = tuple(Reading.__annotations__)
REQUIRED_FIELDS: Final = ("charger_id", "connector_status")
# Fields of each row of results, whatever its kind.
ROW_FIELDS: Final = ("row", "charger_id", "error")
_VERDICTS: Final = {
    "failure": tuple(FailurePrediction.__annotations__),
    "maintenance": tuple(MaintenanceSchedule.__annotations__),
    "anomaly": tuple(AnomalyVerdict.__annotations__),
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, regardless of case; None if none is similar."""
    by_plain = {_plain(each): each for each in known}
    found = get_close_matches(_plain(name), by_plain, n=1, cutoff=0.7)
    return by_plain[found[0]] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """`name`, with the nearest known name as a question."""
    found = nearest(name, known)
    return name if found is None else f"{name} ({found}?)"


def unknown_columns(header: Sequence[str]) -> list[str]:
    """The columns of readings that the service ignores."""
    return [name for name in header if name not in READING_FIELDS]


def ignored_line(columns: Sequence[str]) -> str:
    """A warning of columns of readings that are ignored."""
    named = ", ".join(suggestion(name, READING_FIELDS) if name.strip() else "(no name)" for name in columns)
    what = "column is" if len(columns) == 1 else "columns are"
    return f"Warning: {len(columns)} {what} ignored: {named}."


def result_columns(text: str, kind: Kind) -> list[str]:
    """Parse comma-separated names of result fields. Raises `Refused` for one that results do not have.

    The name of an object selects all of its fields, a dotted name one (`horizons.7d`).
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [*ROW_FIELDS, *_known_columns(kind)]
    for name in names:
        top = name.split(".")[0]
        if kind == "all" and top in _VERDICTS and "." in name:
            top = ".".join(name.split(".")[:2])
        if top not in known:
            raise Refused(f"--columns: results have no field {suggestion(name, known)}.")
    if not names:
        raise Refused("--columns: names no field.")
    return names


def _known_columns(kind: Kind) -> list[str]:
    if kind != "all":
        return list(_VERDICTS[kind])
    return [*_VERDICTS, *(f"{each}.{name}" for each, names in _VERDICTS.items() for name in names)]


def _plain(name: str) -> str:
    """A name in lower case, with `_` between words, and without a unit in brackets."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.sub(r"[(\[].*", "", name).strip())
    return words.lower().replace(" ", "_").replace("-", "_")
