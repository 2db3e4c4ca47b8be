"""Read the attributes of chargers from a CSV file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from marshmallow import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from errors import FieldError, InvalidReading
from readings.attributes import FIELDS, parse_cells
from readings.parsing import field_errors
from readings.reading import CHARGER_ID_PATTERN
from web.uploads.chunking import csv_chunks
from web.uploads.column_names import check_columns
from web.uploads.file_start import refuse_other_formats
from web.uploads.upload import Upload

READ_AT_ONCE: Final = 1_000
_IS_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN).match
_COLUMNS: Final = ("charger_id", *FIELDS)


class AttributeRow(NamedTuple):
    """A row: the charger and its attributes, None for an empty cell; or the problems of a wrong row."""

    number: int
    charger_id: str
    values: dict[str, Any]
    problems: Sequence[FieldError] = ()


def attribute_rows(upload: Upload, most_rows: int) -> Iterator[list[AttributeRow]]:
    """The rows of a file, at most a thousand at a time. Sets `upload.ignored_columns`.

    Raises `MalformedBody` for a file that is not CSV, `InvalidReading` for missing or repeated columns and
    for a file without rows, and werkzeug's 413. The rows before a malformed one have been yielded then.
    """
    refuse_other_formats(upload.file)
    number = 0
    for rows, data in csv_chunks(upload, READ_AT_ONCE, _check_columns):
        if number + rows > most_rows:
            raise RequestEntityTooLarge(f"The file holds more than {most_rows} rows.")
        header, *records = csv.reader(io.StringIO(data.decode(), newline=""))
        found = map(partial(_row, header), range(number, number + rows), filter(None, records))
        yield list(found)
        number += rows
    if not number:
        raise InvalidReading([FieldError("", "The file has a header but no rows.", "range")])


def _check_columns(names: Sequence[str]) -> list[str]:
    unknown = check_columns(names, fields=_COLUMNS, required=("charger_id",))
    if not any(name in FIELDS for name in names):
        detail = f"There is no column of an attribute: {', '.join(FIELDS)}."
        raise InvalidReading([FieldError("", detail, "required")])
    return unknown


def _row(header: Sequence[str], number: int, record: Sequence[str]) -> AttributeRow:
    if len(record) != len(header):
        detail = f"The row has {len(record)} fields, the header has {len(header)}."
        return AttributeRow(number, "", {}, [FieldError("", detail, "malformed_body")])
    cells = dict(zip(header, record, strict=True))
    charger_id = cells["charger_id"]
    problems: list[FieldError] = []
    if not _IS_CHARGER_ID(charger_id):
        detail = "Must be 1 to 128 characters of A-Z a-z 0-9 * _ = : + | @ . -"
        problems.append(FieldError("/charger_id", detail, "range"))
    values: dict[str, Any] = {}
    try:
        values = parse_cells({name: cells[name] for name in FIELDS if name in cells})
    except ValidationError as error:
        problems += field_errors(error.messages)
    return AttributeRow(number, charger_id, values, problems)
