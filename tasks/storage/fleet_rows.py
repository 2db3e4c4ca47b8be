"""Encode what the fleet store keeps: rows, past verdicts, readings. Pure.

Each form begins with its version. Later releases may append fields to a row, which older ones ignore. A form
with another version is skipped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from readings.reading import Reading, epoch_rfc3339, rfc3339

HISTORY_FIELDS: Final = (
    "reading_timestamp",
    "failure_probability",
    "horizons",
    "recommended_action",
    "in_failure",
    "confidence",
    "model_version",
)
ROW_VERSION: Final = 1
PAST_VERSION: Final = b"1"
MOST_METADATA_BYTES: Final = 1_024
# The place of an action is its code in stored verdicts: new ones are appended, none is removed.
ACTIONS: Final = ("IMMEDIATE", "WITHIN_7_DAYS", "WITHIN_30_DAYS", "NONE")
_CODES: Final = {action: code for code, action in enumerate(ACTIONS)}
# A past verdict is at most 64 bytes, the longest value of a compact hash. Models round probabilities to six
# decimals and confidence to four.
_VERDICT: Final = b"1%011x%05x%05x%05x%04x%x%b"
# Fields of a charger's hash of past verdicts for one slot: the newest verdict, then one for each state.
FIELDS_PER_SLOT: Final = 16


class FleetRow(NamedTuple):
    """The facts of one charger by which a fleet is listed, filtered and sorted.

    `at` is the reading time in epoch seconds, `p1`, `p7` and `p30` are probabilities by horizon in days.
    `cost_of_waiting` is None if the verdict has none. `currency` is that of the cost; None if it is not
    known, because the release before stored none.
    """

    at: float
    p1: float
    p7: float
    p30: float
    action: str
    in_failure: bool
    connector_status: str
    cost_of_waiting: float | None
    currency: str | None = None


def encode_row(verdict: Mapping[str, Any], reading: Reading, at: float) -> bytes:
    """A failure verdict and its reading, of the epoch second `at`, as a row: a short JSON array."""
    horizons = verdict["horizons"]
    return orjson.dumps(
        (
            ROW_VERSION,
            at,
            horizons["1d"],
            horizons["7d"],
            horizons["30d"],
            verdict["recommended_action"],
            verdict["in_failure"],
            reading.connector_status,
            verdict.get("cost_of_waiting"),
            verdict.get("currency"),
        )
    )


def decode_row(row: bytes) -> FleetRow | None:
    """The inverse of `encode_row`; None for a row of another version."""
    version, *values = orjson.loads(row)
    return FleetRow(*values[: len(FleetRow._fields)]) if version == ROW_VERSION else None


def encode_reading(reading: Reading, timestamp: str) -> bytes:
    """A reading as JSON, with the names and units of the contract, and its time as text.

    Missing values are left out, and metadata above 1 kB.
    """
    fields: dict[str, Any] = {
        "charger_id": reading.charger_id,
        "connector_status": reading.connector_status,
        "timestamp": timestamp,
    }
    if (value := reading.energy_delivered) is not None:
        fields["energy_delivered"] = value
    if (value := reading.power) is not None:
        fields["power"] = value
    if (value := reading.temperature) is not None:
        fields["temperature"] = value
    if reading.error_codes is not None:
        fields["error_codes"] = reading.error_codes
    if (value := reading.uptime_hours) is not None:
        fields["uptime_hours"] = value
    if reading.total_sessions is not None:
        fields["total_sessions"] = reading.total_sessions
    if reading.last_maintenance is not None:
        fields["last_maintenance"] = rfc3339(reading.last_maintenance)
    if reading.metadata and len(orjson.dumps(reading.metadata)) <= MOST_METADATA_BYTES:
        fields["metadata"] = reading.metadata
    return orjson.dumps(fields)


@lru_cache(maxsize=64)
def version_field(model_version: str) -> bytes:
    """The field that holds the name of a model version beside the past verdicts that it gave.

    Verdicts refer to it by its last four characters, since a name may be as long as a whole verdict.
    """
    digest = hashlib.blake2b(model_version.encode(), digest_size=3).digest()
    return b"v" + base64.urlsafe_b64encode(digest)


def encode_past(verdict: Mapping[str, Any], at_ms: int) -> bytes:
    """A verdict on the reading of `at_ms` (epoch milliseconds) as text of 36 bytes.

    Characters 2 to 12 are the time, which the script of the fleet store compares.
    """
    horizons = verdict["horizons"]
    return _VERDICT % (
        at_ms,
        round(horizons["1d"] * 1e6),
        round(horizons["7d"] * 1e6),
        round(horizons["30d"] * 1e6),
        round(verdict["confidence"] * 1e4),
        _CODES[verdict["recommended_action"]] * 2 + verdict["in_failure"],
        version_field(verdict["model_version"])[1:],
    )


def decode_past(past: bytes, versions: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The inverse of `encode_past`: `HISTORY_FIELDS`. `versions` are names by `version_field`."""
    at_ms, p1, p7, p30 = (int(past[start:end], 16) for start, end in ((1, 12), (12, 17), (17, 22), (22, 27)))
    code, in_failure = divmod(int(past[31:32], 16), 2)
    return {
        "reading_timestamp": epoch_rfc3339(at_ms / 1000),
        "failure_probability": p30 / 1e6,
        "horizons": {"1d": p1 / 1e6, "7d": p7 / 1e6, "30d": p30 / 1e6},
        "recommended_action": ACTIONS[code],
        "in_failure": bool(in_failure),
        "confidence": int(past[27:31], 16) / 1e4,
        "model_version": versions.get(b"v" + past[32:36], b"").decode(),
    }


