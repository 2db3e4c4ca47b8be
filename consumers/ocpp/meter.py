"""Decode meter values into the contract's units. Pure.

In OCPP 1.6 (edition 2, chapter 7: MeterValue, SampledValue) values are strings. In OCPP 2.0.1 (part 2:
MeterValueType, SampledValueType) they are numbers, with a power of ten in `unitOfMeasure`. In both the
defaults are `Energy.Active.Import.Register`, Wh, at the outlet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from marshmallow import ValidationError

from consumers.ocpp.envelope import InvalidEvent
from readings.reading import BOUNDS
from readings.schema_fields import Moment

REGISTER: Final = "Energy.Active.Import.Register"
INTERVAL: Final = "Energy.Active.Import.Interval"
POWER: Final = "Power.Active.Import"
TEMPERATURE: Final = "Temperature"

# By measurand and lower-case unit: factor and offset to kWh, kW and degrees Celsius. The first unit is the
# default. OCPP 1.6's schema spells "Celcius".
_ENERGY: Final = {"wh": (1e-3, 0.0), "kwh": (1.0, 0.0)}
_UNITS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    REGISTER: _ENERGY,
    INTERVAL: _ENERGY,
    POWER: {"w": (1e-3, 0.0), "kw": (1.0, 0.0)},
    TEMPERATURE: {
        "celsius": (1.0, 0.0),
        "celcius": (1.0, 0.0),
        "fahrenheit": (5 / 9, -160 / 9),
        "k": (1.0, -273.15),
    },
}
# A main meter is never reset, hence its high limit.
_POSSIBLE: Final = {
    REGISTER: (0.0, 1e9),
    INTERVAL: BOUNDS["energy_delivered"],
    POWER: BOUNDS["power"],
    TEMPERATURE: BOUNDS["temperature"],
}
_PHASES: Final = {"L1": 1, "L2": 2, "L3": 3, "L1-N": 1, "L2-N": 2, "L3-N": 3}
_MOMENT: Final = Moment()


@dataclass(frozen=True, slots=True)
class Meter:
    """The newest value of each measurand in a message; `interval_kwh` is the sum of its intervals.

    `begin_kwh` and `end_kwh` are registers with the context of a transaction's begin or end.
    """

    register_kwh: float | None = None
    interval_kwh: float | None = None
    power_kw: float | None = None
    temperature_c: float | None = None
    begin_kwh: float | None = None
    end_kwh: float | None = None


class _Sample(NamedTuple):
    measurand: str
    value: float
    phase: int | None
    context: str


def read_meter(values: Any, pointer: str) -> Meter:
    """Decode the list of meter values at `pointer` of a message; None counts as empty.

    Ignores signed values, export, reactive energy and other measurands. Leaves out impossible values, which
    missing sensors produce. Raises `InvalidEvent`.
    """
    register = power = temperature = begin = end = None
    intervals: list[float] = []
    for samples in _in_order(values, pointer):
        found = _total(samples, REGISTER)
        if found is not None:
            register = found
        begin = _total((s for s in samples if s.context == "Transaction.Begin"), REGISTER, begin)
        end = _total((s for s in samples if s.context == "Transaction.End"), REGISTER, end)
        power = _total(samples, POWER, power)
        warmest = [sample.value for sample in samples if sample.measurand == TEMPERATURE]
        temperature = max(warmest, default=temperature)
        interval = _total(samples, INTERVAL)
        if interval is not None:
            intervals.append(interval)
    return Meter(
        register_kwh=register,
        interval_kwh=sum(intervals) if intervals else None,
        power_kw=power,
        temperature_c=temperature,
        begin_kwh=begin,
        end_kwh=end,
    )


def _in_order(values: Any, pointer: str) -> Iterator[list[_Sample]]:
    """The samples of each meter value, oldest first."""
    if values is None:
        return
    timed = []
    for index, value in enumerate(_list(values, pointer)):
        at = f"{pointer}/{index}"
        if not isinstance(value, Mapping):
            raise InvalidEvent(at, "Must be a JSON object.")
        try:
            taken_at = _MOMENT.deserialize(value.get("timestamp"))
        except ValidationError:
            raise InvalidEvent(f"{at}/timestamp", "Must be an ISO 8601 date and time.") from None
        timed.append((taken_at, index, value.get("sampledValue")))
    for _, index, sampled in sorted(timed, key=lambda each: each[:2]):
        at = f"{pointer}/{index}/sampledValue"
        read = [_sample(each, f"{at}/{n}") for n, each in enumerate(_list(sampled, at))]
        yield [sample for sample in read if sample is not None]


def _list(found: Any, pointer: str) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidEvent(pointer, "Must be a list.")
    return found


def _sample(sampled: Any, pointer: str) -> _Sample | None:
    """One value in the contract's unit; None for a value that readings do not contain."""
    if not isinstance(sampled, Mapping):
        raise InvalidEvent(pointer, "Must be a JSON object.")
    measurand = sampled.get("measurand", REGISTER)
    phase = sampled.get("phase")
    if not isinstance(measurand, str) or not isinstance(phase, str | None):
        raise InvalidEvent(pointer, "Must have a measurand and a phase that are strings, or none.")
    if (
        measurand not in _UNITS
        or sampled.get("format") == "SignedData"
        or (phase is not None and phase not in _PHASES)  # line to line, or neutral
        or not _is_here(measurand, sampled.get("location", "Outlet"))
    ):
        return None
    factor, offset = _unit(measurand, sampled, pointer)
    value = _number(sampled.get("value"), f"{pointer}/value") * factor + offset
    low, high = _POSSIBLE[measurand]
    if not low <= value <= high:
        return None
    return _Sample(measurand, value, _PHASES.get(phase) if phase else None, str(sampled.get("context", "")))


