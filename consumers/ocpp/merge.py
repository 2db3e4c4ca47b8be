"""Create one reading of a charge point from the state of its parts. Pure.

A charger is a charge point with any number of connectors: backends request predictions for it, and
technicians visit it. It is FAULTY if any part is. Otherwise it has the status of its busiest connector, and
is UNAVAILABLE only as a whole. Power is the sum of all parts, energy that of the session that started last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from consumers.ocpp.charge_point import NEVER, ChargePoint, Part
from consumers.ocpp.messages import (
    BOOT,
    CHARGING,
    CODES,
    POWER,
    PROBLEM,
    REGISTER,
    START,
    STATUS,
    STOP,
    TEMPERATURE,
    WHOLE,
)
from readings.reading import BOUNDS, MAX_ERROR_CODES, rfc3339

# The status of a charge point is the first of these that any part has.
ORDER: Final = ("FAULTY", "CHARGING", "FULLY_CHARGED", "OCCUPIED", "AVAILABLE", "UNAVAILABLE", "OFFLINE")
# These statuses of the whole charge point apply to all connectors.
_OF_ALL: Final = ("FAULTY", "UNAVAILABLE", "OFFLINE")
# Older measurements are ignored.
FRESH_US: Final = round(timedelta(hours=1) / timedelta(microseconds=1))
HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class _Place:
    """A place for one vehicle: an EVSE of OCPP 2.0.1 with its connectors, or a connector of OCPP 1.6."""

    evse: Part
    connectors: tuple[Part, ...]

    @property
    def statuses(self) -> list[tuple[int, str]]:
        """The known statuses with their times in microseconds since 1970."""
        parts = (self.evse, *self.connectors)
        return [(part.at_us(STATUS), part.value(STATUS)) for part in parts if STATUS in part.reports]

    @property
    def reports(self) -> list[str]:
        """The statuses that count.

        A transaction's charging state counts until a connector reports a later status other than OCCUPIED.
        """
        charging = self.evse.value(CHARGING)
        otherwise_us = max((at_us for at_us, word in self.statuses if word != "OCCUPIED"), default=NEVER)
        running = charging is not None and self.evse.at_us(CHARGING) >= otherwise_us
        return [word for _, word in self.statuses] + ([charging] if running else [])

    def power_kw(self, as_of_us: int) -> float | None:
        """The power that was measured in the current session and state, kW; None if unknown."""
        part = self.evse
        at_us = part.at_us(POWER)
        since_us = part.at_us(START)
        if _busiest(self.reports) != "CHARGING":
            since_us = max([since_us, *(at for at, _ in self.statuses), part.at_us(CHARGING)])
        if part.at_us(STOP) > part.at_us(START):
            since_us = max(since_us, part.at_us(STOP))
        return part.value(POWER) if at_us >= max(since_us, as_of_us - FRESH_US) else None


def reading_of(
    charge_point: ChargePoint, *, charger_id: str, tenant: str | None, metadata: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A flat reading, without unknown fields. None while no status is known."""
    whole = charge_point.parts.get(WHOLE, Part())
    places = _measured_places(charge_point)
    status = _status(whole, places)
    if status is None:
        return None
    as_of_us = charge_point.as_of_us
    sessions = sum(part.sessions for part in charge_point.parts.values())
    said = {
        "charger_id": charger_id,
        "tenant_id": tenant,
        "connector_status": status,
        "timestamp": _moment(as_of_us),
        "energy_delivered": _bounded("energy_delivered", _energy_kwh(charge_point.parts.values()), 4),
        "power": _bounded("power", _power_kw(whole, places, as_of_us), 4),
        "temperature": _bounded("temperature", _temperature_c(charge_point), 2),
        "error_codes": _codes(whole, charge_point),
        "uptime_hours": _bounded("uptime_hours", _uptime_h(whole, as_of_us), 3),
        "total_sessions": sessions or None,
        "metadata": metadata,
    }
    return {name: value for name, value in said.items() if value is not None}


def _measured_places(charge_point: ChargePoint) -> list[_Place]:
    names = sorted({name.split(".")[0] for name in charge_point.parts} - {WHOLE})
    return [
        _Place(
            charge_point.parts.get(name, Part()),
            tuple(part for key, part in sorted(charge_point.parts.items()) if key.startswith(f"{name}.")),
        )
        for name in names
    ]


def _status(whole: Part, places: Iterable[_Place]) -> str | None:
    reports = [word for place in places for word in place.reports]
    of_all = whole.value(STATUS)
    if of_all in _OF_ALL:
        return "FAULTY" if "FAULTY" in reports else str(of_all)
    return _busiest(reports) or of_all


def _busiest(reports: list[str]) -> str | None:
    return min(reports, key=ORDER.index, default=None)


def _energy_kwh(parts: Iterable[Part]) -> float | None:
    """The energy of the session that started last: the register's advance, or the sum of its intervals."""
    part = max(parts, key=lambda part: part.at_us(START), default=Part())
    start_us, begin_kwh = part.at_us(START), part.value(START)
    if start_us == NEVER:
        return None
    end_kwh = part.value(STOP) if part.at_us(STOP) >= start_us else None
    if end_kwh is None and part.at_us(REGISTER) >= start_us:
        end_kwh = part.value(REGISTER)
    if part.intervals or part.spent_us > NEVER:
        intervals_kwh = part.spent_kwh + sum(kwh for _, kwh in part.intervals)
    else:
        intervals_kwh = None
    if begin_kwh is None or end_kwh is None:
        return intervals_kwh
    advance_kwh: float = end_kwh - begin_kwh
    if advance_kwh == 0 and intervals_kwh is not None:
        return intervals_kwh  # no register value since the start
    return advance_kwh if advance_kwh >= 0 else None  # negative: the meter was replaced


def _power_kw(whole: Part, places: Iterable[_Place], as_of_us: int) -> float | None:
    """The sum over all places, otherwise the value of the main meter."""
    known = [kw for place in places if (kw := place.power_kw(as_of_us)) is not None]
    if known:
        return sum(known)
    return whole.value(POWER) if whole.at_us(POWER) >= as_of_us - FRESH_US else None


def _temperature_c(charge_point: ChargePoint) -> float | None:
    """The temperature of the hottest part."""
    oldest_us = charge_point.as_of_us - FRESH_US
    fresh = [part for part in charge_point.parts.values() if part.at_us(TEMPERATURE) >= max(oldest_us, 0)]
    return max((part.value(TEMPERATURE) for part in fresh), default=None)


def _codes(whole: Part, charge_point: ChargePoint) -> list[str] | None:
    """The error codes of all parts, each once. None if the charge point has never reported about errors."""
    reported = [part.value(CODES) for _, part in sorted(charge_point.parts.items()) if CODES in part.reports]
    problems = [word.value for name, word in sorted(whole.reports.items()) if name.startswith(PROBLEM)]
    if not reported and not problems:
        return None
    found = [code for codes in reported for code in codes] + [code for code in problems if code is not None]
    return list(dict.fromkeys(found))[:MAX_ERROR_CODES]


def _uptime_h(whole: Part, as_of_us: int) -> float | None:
    boot_us = whole.at_us(BOOT)
    return None if boot_us == NEVER else (as_of_us - boot_us) / HOUR_US


def _bounded(name: str, value: float | None, digits: int) -> float | None:
    low, high = BOUNDS[name]
    return round(value, digits) if value is not None and low <= value <= high else None


def _moment(at_us: int) -> str:
    return rfc3339(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us))
