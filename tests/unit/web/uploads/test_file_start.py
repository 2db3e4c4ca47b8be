"""A file in another format than its name says is refused by the format's name."""

from __future__ import annotations

import gzip
import io

import pytest

from errors import MalformedBody
from web.uploads.file_start import refuse_other_formats

HEADER = "charger_id,connector_status\n"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"PK\x03\x04rest", "Excel workbook or a ZIP archive"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel workbook"),
        (gzip.compress(HEADER.encode(), mtime=0), "Send Content-Encoding: gzip"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + HEADER.encode("utf-16-be"), "UTF-16"),
    ],
)
def test_a_file_of_another_format_is_named(data: bytes, named: str) -> None:
    with pytest.raises(MalformedBody, match=named):
        refuse_other_formats(io.BytesIO(data))


@pytest.mark.parametrize("data", [HEADER.encode("utf-8-sig"), b"{}", b"", b"PAR1", b"P"])
def test_other_files_are_left_at_their_start(data: bytes) -> None:
    file = io.BytesIO(data)
    refuse_other_formats(file)
    assert file.read() == data
