"""Read a fleet's history from files: readings, failures and optionally maintenance.

A folder contains `readings`, `failures` and perhaps `maintenance`, each as `.parquet` or `.csv`. Columns have
the field names of a reading; `mapping` gives other names. A column that does not exist is missing for all
rows. Offline only (pandas). Every error names file, row and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

from models.features.columns import (
    Columns,
    Floats,
    Ints,
    count_codes,
)
from models.features.error_codes import FAMILIES, family
from models.features.frame import FeatureSpec, vocabulary_of
from models.training.history_table import BadHistory, NoReadings, Table, needed

NUMBERS: Final = ("energy_delivered", "power", "temperature", "uptime_hours", "total_sessions")
ABOUT: Final = "about.json"
_CHARGER_SHIFT: Final = 43  # milliseconds since 1970 stay below 2**43 until the year 2248
MOST_CHARGERS: Final = 1 << (63 - _CHARGER_SHIFT)
FIELDS: Final = ("connector_status", *NUMBERS, "error_codes", "last_maintenance")


@dataclass(frozen=True, slots=True)
class Events:
    """Failures or maintenance, sorted by charger and time. `corrective` is 1 for repairs."""

    charger: Ints
    time_s: Floats
    corrective: Floats

    @property
    def key(self) -> Ints:
        """Sort keys [n] by charger and time."""
        return sort_key(self.charger, self.time_s)


@dataclass(frozen=True, slots=True)
class History:
    """A fleet's history. `charger_ids[columns.charger[i]]` sent reading i; `rows[i]` is its row in the file.

    `absent` are the fields without a column.
    """

    columns: Columns
    rows: Ints
    charger_ids: list[str]
    spec: FeatureSpec
    failures: Events
    maintenance: Events
    absent: tuple[str, ...]

    @property
    def end_s(self) -> float:
        """The end of observation: the time of the newest reading."""
        return float(self.columns.time_s.max()) if len(self.columns) else 0.0


def sort_key(charger: Ints, time_s: Floats) -> Ints:
    """One integer per row that sorts by charger and then by millisecond."""
    key: Ints = (charger << _CHARGER_SHIFT) + np.round(time_s * 1000).astype(np.int64)
    return key


def origin(folder: Path) -> dict[str, Any]:
    """Where a history comes from: `trained_on` (text) and `simulated` of the manifests of its versions.

    Both are read from `about.json` in the folder, which `python -m models simulate` writes. Without it the
    history is that of real chargers, and is named after the folder. Raises `BadHistory`.
    """
    file = folder / ABOUT
    try:
        about = orjson.loads(file.read_bytes()) if file.exists() else {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise BadHistory(f"{file}: cannot be read: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("description", ""), str):
        raise BadHistory(f"{file}: is no JSON object with a text as description")
    return {
        "trained_on": about.get("description", f"history {folder.name}"),
        "simulated": bool(about.get("simulated", False)),
    }


def load(
    folder: Path,
    *,
    mapping: Mapping[str, Sequence[str]] | None = None,
    until: datetime | None = None,
    spec: FeatureSpec | None = None,
    named: Sequence[str] = (),
) -> History:
    """Read a folder's history up to and including `until`. Raises `BadHistory`.

    `mapping` gives the columns of a field. Several are allowed for `error_codes` only; each then counts the
    code of its name. Without `spec`, frequent codes of the fleet become named codes, and all
    of `named` too.
    """
    names = {field: list(columns) for field, columns in (mapping or {}).items()}
    readings = needed(folder, "readings", names)
    failures = needed(folder, "failures", names)
    maintenance = Table.read(folder, "maintenance", names)

    _check_mapping(names, readings)
    limit_s = np.inf if until is None else until.timestamp()
    time_s = readings.times("timestamp", needed=True)
    kept = np.flatnonzero(time_s <= limit_s)
    if not len(kept):
        raise NoReadings(f"{readings.path}: no reading{'' if until is None else f' up to {until}'}")
    identifiers = readings.text("charger_id")
    codes, charger_ids = pd.factorize(identifiers[kept], sort=True)
    if len(charger_ids) >= MOST_CHARGERS:
        raise BadHistory(f"{readings.path}: {len(charger_ids)} chargers are more than {MOST_CHARGERS - 1}")
    charger = codes.astype(np.int64)
    order = np.argsort(sort_key(charger, time_s[kept]), kind="stable")
    kept, charger = kept[order], charger[order]
    known = {name: index for index, name in enumerate(charger_ids)}

    done = _events(maintenance, known, limit_s)
    numbers = {name: readings.number(name)[kept] for name in NUMBERS}
    serviced = _with_visits(readings.times("last_maintenance")[kept], charger, time_s[kept], done)
    spec, counted = _codes(readings, kept, charger, spec, named)
    columns = Columns(
        charger=charger,
        time_s=time_s[kept],
        status=readings.status()[kept],
        energy_kwh=numbers["energy_delivered"],
        power_kw=numbers["power"],
        temperature_c=numbers["temperature"],
        uptime_h=numbers["uptime_hours"],
        sessions=numbers["total_sessions"],
        serviced_s=serviced,
        codes=counted,
    )
    absent = tuple(field for field in FIELDS if not readings.has(field))
    if len(failures.frame) and not np.isin(failures.text("charger_id"), identifiers).any():
        failures.refuse("charger_id", np.ones(len(failures.frame)), "has no reading, as all others here")
    failed = _events(failures, known, limit_s)
    return History(columns, kept, [str(name) for name in charger_ids], spec, failed, done, absent)


def _check_mapping(names: Mapping[str, Sequence[str]], readings: Table) -> None:
    """Raise `BadHistory` for a mapped field that there is not, or whose columns the readings do not have."""
    for field, columns in names.items():
        if field not in ("charger_id", "timestamp", *FIELDS):
            raise BadHistory(f"{readings.path}: a reading has no field {field} (--map)")
        if not readings.has(field):
            raise BadHistory(f"{readings.path}: has no column {', '.join(columns)} (for {field})")


def _events(table: Table | None, known: dict[Any, int], limit_s: float) -> Events:
    """Events up to the limit of chargers that have readings."""
    if table is None:
        return Events(np.empty(0, np.int64), np.empty(0), np.empty(0))
    time_s = table.times("timestamp", needed=True)
    charger = np.array([known.get(name, -1) for name in table.text("charger_id")], np.int64)
    kind = (
        table.frame["kind"].astype(str).str.lower()
        if "kind" in table.frame
        else pd.Series([""] * len(time_s))
    )
    corrective = kind.str.contains("correct|repair|emerg|unplanned").to_numpy().astype(np.float64)
    kept = np.flatnonzero((time_s <= limit_s) & (charger >= 0))
    kept = kept[np.argsort(sort_key(charger[kept], time_s[kept]), kind="stable")]
    return Events(charger[kept], time_s[kept], corrective[kept])


def _with_visits(serviced: Floats, charger: Ints, time_s: Floats, done: Events) -> Floats:
    """The newest visit known at each reading: its own field, or else the maintenance table."""
    if not len(done.charger):
        return serviced
    at = np.searchsorted(done.key, sort_key(charger, time_s), side="right") - 1
    same = (at >= 0) & (done.charger[at] == charger)
    return np.where(np.isnan(serviced) & same, done.time_s[at], serviced)


def _codes(
    table: Table, kept: Ints, charger: Ints, spec: FeatureSpec | None, named: Sequence[str]
) -> tuple[FeatureSpec, Floats]:
    """Code counts by reading, and the spec that names them (without one: frequent codes, then `named`)."""
    columns = table.columns("error_codes")
    if not columns:
        spec = spec or FeatureSpec(tuple(named))
        return spec, np.full((len(kept), len(FAMILIES) + len(spec.vocabulary)), np.nan)
    if table.frame[columns].isna().all(axis=None):  # the type of empty columns means nothing
        spec = spec or FeatureSpec(tuple(named))
        return spec, np.full((len(kept), len(FAMILIES) + len(spec.vocabulary)), np.nan)
    if any(pd.api.types.is_numeric_dtype(table.frame[name]) for name in columns):
        return _counters(table, columns, kept, spec or _naming(columns, named))
    if len(columns) > 1:
        raise BadHistory(
            f"{table.path}: error_codes from several columns needs columns of numbers: {columns}"
        )
    values = table.frame[columns[0]]
    wrong = [not isinstance(value, str | list | tuple | np.ndarray) for value in values]
    table.refuse(
        "error_codes", np.array(wrong, np.bool_) & values.notna().to_numpy(), "is no list or text of codes"
    )
    values = values.iloc[kept]
    texts = values.map(_joined, na_action="ignore")
    index, unique = pd.factorize(texts)
    lists = [tuple(filter(None, (word.strip() for word in str(text).split(";")))) for text in unique]
    lists = [tuple(word for word in words if word.lower() != "noerror") for words in lists]
    if spec is None:
        pairs = pd.DataFrame({"index": index, "charger": charger}).drop_duplicates()
        pairs = pairs[pairs["index"] >= 0]
        frequent = vocabulary_of([lists[i] for i in pairs["index"]], [int(who) for who in pairs["charger"]])
        spec = _naming(frequent, named)
    counts = [count_codes(words, spec.code_columns) for words in lists]
    counts.append(count_codes(None, spec.code_columns))
    return spec, np.array(counts, np.float64)[index]


def _naming(codes: Sequence[str], others: Sequence[str]) -> FeatureSpec:
    """A spec that names `codes` and then the `others` that are not among them."""
    return FeatureSpec(tuple(dict.fromkeys((*codes, *others))))


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else ";".join(str(word) for word in value)


def _counters(table: Table, columns: list[str], kept: Ints, spec: FeatureSpec) -> tuple[FeatureSpec, Floats]:
    """Numeric columns, each a count of the code of its name. If all are missing, no codes were reported."""
    plain = replace(table, mapping={})
    values = np.column_stack([plain.count(name) for name in columns])[kept]
    silent = np.isnan(values).all(axis=1)
    counts = np.zeros((len(kept), len(FAMILIES) + len(spec.vocabulary)))
    for position, name in enumerate(columns):
        counts[:, family(name)] += np.nan_to_num(values[:, position])
        if name in spec.code_columns:
            counts[:, spec.code_columns[name]] = values[:, position]
    counts[silent] = np.nan
    return spec, counts
