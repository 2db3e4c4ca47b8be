"""Labels and units of features, for reasons that a technician can read."""

from __future__ import annotations

from typing import Final

from models.features.error_codes import FAMILIES

_FAMILY_LABELS: Final = {
    "ground": "ground-fault codes",
    "current": "over-current codes",
    "thermal": "over-temperature codes",
    "voltage": "voltage codes",
    "connector": "connector and lock codes",
    "power_switch": "contactor and power-module codes",
    "payment": "reader, meter and screen codes",
    "communication": "communication codes",
    "internal": "controller codes",
    "other": "other codes",
}

# feature -> (label, unit)
_LABELS: Final[dict[str, tuple[str, str]]] = {
    "energy_kwh": ("energy of the session", "kWh"),
    "power_kw": ("charging power", "kW"),
    "temperature_c": ("temperature", "°C"),
    "uptime_h": ("time since the last start", "h"),
    "sessions": ("sessions since installation", ""),
    "days_since_maintenance": ("time since maintenance", "days"),
    "codes": ("error codes now", ""),
    "history_days": ("known history", "days"),
    "days_since_faulty": ("time since the last fault", "days"),
    "days_since_code": ("time since the last error code", "days"),
    "offline_share_7d": ("time out of reach, last 7 days", "%"),
    "offline_share_30d": ("time out of reach, last 30 days", "%"),
    "faulty_share_7d": ("time faulty, last 7 days", "%"),
    "faulty_share_30d": ("time faulty, last 30 days", "%"),
    "unavailable_share_30d": ("time unavailable, last 30 days", "%"),
    "charging_share_7d": ("time charging, last 7 days", "%"),
    "charging_share_30d": ("time charging, last 30 days", "%"),
    "temperature_mean_7d": ("mean temperature, last 7 days", "°C"),
    "temperature_max_7d": ("highest temperature, last 7 days", "°C"),
    "temperature_mean_30d": ("mean temperature, last 30 days", "°C"),
    "temperature_std_30d": ("spread of temperature, last 30 days", "K"),
    "temperature_above_usual": ("temperature above this charger's usual", "K"),
    "temperature_trend_per_day": ("temperature trend, last 30 days", "K/day"),
    "temperature_charging_7d": ("temperature while charging, last 7 days", "°C"),
    "temperature_charging_change": ("rise of temperature while charging", "K"),
    "power_charging_7d": ("charging power, last 7 days", "kW"),
    "power_charging_ratio": ("charging power, last 7 against 30 days", "%"),
    "power_now_ratio": ("charging power now against this charger's usual", "%"),
    "energy_mean_7d": ("energy a session, last 7 days", "kWh"),
    "energy_mean_ratio": ("energy a session, last 7 against 30 days", "%"),
    "near_zero_share_7d": ("sessions with hardly any energy, last 7 days", "%"),
    "near_zero_share_30d": ("sessions with hardly any energy, last 30 days", "%"),
    "sessions_per_day_7d": ("sessions a day, last 7 days", ""),
    "sessions_per_day_30d": ("sessions a day, last 30 days", ""),
    "days_since_session": ("time since the last session", "days"),
    "sessions_missed": ("sessions missed since the last one", ""),
    "reboots_per_day_7d": ("restarts a day, last 7 days", ""),
    "reboots_per_day_30d": ("restarts a day, last 30 days", ""),
    "codes_share_7d": ("readings with error codes, last 7 days", "%"),
    "codes_share_30d": ("readings with error codes, last 30 days", "%"),
    "hardware_share_3d": ("readings with hardware codes, last 3 days", "%"),
    "hardware_share_7d": ("readings with hardware codes, last 7 days", "%"),
    "hardware_share_30d": ("readings with hardware codes, last 30 days", "%"),
    "days_since_hardware_code": ("time since the last hardware code", "days"),
    **{f"codes_{name}": (f"{_FAMILY_LABELS[name]} now", "") for name in FAMILIES},
    **{f"{name}_share_7d": (f"readings with {_FAMILY_LABELS[name]}, last 7 days", "%") for name in FAMILIES},
    **{
        f"{name}_share_30d": (f"readings with {_FAMILY_LABELS[name]}, last 30 days", "%") for name in FAMILIES
    },
}


# Words for a missing value. Other features have "not enough readings".
_UNKNOWN: Final[dict[str, str]] = {
    "energy_kwh": "no energy reported",
    "power_kw": "no charging power reported",
    "temperature_c": "no temperature reported",
    "uptime_h": "no uptime reported",
    "sessions": "no number of sessions reported",
    "days_since_maintenance": "no maintenance known",
    "history_days": "no earlier readings",
    "days_since_faulty": "no fault known",
    "days_since_code": "no error code known",
    "days_since_hardware_code": "no hardware code known",
    "days_since_session": "no session known",
    "codes": "no error codes reported",
    **{f"codes_{name}": "no error codes reported" for name in FAMILIES},
}


def label_and_unit(feature: str) -> tuple[str, str]:
    """A feature's label and its unit (% for a share)."""
    if feature in _LABELS:
        return _LABELS[feature]
    if feature.startswith("is_"):
        return f"status {feature[3:].replace('_', ' ')}", ""
    if feature.startswith("code_mean_30d:"):
        return f"code {feature.partition(':')[2]} a reading, last 30 days", ""
    return feature.replace(":", " "), ""


def unknown_text(feature: str) -> str:
    """Words for a feature without a value."""
    if feature in _UNKNOWN:
        return _UNKNOWN[feature]
    return f"{label_and_unit(feature)[0]}: not enough readings"


def texts_by_value(feature: str) -> dict[float, str]:
    """Words for values that need no number: of a status, and of a count of codes that is 0."""
    label = label_and_unit(feature)[0]
    if feature.startswith("is_"):
        return {0.0: f"status is not {label[7:]}", 1.0: f"status is {label[7:]}"}
    if feature == "codes" or (feature.startswith("codes_") and not feature.startswith("codes_share")):
        return {0.0: f"no {label}"}
    return {}
