"""Replace what differs between two runs: times of the run, random ids, ports, folders, rates."""

from __future__ import annotations

import re
import socket
import time
from datetime import datetime
from typing import Any, Final

DAY_S: Final = 86_400
SLOT_S: Final = DAY_S // 2
# Readings of the scenarios are from 2024. Any time around the present comes from the run itself.
BACK_S: Final = 2 * DAY_S
AHEAD_S: Final = 60 * DAY_S
# Values that depend on the speed and load of the machine, by their key.
RATES: Final = frozenset(
    {"rows_per_second", "eta_seconds", "pace_rows", "pace_s", "median_lead_hours", "clock_offset_s"}
)
# Compressed times of the run: their size differs a little.
PACKED_SIZES: Final = frozenset({"input_bytes", "result_bytes"})
# 32 hexadecimal digits under these keys are computed from the reading, not drawn.
COMPUTED: Final = frozenset({"fingerprint"})

HOUR: Final = ":<hour>"

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
_HTTP_DATE: Final = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
# Redis writes a number of many digits with an exponent.
_EPOCH: Final = re.compile(r"\d{10}(?:\.\d+)?|\d\.\d+e\+0?9")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_PORT: Final = re.compile(r"(127\.0\.0\.1|localhost):[1-9]\d{3,4}\b")
_PID: Final = re.compile(r"(@<host>|<host>):\d+")
_HOUR: Final = re.compile(r"(?<=[0-9a-f]{12}):\d{6}$")
_ROWS_PER_S: Final = re.compile(r"[\d,.]+ rows/s")
_LENGTH: Final = re.compile(r"<\d+ characters>")


class Normaliser:
    """Replaces the changing parts of decoded values.

    Args:
        literals: texts of this run (folders, names) and the words that replace them, longest first.
    """

    def __init__(self, literals: dict[str, str]) -> None:
        self._from = time.time() - BACK_S
        self._to = time.time() + AHEAD_S
        known = {**literals, socket.gethostname(): "<host>"}
        self._literals = sorted(known.items(), key=lambda pair: -len(pair[0]))

    def value(self, value: Any, key: str = "") -> Any:
        """The same value with its changing parts replaced; `key` is the name under which it stands."""
        if isinstance(value, dict):
            return self._members(value)
        if isinstance(value, list | tuple):
            return [self.value(each, key) for each in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            return self._number(value, key)
        return self.text(str(value), key)

    def text(self, text: str, key: str = "") -> str:
        """The same text with times, ids, addresses and folders replaced."""
        for literal, word in self._literals:
            text = text.replace(literal, word)
        if _EPOCH.fullmatch(text) and self._is_present(float(text)):
            return "<epoch>"
        if key in RATES:
            return "<rate>"
        if key in PACKED_SIZES:
            return "<packed size>"
        # A committed version was trained at a time that lies further back each day.
        text = _TIME.sub("<time>" if key == "trained_at" else self._time, text)
        text = _HTTP_DATE.sub("<date>", text)
        text = _UUID.sub("<uuid>", text)
        if key not in COMPUTED:
            text = _HEX_ID.sub("<id>", text)
        text = _PORT.sub(r"\1:<port>", text)
        text = _PID.sub(r"\1:<pid>", text)
        text = _HOUR.sub(HOUR, text)
        text = _ROWS_PER_S.sub("<rate> rows/s", text)
        return _LENGTH.sub("<n characters>", text)

    def _members(self, members: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in members.items():
            plain = "<slot>" if self._is_present_slot(str(name)) else self.text(str(name))
            replaced = self.value(value, str(name))
            if plain.endswith(HOUR) and found.get(plain) == replaced:
                continue  # the recording went on after a full hour
            while plain in found:  # two names that differ only in what is replaced
                plain += "'"
            found[plain] = replaced
        return found

    def _is_present_slot(self, name: str) -> bool:
        """Whether a name is the number of a 12-hour slot since 1970 around now."""
        return name.isdecimal() and self._is_present(int(name) * SLOT_S)

    def _number(self, value: float, key: str) -> float | str:
        if key == "lag":  # of a consumer that may just have fetched a record
            return "<lag>"
        if key in RATES:
            return "<rate>"
        if key in ("pid", "port"):
            return f"<{key}>"
        return "<epoch>" if self._is_present(value) else value

    def _time(self, match: re.Match[str]) -> str:
        try:
            moment = datetime.fromisoformat(match[0])
        except ValueError:
            return match[0]
        return "<time>" if self._is_present(moment.timestamp()) else match[0]

    def _is_present(self, epoch_s: float) -> bool:
        return self._from <= epoch_s <= self._to
