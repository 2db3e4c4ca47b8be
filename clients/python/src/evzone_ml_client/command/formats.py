"""File formats, by extension or by option."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from evzone_ml_client.command.outcome import Refused
from evzone_ml_client.formats import MEDIA_TYPES, RESULTS, ResultsFormat, results_format, upload_headers

INPUTS: Final = tuple(extension[1:] for extension in MEDIA_TYPES if extension != ".jsonl")
EXCEL: Final = (".xlsx", ".xlsm", ".xls")
STDIO: Final = "-"


def input_format(file: str, named: str | None) -> str:
    """Return a format such as `csv` or `csv.gz`: `named`, or else by extension. Raises `Refused`."""
    name = _name(file, named)
    try:
        upload_headers(name)
    except ValueError:
        hint = "Save the sheet as CSV UTF-8, or name" if name.suffix.lower() in EXCEL else "Name"
        raise Refused(
            f"What is {file}? {hint} --input-format: {', '.join(INPUTS)}, each also with .gz."
        ) from None
    extensions = name.suffixes[-2:] if name.suffix.lower() == ".gz" else name.suffixes[-1:]
    return "".join(extensions)[1:].lower()


def output_format(file: str, named: str | None) -> ResultsFormat:
    """Return the format of a results file. Raises `Refused` for an unsupported one."""
    try:
        return results_format(_name(file, named))
    except ValueError:
        raise Refused(f"How is {file} to be written? Name --output-format: {', '.join(RESULTS)}.") from None


def _name(file: str, named: str | None) -> PurePath:
    return PurePath(file if named is None else f"{file}.{named}")
