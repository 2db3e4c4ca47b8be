"""Messages for wrong values and missing fields, with a hint for the usual mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from errors import FieldError

MAX_SHOWN_CHARS: Final = 40
IN_THE_FUTURE: Final = (
    "Lies more than 5 minutes in the future of the service's clock. A time without an offset is UTC."
)
MOMENT_EXAMPLE: Final = "2026-11-20T08:30:00Z"

_PLAIN_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?").fullmatch
# Fields of a reading, and a few more.
NAMES_COMPARED: Final = 50
_OCPP: Final = " This looks like an OCPP message; those are read from Kafka alone."
# A comma before three digits may also be a decimal comma.
_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}([,.' \u00a0\u2019\u202f][0-9]{3})+([.,][0-9]+)?").fullmatch
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9. ']*,[0-9]+").fullmatch
_PLACEHOLDERS: Final = frozenset(
    {"-", "--", "–", "?", "n/a", "#n/a", "na", "nan", "null", "none", "nil", "#div/0!"}
)
# Days since 1900 from 1982 to 2064: Excel writes a date so if its cell has the format of a number.
_EXCEL_DATE: Final = re.compile(r"[3-5][0-9]{4}([.,][0-9]+)?").fullmatch
_SECONDS: Final = re.compile(r"[0-9]{9,11}(\.[0-9]+)?").fullmatch
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}(\.[0-9]+)?").fullmatch


def not_a_number(text: str) -> str:
    """Return why a text is no number, with its first characters."""
    shown = _quoted(text)
    if _PLAIN_NUMBER(text):  # of JSON; in CSV it is a number
        return f"{shown} is not a number but a string; leave the quotes out."
    start = text[:64]
    if start.strip().lower() in _PLACEHOLDERS:
        return f"{shown} is not a number; leave a missing value out."
    hint = ""
    if _THOUSANDS(start):
        hint = "; use a decimal point, and no thousands separators"
    elif _DECIMAL_COMMA(start):
        hint = "; use a decimal point"
    return f"{shown} is not a number{hint}."


def not_a_moment(value: Any, *, epoch: bool) -> str:
    """Return why a value is no time, with its first characters. `epoch`: seconds since 1970 are one too."""
    forms = "an ISO 8601 date and time since 1970" + (", nor seconds since then" if epoch else "")
    if isinstance(value, str):
        text, shown = value.strip(), _quoted(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = shown = repr(value)[:MAX_SHOWN_CHARS].removesuffix(".0")
    else:
        return f"Not {forms}."
    hint = f", like {MOMENT_EXAMPLE}."
    if _EXCEL_DATE(text):
        hint = ". Is this an Excel date? Format the cells as yyyy-mm-dd hh:mm:ss."
    elif _MILLISECONDS(text):
        hint = ". Is this in milliseconds?"
    elif epoch and isinstance(value, str) and _SECONDS(text):
        hint = ". Seconds are a JSON number; leave the quotes out."
    return f"{shown} is not {forms}{hint}"


def no_object(raw: object) -> str:
    """Return why a value that is no JSON object is no reading. Names an OCPP-J frame (OCPP-J 1.6, 4.2)."""
    framed = isinstance(raw, list) and len(raw) > 2 and raw[0] in (2, 3, 4) and isinstance(raw[1], str)
    return f"Must be a JSON object.{_OCPP if framed else ''}"


def with_hint(problem: FieldError, raw: Mapping[str, Any]) -> FieldError:
    """Name the field of `raw` that is probably the missing one, or say that `raw` is an OCPP message."""
    if problem.code != "required":
        return problem
    wanted = problem.pointer.rpartition("/")[2].replace("_", "")
    for name in islice(raw, NAMES_COMPARED):
        if isinstance(name, str) and name.replace("_", "").replace("-", "").lower() == wanted:
            return replace(problem, detail=f"{problem.detail} Is it {_quoted(name)}?")
    if "chargePointId" in raw or {"errorCode", "status"} <= raw.keys():
        return replace(problem, detail=problem.detail + _OCPP)
    return problem


def _quoted(text: str) -> str:
    # `repr` escapes lone surrogates and control characters.
    return repr(text[:MAX_SHOWN_CHARS]) + ("…" if len(text) > MAX_SHOWN_CHARS else "")
