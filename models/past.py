"""The recent past of a reading as numbers: which entries count, and what they add up to.

Part of `models/features.py`, which says what the past is. Only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.codes import FAMILIES
from models.columns import STATUS_INDEX, Bools, Columns, Floats, Ints

Frame = npt.NDArray[np.float32]
SLOT_S: Final = 12 * 3600.0
MAX_AGE_S: Final = 30 * 86_400.0
MAX_ENTRIES: Final = 60
DAY_S: Final = 86_400.0
WEEK_DAYS: Final = 7.0
HALF_WEEK_DAYS: Final = 3.0
NEAR_ZERO_KWH: Final = 0.5  # FLEET_FACTS "Usage": sessions below 0.5 kWh count as near-zero
# Families that name a part of the charger itself, not the vehicle, the network or nothing in particular.
_HARDWARE: Final = [FAMILIES.index(name) for name in FAMILIES if name not in ("communication", "other")]

NAMES: Final = (
    "history_days",
    "days_since_faulty",
    "days_since_code",
    "offline_share_7d",
    "offline_share_30d",
    "faulty_share_7d",
    "faulty_share_30d",
    "unavailable_share_30d",
    "charging_share_7d",
    "charging_share_30d",
    "temperature_mean_7d",
    "temperature_max_7d",
    "temperature_mean_30d",
    "temperature_std_30d",
    "temperature_above_usual",
    "temperature_trend_per_day",
    "temperature_charging_7d",
    "temperature_charging_change",
    "power_charging_7d",
    "power_charging_ratio",
    "power_now_ratio",
    "energy_mean_7d",
    "energy_mean_ratio",
    "near_zero_share_7d",
    "near_zero_share_30d",
    "sessions_per_day_7d",
    "sessions_per_day_30d",
    "days_since_session",
    "sessions_missed",
    "reboots_per_day_7d",
    "reboots_per_day_30d",
    "codes_share_7d",
    "codes_share_30d",
    "hardware_share_3d",
    "hardware_share_7d",
    "hardware_share_30d",
    "days_since_hardware_code",
    *(f"{name}_share_7d" for name in FAMILIES),
    *(f"{name}_share_30d" for name in FAMILIES),
)


@dataclass(frozen=True, slots=True)
class Past:
    """Where each row's past lies: `kept` are the entries that a server would keep, oldest first.

    The past of row r is `kept[first[r]:end[r]]`, before the limits of age and number.
    """

    kept: Ints
    first: Ints
    end: Ints

    @classmethod
    def of(cls, columns: Columns) -> Past:
        n = len(columns)
        index = np.arange(n, dtype=np.int64)
        new_charger = np.ones(n, np.bool_)
        new_charger[1:] = columns.charger[1:] != columns.charger[:-1]
        new_moment = new_charger.copy()
        new_moment[1:] |= columns.time_s[1:] != columns.time_s[:-1]
        slot = np.floor(columns.time_s / SLOT_S)
        keep = new_charger.copy()
        keep[1:] |= slot[1:] != slot[:-1]
        before = np.concatenate(([0], np.cumsum(keep)))[:-1]
        # Readings of one moment do not see each other.
        moment_start = np.maximum.accumulate(np.where(new_moment, index, 0))
        charger_start = np.maximum.accumulate(np.where(new_charger, index, 0))
        return cls(np.flatnonzero(keep), before[charger_start], before[moment_start])


def fill(out: Frame, columns: Columns, rows: Ints, past: Past, limit: Ints | None) -> None:
    """Write the columns of `NAMES` and of the named codes into `out` [len(rows), …]; NaN without history."""
    first, end = past.first[rows], past.end[rows]
    longest = np.minimum(end - first, MAX_ENTRIES if limit is None else np.minimum(limit, MAX_ENTRIES))
    width = int(longest.max(initial=0))
    if not width:
        return
    # [entry, row], the newest entry first: sums along the first axis then add in the same order whatever
    # the number of rows is.
    back = np.arange(width, dtype=np.int64)[:, None]
    at = past.kept[np.maximum(end - 1 - back, 0)]
    age_days = (columns.time_s[rows] - columns.time_s[at]) / DAY_S
    valid = (back < longest) & (age_days <= MAX_AGE_S / DAY_S)
    week = valid & (age_days <= WEEK_DAYS)
    half_week = valid & (age_days <= HALF_WEEK_DAYS)

    sums = _Sums()
    status = columns.status[at]
    stated = valid & (status >= 0)
    stated_week = stated & week
    charging = stated & (status == STATUS_INDEX["CHARGING"])
    faulty = stated & (status == STATUS_INDEX["FAULTY"])
    offline = stated & (status == STATUS_INDEX["OFFLINE"])
    sums.add("stated", stated)
    sums.add("stated_7d", stated_week)
    for name, hit in (("charging", charging), ("faulty", faulty), ("offline", offline)):
        sums.add(name, hit)
        sums.add(f"{name}_7d", hit & week)
    sums.add("unavailable", stated & (status == STATUS_INDEX["UNAVAILABLE"]))

    temperature = columns.temperature_c[at]
    warm = valid & ~np.isnan(temperature)
    sums.add("t", warm, temperature)
    sums.add("tt", warm, temperature * temperature)
    sums.add("t_7d", warm & week, temperature)
    sums.add("t_charging", warm & charging, temperature)
    sums.add("t_charging_7d", warm & charging & week, temperature)
    sums.add("xt", warm, age_days * temperature)
    sums.add("x", warm, age_days)
    sums.add("xx", warm, age_days * age_days)

    power = columns.power_kw[at]
    powered = charging & ~np.isnan(power)
    sums.add("p", powered, power)
    sums.add("p_7d", powered & week, power)

    energy = columns.energy_kwh[at]
    counted = valid & ~np.isnan(energy)
    sums.add("e", counted, energy)
    sums.add("e_7d", counted & week, energy)
    sums.add("zero", counted & (energy < NEAR_ZERO_KWH))
    sums.add("zero_7d", counted & week & (energy < NEAR_ZERO_KWH))

    uptime = columns.uptime_h[at]
    newer_uptime = np.concatenate((columns.uptime_h[rows][None, :], uptime[:-1]))
    both = valid & ~np.isnan(uptime) & ~np.isnan(newer_uptime)
    sums.add("boots", both & (newer_uptime < uptime))
    sums.add("boots_7d", both & week & (newer_uptime < uptime))
    total = sums.total()

    codes = columns.codes[at]
    reported = valid & ~np.isnan(codes[:, :, 0])
    n_reported = np.count_nonzero(reported, axis=0).astype(np.float64)
    n_reported_3d = np.count_nonzero(reported & half_week, axis=0).astype(np.float64)
    n_reported_7d = np.count_nonzero(reported & week, axis=0).astype(np.float64)
    present = (codes[:, :, : len(FAMILIES)] > 0) & reported[:, :, None]
    any_code = present.any(axis=2)
    hardware = present[:, :, _HARDWARE].any(axis=2)
    named = np.where(reported[:, :, None], codes[:, :, len(FAMILIES) :], 0.0)

    def counted_share(hits: Bools, of: Floats) -> Floats:
        return _ratio(np.count_nonzero(hits, axis=0).astype(np.float64), of)

    now_temperature = columns.temperature_c[rows]
    t_mean = _ratio(total["t"], total["n:t"])
    p_mean = _ratio(total["p"], total["n:p"])
    e_mean = _ratio(total["e"], total["n:e"])
    t_spread = total["n:t"] * total["xx"] - total["x"] * total["x"]
    t_variance = _ratio(total["tt"], total["n:t"]) - t_mean * t_mean
    sessions_7d, sessions_30d = (
        _per_day(columns.sessions[rows], columns.sessions[at], age_days, mask) for mask in (week, valid)
    )
    counter = columns.sessions[at]
    idle_days = _newest(age_days, valid & (counter < columns.sessions[rows]))
    values = [
        np.where(longest > 0, np.where(valid, age_days, -np.inf).max(axis=0), np.nan),
        _newest(age_days, faulty),
        _newest(age_days, any_code),
        _ratio(total["offline_7d"], total["stated_7d"]),
        _ratio(total["offline"], total["stated"]),
        _ratio(total["faulty_7d"], total["stated_7d"]),
        _ratio(total["faulty"], total["stated"]),
        _ratio(total["unavailable"], total["stated"]),
        _ratio(total["charging_7d"], total["stated_7d"]),
        _ratio(total["charging"], total["stated"]),
        _ratio(total["t_7d"], total["n:t_7d"]),
        _finite(np.where(warm & week, temperature, -np.inf).max(axis=0)),
        t_mean,
        np.sqrt(np.maximum(t_variance, 0.0)),
        now_temperature - t_mean,
        # least squares over at least 4 entries; age runs backwards, hence the sign
        np.where(
            total["n:t"] >= 4,
            -_ratio(
                total["n:t"] * total["xt"] - total["x"] * total["t"], np.where(t_spread > 1e-6, t_spread, 0)
            ),
            np.nan,
        ),
        _ratio(total["t_charging_7d"], total["n:t_charging_7d"]),
        _ratio(total["t_charging_7d"], total["n:t_charging_7d"])
        - _ratio(total["t_charging"], total["n:t_charging"]),
        _ratio(total["p_7d"], total["n:p_7d"]),
        _ratio(_ratio(total["p_7d"], total["n:p_7d"]), p_mean),
        _ratio(
            np.where(columns.status[rows] == STATUS_INDEX["CHARGING"], columns.power_kw[rows], np.nan), p_mean
        ),
        _ratio(total["e_7d"], total["n:e_7d"]),
        _ratio(_ratio(total["e_7d"], total["n:e_7d"]), e_mean),
        _ratio(total["zero_7d"], total["n:e_7d"]),
        _ratio(total["zero"], total["n:e"]),
        sessions_7d,
        sessions_30d,
        idle_days,
        idle_days * sessions_30d,
        _ratio(total["boots_7d"], _span_days(age_days, both & week)),
        _ratio(total["boots"], _span_days(age_days, both)),
        counted_share(any_code & week, n_reported_7d),
        counted_share(any_code, n_reported),
        counted_share(hardware & half_week, n_reported_3d),
        counted_share(hardware & week, n_reported_7d),
        counted_share(hardware, n_reported),
        _newest(age_days, hardware),
        *(counted_share(present[:, :, k] & week, n_reported_7d) for k in range(len(FAMILIES))),
        *(counted_share(present[:, :, k], n_reported) for k in range(len(FAMILIES))),
        *(_ratio(_ordered_sum(named[:, :, k]), n_reported) for k in range(named.shape[2])),
    ]
    out[:] = np.where(valid.any(axis=0), np.stack(values), np.nan).T


class _Sums:
    """Gathers masked columns [entry, row] and adds them all up at once, oldest last.

    One stacked sum is quick for a single row, and its inner axis is never of length one: numpy would then
    add pairwise, and a lone row would differ from the same row among others in its last bit.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._terms: list[Floats] = []

    def add(self, name: str, mask: Bools, values: Floats | None = None) -> None:
        """`name` becomes the sum of `values` where `mask` (their number as `n:name`), or the mask's count."""
        if values is None:
            self._names.append(name)
            self._terms.append(mask.astype(np.float64))
        else:
            self._names.extend((name, f"n:{name}"))
            self._terms.extend((np.where(mask, values, 0.0), mask.astype(np.float64)))

    def total(self) -> dict[str, Floats]:
        return dict(zip(self._names, np.stack(self._terms, axis=1).sum(axis=0), strict=True))


def _ordered_sum(values: Floats) -> Floats:
    total: Floats = np.cumsum(values, axis=0)[-1]
    return total


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, part / whole, np.nan)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _newest(age_days: Floats, hit: Bools) -> Floats:
    """Age of the newest entry that is hit; NaN if none is."""
    return _finite(np.where(hit, age_days, np.inf).min(axis=0))


def _span_days(age_days: Floats, mask: Bools) -> Floats:
    """How far back the masked entries reach, in days; 0 if there are none."""
    span: Floats = np.where(mask, age_days, 0.0).max(axis=0)
    return span


def _per_day(now: Floats, then: Floats, age_days: Floats, mask: Bools) -> Floats:
    """Growth of a counter per day since the oldest masked entry that states it; NaN after a reset."""
    known = mask & ~np.isnan(then)
    oldest = np.where(known, age_days, -np.inf).argmax(axis=0)
    column = np.arange(then.shape[1])
    growth = now - then[oldest, column]
    return not_negative(_ratio(np.where(known.any(axis=0), growth, np.nan), age_days[oldest, column]))


def not_negative(values: Floats) -> Floats:
    kept: Floats = np.where(values >= 0, values, np.nan)
    return kept
