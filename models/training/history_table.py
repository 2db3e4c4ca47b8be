"""One file of a fleet's history, with its columns by field of a reading. Errors name file, row and column.

Offline only (pandas).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from errors import ServiceError
from models.features.columns import NO_STATUS, STATUS_INDEX, Floats, Ints, to_millisecond
from readings.reading import BOUNDS, status_of


class BadHistory(ServiceError):
    """Raised for a file that is not a valid history. The message names file, row and column."""

    code = "bad_history"


class NoReadings(BadHistory):
    """Raised if no reading is left, because the file is empty or all readings are later than `until`."""

    code = "no_readings"


# A reading outside is a mistake of units or clocks. The sort key of histories ends in 2248.
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
ALLOWED_KINDS: Final = "iuf"  # of numpy: integers and floats
MOST_COUNTED: Final = 1e9
SHOWN: Final = 80  # characters of a wrong value in a message


@dataclass(frozen=True, slots=True)
class Table:
    """One file, and the columns of its fields. `doubled` are names of more than one column.

    The index of `frame` is each row's number in the file, counted from 0 without the header.
    """

    path: Path
    frame: pd.DataFrame
    mapping: dict[str, list[str]]
    doubled: frozenset[str]

    @classmethod
    def read(cls, folder: Path, name: str, mapping: dict[str, list[str]]) -> Table | None:
        """Read the table of that name in the folder; None if there is none. Raises `BadHistory`."""
        for path in (folder / f"{name}.parquet", folder / f"{name}.csv"):
            if path.exists():
                return cls.at(path, mapping)
        return None

    @classmethod
    def at(cls, path: Path, mapping: dict[str, list[str]]) -> Table:
        """Read one file, CSV by its suffix and Parquet otherwise. Raises `BadHistory`."""
        if not path.exists():
            raise BadHistory(f"{path}: there is no such file")
        if not path.is_file():  # a pipe would block for ever
            raise BadHistory(f"{path}: is not a file")
        try:
            frame, names = _csv(path, mapping) if path.suffix == ".csv" else _parquet(path)
        except UnicodeDecodeError as error:
            raise BadHistory(f"{path}, row {_row_of(path)}: is no UTF-8 text ({error.reason})") from error
        except Exception as error:  # parsers raise many types; all mean that the file is invalid
            why = " ".join(str(error).split()) or type(error).__name__
            raise BadHistory(f"{path}: cannot be read: {why}") from error
        doubled = frozenset(str(name) for name in names[names.duplicated()])
        return cls(path, frame, mapping, doubled)

    def columns(self, field: str) -> list[str]:
        """The existing columns of a field. Raises `BadHistory` for a name of two columns."""
        found = [name for name in self.mapping.get(field, [field]) if name in self.frame.columns]
        for name in found:
            if name in self.doubled:
                raise BadHistory(f"{self.path}: has the column {name} twice")
        return found

    def has(self, field: str) -> bool:
        """Whether a field has a column."""
        return bool(self.columns(field))

    def refuse(self, field: str, bad: Any, why: str) -> None:
        """Raise `BadHistory` for the first true value of `bad`, with its row in the file and `why`."""
        where = np.flatnonzero(bad)
        if len(where):
            row = int(where[0])
            column = self.columns(field)[0]
            line = int(self.frame.index[row]) + (2 if self.path.suffix == ".csv" else 1)
            value = self.frame[column].iloc[row]
            shown = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
            shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
            raise BadHistory(f"{self.path}, row {line}, column {column}: {shown} {why}")

    def _lacks(self, field: str) -> BadHistory:
        named = ", ".join(self.mapping.get(field, [field]))
        return BadHistory(f"{self.path}: has no column {named} (for {field})")

    def _values(self, field: str, *, text: bool = False) -> Any:
        """The column of a field. Refuses values of types that no field has, such as lists and bytes."""
        values = self.frame[self.columns(field)[0]]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        if values.dtype.kind in ALLOWED_KINDS + ("" if text else "M"):
            return values
        if values.dtype.kind == "O" and pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty"):
            return values
        allowed = (str, int) if text else (str, int, float, Decimal, date)
        wrong = [not isinstance(value, allowed) or isinstance(value, bool) for value in values.astype(object)]
        self.refuse(
            field,
            np.array(wrong, np.bool_) & values.notna().to_numpy(),
            "is no text" if text else "is no value",
        )
        return values

    def text(self, field: str) -> Any:
        """A text column without missing values. Raises `BadHistory`."""
        if not self.has(field):
            raise self._lacks(field)
        values = self._values(field, text=True)
        index, words = pd.factorize(values)
        blank = np.array([*(not str(word).strip() for word in words), True])
        self.refuse(field, blank[index], "is missing")
        return np.array([*(_text(word) for word in words), ""], dtype=object)[index]

    def times(self, field: str, *, needed: bool = False) -> Floats:
        """Seconds since 1970 [n] from ISO 8601 text, dates or epoch seconds; NaN where missing.

        Raises `BadHistory` for invalid times and, with `needed`, for missing ones and those before 1990.
        """
        if not self.has(field):
            if needed:
                raise self._lacks(field)
            return np.full(len(self.frame), np.nan)
        values = self._values(field)
        if pd.api.types.is_numeric_dtype(values):
            seconds = values.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            text = not pd.api.types.is_datetime64_any_dtype(values)
            if text:
                values = values.astype(object)
                values = values.where(values.astype(str).str.strip() != "")
            moments = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601" if text else None)
            self.refuse(field, (moments.isna() & values.notna()).to_numpy(), "is no ISO 8601 time")
            whole = moments.dt.as_unit("us").astype("int64").to_numpy()
            seconds = np.where(moments.isna().to_numpy(), np.nan, whole / 1e6)
        if needed:
            self.refuse(field, np.isnan(seconds), "is missing")
        with np.errstate(invalid="ignore"):
            early = seconds < (EARLIEST.timestamp() if needed else -LATEST.timestamp())
            self.refuse(
                field,
                early | (seconds >= LATEST.timestamp()),
                f"is not between {EARLIEST.year} and {LATEST.year} (ISO 8601 or epoch seconds)",
            )
        return to_millisecond(seconds)

    def number(self, field: str) -> Floats:
        """A float column [n]; NaN where missing. Raises `BadHistory` for text and impossible values."""
        return self._bounded(field, *BOUNDS[field])

    def count(self, field: str) -> Floats:
        """A float column [n] of counts; NaN where missing. Raises `BadHistory`."""
        return self._bounded(field, 0, MOST_COUNTED)

    def _bounded(self, field: str, low: float, high: float) -> Floats:
        result = self.finite(field)
        with np.errstate(invalid="ignore"):
            self.refuse(field, (result < low) | (result > high), f"is outside {low:g} to {high:g}")
        return result

    def finite(self, field: str) -> Floats:
        """A float column [n] of any finite numbers; NaN where missing. Raises `BadHistory`."""
        if not self.has(field):
            return np.full(len(self.frame), np.nan)
        values = self._values(field)
        numbers = pd.to_numeric(values, errors="coerce")
        given = values.notna()
        if not pd.api.types.is_numeric_dtype(values):
            given &= values.astype(str).str.strip() != ""
        self.refuse(field, (numbers.isna() & given).to_numpy(), "is no number")
        result: Floats = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        self.refuse(field, np.isinf(result), "is not finite")
        return result

    def status(self) -> Ints:
        """Connector status [n] as `STATUSES` index or `NO_STATUS`. Raises `BadHistory` for others."""
        if not self.has("connector_status"):
            return np.full(len(self.frame), NO_STATUS, np.int64)
        values = self._values("connector_status")
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
    if not folder.is_dir():
        raise BadHistory(f"{folder}: is not a folder")
    table = Table.read(folder, name, mapping)
    if table is None:
        raise BadHistory(f"{folder}: has neither {name}.parquet nor {name}.csv")
    return table


def _parquet(path: Path) -> tuple[pd.DataFrame, pd.Index]:
    """The frame and the names of all columns. An index that was stored with a name is a column."""
    names = pd.Index(pq.read_schema(path).names)
    if names.has_duplicates:  # pandas reads no such file
        once = [name for name in names if (names == name).sum() == 1]
        empty = pd.DataFrame({name: [] for name in names[names.duplicated()]})
        return pd.read_parquet(path, columns=once).join(empty), names
    frame = pd.read_parquet(path)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return frame.reset_index(drop=True), names


def _csv(path: Path, mapping: dict[str, list[str]]) -> tuple[pd.DataFrame, pd.Index]:
    """The frame and the names of all columns. Ids stay text: 007 is not 7. Blank lines are no rows."""
    header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]
    ids = dict.fromkeys(mapping.get("charger_id", ["charger_id"]), str)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        frame = pd.read_csv(path, low_memory=False, dtype=ids, index_col=False, skip_blank_lines=False)
    return frame.dropna(how="all"), pd.Index(header.dropna())


def _text(word: Any) -> str:
    """An id as text. Whole floats are integers in a column that had missing values."""
    return str(int(word) if isinstance(word, float) and word.is_integer() else word)


def _row_of(path: Path) -> int:
    """The line of the first byte that is not UTF-8."""
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1
