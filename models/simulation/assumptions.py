"""Constants of the simulated fleet, each with its source or marked as an assumption.

[S] is sourced from the named public work. [D] is derived from real data (Stanford AC level 2, 427
charger-years; Perth & Kinross, 92 charge-point-years). [A] is an assumption. Most assumptions are fields of
`Assumptions`, so that the robustness evaluation can change them by ±50 %.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Final

COMPONENTS: Final = ("power_module", "connector", "contactor", "cooling", "payment", "controller", "ground")
# [A] Shares of hardware failures. No reliable public figure by component was found.
DC_MIX: Final = (0.22, 0.20, 0.10, 0.15, 0.18, 0.10, 0.05)
AC_MIX: Final = (0.00, 0.30, 0.20, 0.00, 0.10, 0.30, 0.10)

# Codes sent by a degraded component (OCPP 1.6 ChargePointErrorCode, and a vendor's own codes).
SYMPTOM_CODES: Final = (
    ("InternalError", "OverVoltage", "OverCurrentFailure", "UnderVoltage", "E-1101"),
    ("ConnectorLockFailure", "HighTemperature", "ConnectorLockFailure", "E-2203"),
    ("PowerSwitchFailure", "PowerSwitchFailure", "OverCurrentFailure"),
    ("HighTemperature", "HighTemperature", "E-3007"),
    ("ReaderFailure", "PowerMeterFailure", "OtherError"),
    ("InternalError", "ResetFailure", "WeakSignal", "E-4410"),
    ("GroundFailure", "GroundFailure", "GroundFailure"),
)
CAUSES: Final = (
    "power module worn out",
    "contact wear or broken lock",
    "welded or worn relay",
    "fan or filter clogged",
    "card reader, meter or screen",
    "controller or modem",
    "residual current device",
)
# Codes without a fault of the charger: vehicle, radio link, local authorization list.
NOISE_CODES: Final = (
    "EVCommunicationError",
    "WeakSignal",
    "EVCommunicationError",
    "LocalListConflict",
    "OtherError",
)
ALL_CODES: Final = (*(code for codes in SYMPTOM_CODES for code in codes), *NOISE_CODES)

DC_LEVELS_KW: Final = (50.0, 90.0, 150.0, 350.0)  # [S] usual levels of DC chargers
DC_LEVEL_SHARES: Final = (0.35, 0.20, 0.25, 0.20)
AC_LEVELS_KW: Final = (7.4, 11.0, 22.0)  # [S] usual levels of AC chargers
AC_LEVEL_SHARES: Final = (0.40, 0.25, 0.35)

# [S] ABB Terra 94-184 manual: share of nominal power at an ambient temperature in °C
DERATING_C: Final = (35.0, 40.0, 45.0, 50.0, 55.0)
DERATING_SHARE: Final = (1.00, 0.90, 0.85, 0.75, 0.65)
CONNECTOR_STOP_C: Final = 90.0  # [S] a DC connector above about 90 °C derates or stops (EVgo F009: 96 °C)

CHARGERS_PER_SITE: Final = 3.6  # [S] Bay Area: 657 EVSE at 181 sites; they share the travel cost of a service
OFFLINE_SHARE_MEDIAN: Final = 0.023  # [D] Stanford: unreachable, median charger 2.3 %, mean 5.5 %
OFFLINE_SHARE_SIGMA: Final = 1.3  # [D] gives that mean with that median
REBOOTS_PER_YEAR: Final = 26.0  # [D] Stanford: watchdog reboots
NUISANCE_GROUND_PER_YEAR: Final = 0.21  # [D] Stanford: GFCI trips
DOWN_DAYS_MEDIAN: Final = 10.0  # [D] Perth & Kinross: median repair time 10 days (quartiles 5-18)
DOWN_DAYS_SIGMA: Final = 0.95  # [D] from those quartiles
LOOKS_OPERATIONAL_SHARE: Final = 0.34  # [S] ChargerHelp 2025: > 1/3 of failures look operational
AC_SESSION_KWH: Final = (8.1, 0.75)  # [D] Perth 22 kW posts: median 8.1, mean 10.4; sigma of the lognormal
DC_SESSION_KWH: Final = (14.0, 0.70)  # between [D] Perth rapid (median 9.4) and [A] modern DC (25-40)
AC_NEAR_ZERO_SHARE: Final = 0.08  # [D] Perth: 6.5-10 % of sessions below 0.5 kWh
DC_NEAR_ZERO_SHARE: Final = 0.05  # [D] Perth: 2.7-7.6 %


@dataclass(frozen=True, slots=True)
class Assumptions:
    """[A] Values without a reliable source. Rates are per charger and year, temperature rises in kelvin."""

    dc_share: float = 0.4
    ac_failures_per_year: float = 0.8  # without any service; with it about 0.55 (plausible: 0.3-0.8)
    dc_failures_per_year: float = 2.4  # without any service; with it about 1.7 (plausible: 1-3)
    frailty_sigma: float = 0.8
    ageing_by_year_3: float = 0.75  # the hazard grows by this share until year 3 (plausible: 1.5-2 times)
    announced_share: float = 0.7  # failures that build up; the others are sudden
    build_up_days: float = 14.0  # median time from first symptom to failure
    build_up_sigma: float = 0.6
    passing_trouble: float = 0.6  # troubles that build up and pass, per failure that builds up
    code_probability: float = 0.5  # per reading, for a component about to fail
    misleading_share: float = 0.15  # codes that name another component
    code_missing_share: float = 0.4  # FAULTY readings without any code
    code_noise: float = 0.03  # meaningless codes per reading
    transient_fault_share: float = 0.008  # median share of readings FAULTY, cleared remotely within hours
    heat_idle_k: float = 8.0  # electronics at rest
    heat_load_k: float = 22.0  # rise at full load (plausible: 10-25 K)
    heat_cooling_k: float = 25.0  # further rise with a clogged filter (plausible: 0-25 K)
    heat_contact_k: float = 70.0  # further rise by contact wear before lock and overheat faults
    dc_sessions_per_day: float = 7.0  # plausible for modern chargers: 6-12; [D] Perth 3.5
    ac_sessions_per_day: float = 0.9  # [D] Perth 0.49-0.74; workplaces more
    sensor_dropout: float = 0.03
    without_temperature: float = 0.10  # chargers without that sensor
    without_codes: float = 0.10  # chargers that never report a code
    service_interval_days: float = 240.0
    service_finds: float = 0.8  # chance that planned work ends a trouble that builds up
    service_benefit: float = 0.6  # share of the hazard that planned work removes at first
    benefit_lasts_days: float = 365.0  # time over which that share returns


# Shares of a whole, which must stay below 1 when moved.
_SHARES: Final = (
    *("dc_share", "announced_share", "code_probability", "misleading_share", "code_missing_share"),
    *("code_noise", "transient_fault_share", "sensor_dropout", "without_temperature", "without_codes"),
    *("service_finds", "service_benefit"),
)
MOVED_BY: Final = 0.5


def moved(seed: int) -> Assumptions:
    """Another world: each assumption times 0.5 or 1.5, at random by `seed`. Shares are at most 0.95."""
    rng = random.Random(seed)
    changes = {}
    for field in fields(Assumptions):
        value = getattr(Assumptions(), field.name) * (1 + rng.choice((-MOVED_BY, MOVED_BY)))
        changes[field.name] = min(value, 0.95) if field.name in _SHARES else value
    return Assumptions(**changes)
