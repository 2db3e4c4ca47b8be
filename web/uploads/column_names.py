"""Check the column names of a CSV or Parquet file."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Final

from errors import FieldError, InvalidReading
from readings.schema import FIELDS, REQUIRED
from tasks.jobs.job_record import MAX_COLUMN_NAME_CHARS, MAX_IGNORED_COLUMNS

COLUMNS_SHOWN: Final = 20
# A name at least this similar to a missing one is proposed.
SIMILAR: Final = 0.7
# A header in one piece that contains one of these was probably written with another separator.
_SEPARATORS: Final = {";": "semicolon-separated", "\t": "tab-separated", "|": "separated by |"}


def check_columns(
    names: Sequence[str], *, fields: Collection[str] = FIELDS, required: Collection[str] = REQUIRED
) -> list[str]:
    """Check the column names of a file: of readings, or of rows with other `fields`.

    Returns:
        The first `MAX_IGNORED_COLUMNS` unknown names, each cut to `MAX_COLUMN_NAME_CHARS`.

    Raises:
        InvalidReading: names each missing or repeated column.
    """
    if not names:
        raise InvalidReading([FieldError("", "The file is empty.", "required")])
    problems = [
        FieldError(f"/{name}", f"Column {name} is missing. {_hint(name, names)}", "required")
        for name in required
        if name not in names
    ]
    problems += [
        FieldError(f"/{name}", "There is more than one such column.", "duplicate")
        for name in fields
        if names.count(name) > 1
    ]
    if problems:
        raise InvalidReading(problems)
    unknown = dict.fromkeys(name[:MAX_COLUMN_NAME_CHARS] for name in names if name not in fields)
    return list(islice(unknown, MAX_IGNORED_COLUMNS))


def _hint(missing: str, names: Sequence[str]) -> str:
    if names[0].startswith("sep="):
        return "The first line is Excel's sep= line; remove it."
    if len(names) == 1:
        for separator, how in _SEPARATORS.items():
            if separator in names[0]:
                return f"The header looks {how}; use commas."
    elif len([name for name in names if name.strip()]) < 2:
        return "The first line must be the header; remove the lines before it."
    shown = ", ".join(name[:MAX_COLUMN_NAME_CHARS] for name in names[:COLUMNS_SHOWN] if name.strip())
    listed = f"The columns are: {shown}{', …' if len(names) > COLUMNS_SHOWN else ''}."
    by_plain = {_plain(name): name for name in names[:COLUMNS_SHOWN]}
    similar = get_close_matches(_plain(missing), by_plain, n=1, cutoff=SIMILAR)
    return f"{listed} Is it {by_plain[similar[0]][:MAX_COLUMN_NAME_CHARS]}?" if similar else listed


def _plain(name: str) -> str:
    """A name without case, blanks, dashes and a unit in brackets."""
    return re.sub(r"[\s_-]|[(\[].*", "", name[:MAX_COLUMN_NAME_CHARS]).lower()