def state_of(verdict: Mapping[str, Any], alert_threshold: float) -> int:
    """The state whose changes the history shows, 1 to 15: the action, and the alert threshold reached."""
    alarming = bool(verdict["failure_probability"] >= alert_threshold)
    return 1 + _CODES[verdict["recommended_action"]] * 2 + alarming


class ChargerHistory(NamedTuple):
    """A charger's hash of past verdicts. `verdicts` are sorted by time, oldest first, and not decoded yet.

    The state is 0 for the newest verdict of its slot.
    """

    verdicts: list[tuple[int, int, bytes]]  # reading time in epoch milliseconds, state, verdict
    versions: dict[bytes, bytes]

    @classmethod
    def of(cls, held: Mapping[bytes, bytes], *, after_ms: float) -> ChargerHistory:
        """Sort the fields of the hash. Verdicts of `after_ms` (epoch milliseconds) and older are left out."""
        versions: dict[bytes, bytes] = {}
        verdicts: list[tuple[int, int, bytes]] = []
        for field, value in held.items():
            if field.startswith(b"v"):
                versions[field] = value
            elif field.isdigit() and value.startswith(PAST_VERSION):
                at_ms = int(value[1:12], 16)
                if at_ms > after_ms:
                    verdicts.append((at_ms, int(field) % FIELDS_PER_SLOT, value))
        return cls(sorted(verdicts), versions)

    def shown(self, alert_threshold: float) -> list[dict[str, Any]]:
        """The newest verdict of each slot, and the first after each change of state. Newest first."""
        shown: list[dict[str, Any]] = []
        before = None
        for _, is_change, value in _one_of_each_time(self.verdicts):
            verdict = decode_past(value, self.versions)
            state = state_of(verdict, alert_threshold)
            if not is_change or state != before:
                shown.append(verdict)
            before = state
        shown.reverse()
        return shown


def _one_of_each_time(verdicts: Iterable[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """One verdict on each reading: that of the slot, if a reading is both the first and the newest."""
    found: dict[int, tuple[int, int, bytes]] = {}
    for each in verdicts:
        found.setdefault(each[0], each)
    return list(found.values())
