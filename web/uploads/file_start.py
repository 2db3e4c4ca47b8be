"""Recognise a file of another format by its first bytes, for any `Content-Type`."""

from __future__ import annotations

from typing import IO, Final

from errors import MalformedBody

# None of these is valid at the start of JSON, CSV in UTF-8 or Parquet.
_STARTS: Final = {
    b"PK\x03\x04": "The file is an Excel workbook or a ZIP archive. Save the sheet as CSV UTF-8.",
    b"\xd0\xcf\x11\xe0": "The file is an old Excel workbook (.xls). Save the sheet as CSV UTF-8.",
    b"\x1f\x8b": "The body is compressed by gzip. Send Content-Encoding: gzip.",
    b"\xff\xfe": "The file is in UTF-16. Save it as UTF-8; in Excel: CSV UTF-8, not Unicode text.",
    b"\xfe\xff": "The file is in UTF-16. Save it as UTF-8; in Excel: CSV UTF-8, not Unicode text.",
}


def refuse_other_formats(file: IO[bytes]) -> None:
    """Leave `file` at its start. Raises `MalformedBody` with the format's name for one of another format."""
    start = file.read(4)
    file.seek(0)
    for mark, detail in _STARTS.items():
        if start.startswith(mark):
            raise MalformedBody(detail)
