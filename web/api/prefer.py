"""`Prefer: wait=N` (RFC 7240): how long a caller would wait for a job's end."""

from __future__ import annotations

import re
from typing import Final

from werkzeug.http import parse_list_header, unquote_header_value

_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,19}")


def preferred_wait_s(header: str) -> float:
    """Seconds; 0 without the preference.

    The RFC wants a preference that cannot be read ignored, and only the first of several `wait` considered.
    """
    for preference in parse_list_header(header):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = unquote_header_value(value.strip())
            return float(seconds) if _WHOLE_SECONDS.fullmatch(seconds) else 0.0
    return 0.0
