"""Problems of single numbers and times, with a hint for the usual mistakes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from evzone_ml_client.command.csv_changes import NUMBER

SHOWN_CHARS: Final = 40
# The service's own limits of times.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
# The first second of the year 10000.
EPOCH_END_S: Final = 253_402_300_800

_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}([,.' \u00a0\u2019\u202f][0-9]{3})+([.,][0-9]+)?")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_PLACEHOLDERS: Final = frozenset(
    {"-", "--", "–", "?", "n/a", "#n/a", "na", "nan", "null", "none", "nil", "#div/0!"}
)
_EPOCH: Final = re.compile(r"[0-9]{9,}(\.[0-9]+)?")
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}(\.[0-9]+)?")
# Days since 1900 from 1982 to 2064: Excel writes a date so if its cell has the format of a number.
_EXCEL_DATE: Final = re.compile(r"[3-5][0-9]{4}([.,][0-9]+)?")
# ISO 8601 has a T between date and time, RFC 3339 a T or a blank.
_DATE_THEN_TIME: Final = re.compile(r"[0-9W-]+([Tt ].*)?", re.DOTALL)


def number_problem(text: str) -> str | None:
    """Why a cell is no number for the service; None if it is one."""
    if NUMBER.fullmatch(text):
        return None
    hint = ""
    if text.lower() in _PLACEHOLDERS:
        hint = "; leave the cell of a missing value empty"
    elif _THOUSANDS.fullmatch(text):
        hint = "; use a decimal point, and no thousands separators"
    elif _DECIMAL_COMMA.fullmatch(text):
        hint = "; use a decimal point"
    return f"{shown(text)} is not a number{hint}"


def time_problem(text: str, *, epoch: bool) -> str | None:
    """Why a text is no time for the service; None if it is one. `epoch`: it may be seconds since 1970."""
    if epoch and _EPOCH.fullmatch(text):
        return epoch_problem(float(text), text)
    try:
        if not _DATE_THEN_TIME.fullmatch(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text.upper())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        hint = ", like 2026-11-20T08:30:00Z"
        if _EXCEL_DATE.fullmatch(text):
            hint = ". Is this an Excel date? Format the cells as yyyy-mm-dd hh:mm:ss"
        elif _MILLISECONDS.fullmatch(text):
            hint = ". Is this in milliseconds?"
        return f"{shown(text)} is not an ISO 8601 time{hint}"
    if moment < EARLIEST:
        return f"{shown(text)} lies before 1970"
    return _future_problem(moment, text)


def epoch_problem(seconds: float, text: str) -> str | None:
    """Why a number is no time in seconds since 1970; None if it is one. `text` is the number as written."""
    if not 0 <= seconds < EPOCH_END_S:
        return f"{text[:SHOWN_CHARS]} is not in seconds since 1970. Is this in milliseconds?"
    return _future_problem(datetime.fromtimestamp(seconds, UTC), text)


def shown(text: str) -> str:
    """The first characters of a text, in quotes."""
    return repr(text[:SHOWN_CHARS])


def _future_problem(moment: datetime, text: str) -> str | None:
    if moment <= datetime.now(UTC) + FUTURE_TOLERANCE:
        return None
    return f"{shown(text)} lies in the future; a time without an offset is UTC"
