"""Argument types and number formatting of the replay commands.

Invalid arguments raise `argparse.ArgumentTypeError`: for other errors argparse shows the function's name.
"""

from __future__ import annotations

import argparse
import math
import re
from datetime import UTC, datetime
from typing import Final

from readings.reading import TENANT_ID_PATTERN

INTERRUPTED: Final = 130  # the usual exit code after Ctrl-C


def moment(text: str) -> datetime:
    """Parse a time in ISO 8601; no offset means UTC. Raises `argparse.ArgumentTypeError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        wanted = "must be a time in ISO 8601, like 2026-11-20 or 2026-11-20T08:30:00Z"
        raise argparse.ArgumentTypeError(f"{wanted}, not {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def count(text: str) -> int:
    """Parse a whole number of at least 1. Raises `argparse.ArgumentTypeError`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def speed(text: str) -> float:
    """Parse a factor of real time; `max` and 0 are infinite. Raises `argparse.ArgumentTypeError`."""
    try:
        found = 0.0 if text == "max" else float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of 0 or more, or max, not {text!r}")
    return found or math.inf


def tenant(text: str) -> str:
    """Check the id of a tenant. Raises `argparse.ArgumentTypeError`."""
    if not re.match(TENANT_ID_PATTERN, text):
        raise argparse.ArgumentTypeError(f"must be 1 to 64 characters of A-Z a-z 0-9 _ -, not {text!r}")
    return text


def number_of(n: int, noun: str) -> str:
    """Format a number with its noun: `1 row`, `2,000 rows`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