def _is_here(measurand: str, location: Any) -> bool:
    """Whether the location counts: the outlet or cable; for temperature all except the vehicle."""
    return location != "EV" if measurand == TEMPERATURE else location in ("Outlet", "Cable")


def _unit(measurand: str, sampled: Mapping[str, Any], pointer: str) -> tuple[float, float]:
    units = _UNITS[measurand]
    measure = sampled.get("unitOfMeasure")
    if measure is None:
        unit, power_of_ten = sampled.get("unit"), 0
    elif isinstance(measure, Mapping):
        unit, power_of_ten = measure.get("unit"), measure.get("multiplier", 0)
    else:
        raise InvalidEvent(f"{pointer}/unitOfMeasure", "Must be a JSON object.")
    known = next(iter(units.values())) if unit is None else units.get(str(unit).lower())
    if known is None:
        raise InvalidEvent(pointer, f"The unit must be one of {', '.join(units)}.")
    if not isinstance(power_of_ten, int) or not -12 <= power_of_ten <= 12:
        raise InvalidEvent(f"{pointer}/unitOfMeasure/multiplier", "Must be a power of ten, -12 to 12.")
    factor, offset = known
    return factor * 10.0**power_of_ten, offset


def _number(found: Any, pointer: str) -> float:
    if isinstance(found, str | int | float) and not isinstance(found, bool):
        try:
            value = float(found)
        except (ValueError, OverflowError):
            value = math.nan
        if math.isfinite(value):
            return value
    raise InvalidEvent(pointer, "Must be a number.")


def _total(samples: Iterable[_Sample], measurand: str, otherwise: float | None = None) -> float | None:
    """The value over all phases: the measured total, otherwise the sum of the phases."""
    total: float | None = None
    by_phase: dict[int, float] = {}
    for sample in samples:
        if sample.measurand != measurand:
            continue
        if sample.phase is None:
            total = sample.value
        else:
            by_phase[sample.phase] = sample.value
    if total is not None:
        return total
    return sum(by_phase.values()) if by_phase else otherwise
