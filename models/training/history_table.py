"""One file of a fleet's history, with its columns by field of a reading. Errors name file, row and column.

Offline only (pandas).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from errors import ServiceError
from models.features.columns import NO_STATUS, STATUS_INDEX, Floats, Ints, to_millisecond
from readings.reading import BOUNDS, status_of


class BadHistory(ServiceError):
    """Raised for a file that is not a valid history. The message names file, row and column."""

    code = "bad_history"


class NoReadings(BadHistory):
    """Raised if no reading is left, because the file is empty or all readings are later than `until`."""

    code = "no_readings"


@dataclass(frozen=True, slots=True)
class Table:
    """One file, and the columns of its fields."""

    path: Path
    frame: pd.DataFrame
    mapping: dict[str, list[str]]

    @classmethod
    def read(cls, folder: Path, name: str, mapping: dict[str, list[str]]) -> Table | None:
        """Read the table of that name in the folder; None if there is none. Raises `BadHistory`."""
        for path in (folder / f"{name}.parquet", folder / f"{name}.csv"):
            if path.is_file():
                return cls.at(path, mapping)
        return None

    @classmethod
    def at(cls, path: Path, mapping: dict[str, list[str]]) -> Table:
        """Read one file, CSV by its suffix and Parquet otherwise. Raises `BadHistory`."""
        try:
            frame = _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        except Exception as error:  # parsers raise many types; all mean that the file is invalid
            raise BadHistory(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
        return cls(path, frame, mapping)

    def columns(self, field: str) -> list[str]:
        """The existing columns of a field."""
        return [name for name in self.mapping.get(field, [field]) if name in self.frame.columns]

    def has(self, field: str) -> bool:
        """Whether a field has a column."""
        return bool(self.columns(field))

    def refuse(self, field: str, bad: Any, why: str) -> None:
        """Raise `BadHistory` for the first true value of `bad`, with its row in the file and `why`."""
        where = np.flatnonzero(bad)
        if len(where):
            row = int(where[0])
            column = self.columns(field)[0]
            line = row + (2 if self.path.suffix == ".csv" else 1)
            raise BadHistory(
                f"{self.path}, row {line}, column {column}: {self.frame[column].iloc[row]!r} {why}"
            )

    def _lacks(self, field: str) -> BadHistory:
        named = ", ".join(self.mapping.get(field, [field]))
        return BadHistory(f"{self.path}: has no column {named} (for {field})")

    def text(self, field: str) -> Any:
        """A text column without missing values. Raises `BadHistory`."""
        if not self.has(field):
            raise self._lacks(field)
        values = self.frame[self.columns(field)[0]]
        self.refuse(field, values.isna(), "is missing")
        return values.astype(str).to_numpy(dtype=object)

    def times(self, field: str, *, needed: bool = False) -> Floats:
        """Seconds since 1970 [n] from ISO 8601 text, dates or epoch seconds; NaN where missing.

        Raises `BadHistory` for invalid times and, with `needed`, for missing ones.
        """
        if not self.has(field):
            if needed:
                raise BadHistory(
                    f"{self.path}: has no column {self.mapping.get(field, [field])[0]} ({field})"
                )
            return np.full(len(self.frame), np.nan)
        values = self.frame[self.columns(field)[0]]
        if pd.api.types.is_numeric_dtype(values):
            seconds = values.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            text = not pd.api.types.is_datetime64_any_dtype(values)
            if text:
                values = values.where(values.astype(str).str.strip() != "")
            moments = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601" if text else None)
            self.refuse(field, (moments.isna() & values.notna()).to_numpy(), "is no ISO 8601 time")
            whole = moments.dt.as_unit("us").astype("int64").to_numpy()
            seconds = np.where(moments.isna().to_numpy(), np.nan, whole / 1e6)
        if needed:
            self.refuse(field, ~np.isfinite(seconds), "is missing")
        return to_millisecond(seconds)

    def number(self, field: str) -> Floats:
        """A float column [n]; NaN where missing. Raises `BadHistory` for text and impossible values."""
        result = self.finite(field)
        low, high = BOUNDS[field]
        with np.errstate(invalid="ignore"):
            self.refuse(field, (result < low) | (result > high), f"is outside {low:g} to {high:g}")
        return result

    def finite(self, field: str) -> Floats:
        """A float column [n] of any finite numbers; NaN where missing. Raises `BadHistory`."""
        if not self.has(field):
            return np.full(len(self.frame), np.nan)
        values = self.frame[self.columns(field)[0]]
        numbers = pd.to_numeric(values, errors="coerce")
        given = values.notna()
        if not pd.api.types.is_numeric_dtype(values):
            given &= values.astype(str).str.strip() != ""
        self.refuse(field, (numbers.isna() & given).to_numpy(), "is no number")
        result = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        self.refuse(field, np.isinf(result), "is not finite")
        return result

    def status(self) -> Ints:
        """Connector status [n] as `STATUSES` index or `NO_STATUS`. Raises `BadHistory` for others."""
        if not self.has("connector_status"):
            return np.full(len(self.frame), NO_STATUS, np.int64)
        values = self.frame[self.columns("connector_status")[0]]
        index, words = pd.factorize(values)
        found = [status_of(str(word)) for word in words]
        unknown = np.array([*(word is None for word in found), False])
        self.refuse("connector_status", unknown[index], "is no connector status")
        table = np.array(
            [*(STATUS_INDEX[word] if word else NO_STATUS for word in found), NO_STATUS], np.int64
        )
        return table[index]


def needed(folder: Path, name: str, mapping: dict[str, list[str]]) -> Table:
    """The table of that name. Raises `BadHistory` if there is none."""
    table = Table.read(folder, name, mapping)
    if table is None:
        raise BadHistory(f"{folder}: has neither {name}.parquet nor {name}.csv")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, low_memory=False)
