"""Error codes in families, so that OCPP, MREC and vendor codes mean the same to every model.

A code without a matching rule is `other`, never an error, because new makes of chargers send unknown codes.
Sources: OCPP 1.6 `ChargePointErrorCode` (16 values), and the ChargeX consortium's Minimum Required Error
Codes (inl.gov/chargex/mrec). Vendors write the latter as `CX004`, `MREC4OverCurrentFailure` or
`OverCurrentFailure`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

FAMILIES: Final = (
    "ground",  # residual or leakage current: a danger to people
    "current",  # over-current, short circuit
    "thermal",  # over-temperature, cooling
    "voltage",  # over- and under-voltage, lost supply
    "connector",  # lock, cable, plug, pilot and proximity lines
    "power_switch",  # contactors, relays, power modules
    "payment",  # card reader, meter, screen
    "communication",  # network, and communication with the vehicle: mostly not the charger's fault
    "internal",  # controller, firmware, failed resets
    "other",
)

# A remote reset restores power to a fault that may cause fire or shock, so these must not be reset.
UNSAFE_TO_RESET: Final = frozenset({"ground", "current", "thermal"})

# Codes that the rules below would misclassify. Keys contain lower-case letters and digits only.
_EXACT: Final = {
    "evcommunicationerror": "communication",
    "locallistconflict": "other",
    "othererror": "other",
    "emergencystop": "other",
    "tamperdetection": "other",
    "invalidvehiclemode": "communication",
    "evcontactorfault": "communication",  # the vehicle's contactor, not the charger's
    "capacitancefault": "power_switch",
    "resetfailure": "internal",
}

# MREC numbers 1 to 24, for vendors that send the bare number (`CX004`).
_MREC: Final = (
    *("connector", "ground", "thermal", "current", "voltage", "voltage", "communication", "other"),
    *("payment", "communication", "connector", "power_switch", "communication", "connector", "voltage"),
    *("communication", "power_switch", "thermal", "thermal", "connector", "power_switch", "voltage"),
    *("connector", "other"),
)

# The first matching rule applies: heat before cable ("CableOverTempStop"), ground before voltage.
_RULES: Final = tuple(
    (family, re.compile(pattern))
    for family, pattern in (
        ("thermal", r"temp|therm|overheat|cooling|coolant|fan(?!c)|filter"),
        ("ground", r"ground|gfci|rcd|leak|isolation|insulation|earth"),
        ("current", r"overcurrent|shortcircuit|overload|fuse|breaker"),
        ("voltage", r"voltage|powerloss|phase|mains|brownout|surge"),
        ("power_switch", r"contactor|powerswitch|relay|weld|precharge|rectifier|powermodule|inverter"),
        ("payment", r"reader|rfid|payment|authori[sz]|meter|display|screen|hmi|touch"),
        ("connector", r"lock|connector|cable|plug|pilot|proximity|insertion|socket|coupler"),
        ("communication", r"signal|comm|network|internet|offline|modem|heartbeat|timeout|sim(?!ul)"),
        ("internal", r"internal|reset|reboot|watchdog|firmware|controller|memory|software"),
    )
)


@lru_cache(maxsize=4096)
def family(code: str) -> int:
    """Index of a code's family in `FAMILIES`. The cache is bounded, so that random codes use no memory."""
    word = re.sub(r"[^a-z0-9]", "", code.lower())
    if word in _EXACT:
        return FAMILIES.index(_EXACT[word])
    number = re.fullmatch(r"(?:cx|mrec)0*(\d{1,2})", word)
    if number and 1 <= int(number[1]) <= len(_MREC):
        return FAMILIES.index(_MREC[int(number[1]) - 1])
    for name, pattern in _RULES:
        if pattern.search(word):
            return FAMILIES.index(name)
    return FAMILIES.index("other")
