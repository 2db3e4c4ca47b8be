"""What makes a batch's whole file unfit: columns that are missing, rows that are too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from werkzeug.exceptions import RequestEntityTooLarge

from errors import FieldError, InvalidReading
from readings.schema import FIELDS, REQUIRED

# What one worker is given at once; rows of ordinary readings fill a thirtieth of it.
MAX_CHUNK_BYTES: Final = 32_000_000
MAX_LINE_BYTES: Final = 1_000_000


def check_columns(names: Sequence[str]) -> None:
    """Raises `InvalidReading` that names each column that is missing, or there twice."""
    listed = ", ".join(names[:20]) or "none"
    problems = [
        FieldError(f"/{name}", f"There is no such column. The columns are: {listed}.", "required")
        for name in REQUIRED
        if name not in names
    ]
    problems += [
        FieldError(f"/{name}", "There is more than one such column.", "duplicate")
        for name in FIELDS
        if names.count(name) > 1
    ]
    if problems:
        raise InvalidReading(problems)


def check_size(size_bytes: int) -> None:
    """Raises 413 where a chunk has that many bytes."""
    if size_bytes > MAX_CHUNK_BYTES:
        raise RequestEntityTooLarge(f"A few thousand rows hold more than {MAX_CHUNK_BYTES} bytes.")


def check_line(size_bytes: int, number: int) -> None:
    """Raises 413 where a line has that many bytes."""
    if size_bytes > MAX_LINE_BYTES:
        raise RequestEntityTooLarge(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
