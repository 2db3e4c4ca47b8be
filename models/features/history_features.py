"""Features from the recent history of a reading: selection of entries, and their aggregates.

Part of `models/features/frame.py`, which defines the history. Imports only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features.aggregates import Codes, Counts, Sums, finite, newest, span_days
from models.features.columns import STATUS_INDEX, Bools, Columns, Floats, Ints
from models.features.error_codes import FAMILIES

Frame = npt.NDArray[np.float32]
SLOT_S: Final = 12 * 3600.0
MAX_AGE_S: Final = 30 * 86_400.0
MAX_ENTRIES: Final = 60  # at most 255: models/features/aggregates.py counts in bytes
DAY_S: Final = 86_400.0
WEEK_DAYS: Final = 7.0
HALF_WEEK_DAYS: Final = 3.0
NEAR_ZERO_KWH: Final = 0.5  # 2.7-10 % of the sessions in the Perth & Kinross data are below 0.5 kWh
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

# A temperature sensor is stuck if so many entries of a week, so many of them while charging, all have the
# value of the reading itself. A week has 14 entries.
STUCK_ENTRIES: Final = 12
STUCK_CHARGING: Final = 2


@dataclass(frozen=True, slots=True)
class HistoryIndex:
    """The history of each row. `kept` are the entries that a server would store, oldest first.

    The history of row r is `kept[first[r]:end[r]]`, before the limits of age and number. `reports` [rows]:
    the row reports error codes at all. `coded` [rows]: it has some.
    """

    kept: Ints
    first: Ints
    end: Ints
    reports: Bools
    coded: Bools

    @classmethod
    def of(cls, columns: Columns) -> HistoryIndex:
        """Build the index of `columns`, which are sorted by charger and time."""
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
        # Readings with equal times are not history for each other.
        moment_start = np.maximum.accumulate(np.where(new_moment, index, 0))
        charger_start = np.maximum.accumulate(np.where(new_charger, index, 0))
        return cls(
            np.flatnonzero(keep),
            before[charger_start],
            before[moment_start],
            reports=~np.isnan(columns.codes[:, 0]),
            coded=np.asarray((columns.codes[:, : len(FAMILIES)] > 0).any(axis=1)),
        )


def fill(out: Frame, columns: Columns, rows: Ints, past: HistoryIndex, limit: Ints | None) -> Bools:
    """Write the columns of `NAMES` and of the named codes into `out` [len(rows), …]; NaN without history.

    `limit` [len(rows)] bounds the number of entries. Returns which temperatures come from a stuck sensor
    [len(rows)].
    """
    first, end = past.first[rows], past.end[rows]
    longest = np.minimum(end - first, MAX_ENTRIES if limit is None else np.minimum(limit, MAX_ENTRIES))
    width = int(longest.max(initial=0))
    if not width:
        return np.zeros(len(rows), np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):  # rows with few entries divide by zero; NaN is meant
        return _fill(out, columns, rows, past, end, longest, np.arange(width, dtype=np.int64)[:, None])


def _fill(
    out: Frame, columns: Columns, rows: Ints, past: HistoryIndex, end: Ints, longest: Ints, back: Ints
) -> Bools:
    # [entry, row], newest entry first. Sums along the first axis then have the same order for any number of
    # rows.
    at = past.kept.take(np.maximum(end - 1 - back, 0))
    age_days = (columns.time_s.take(rows) - columns.time_s.take(at)) / DAY_S
    valid = (back < longest) & (age_days <= MAX_AGE_S / DAY_S)
    week = valid & (age_days <= WEEK_DAYS)
    half_week = valid & (age_days <= HALF_WEEK_DAYS)

    counts, sums = Counts(), Sums()
    status = columns.status.take(at)
    stated = valid & (status >= 0)
    charging = stated & (status == STATUS_INDEX["CHARGING"])
    faulty = stated & (status == STATUS_INDEX["FAULTY"])
    offline = stated & (status == STATUS_INDEX["OFFLINE"])
    counts.add("stated", stated)
    counts.add("charging", charging)
    counts.add("faulty", faulty)
    counts.add("offline", offline)
    counts.add("unavailable", stated & (status == STATUS_INDEX["UNAVAILABLE"]))

    temperature = columns.temperature_c.take(at)
    warm = valid & ~np.isnan(temperature)
    warm_charging = warm & charging
    now_temperature = columns.temperature_c.take(rows)
    counts.add("t", warm)
    counts.add("t_charging", warm_charging)
    counts.add("t_same", warm & (temperature == now_temperature))
    sums.add("t", warm, temperature, week)
    sums.add("tt", warm, temperature * temperature)
    sums.add("t_charging", warm_charging, temperature, week)
    sums.add("xt", warm, age_days * temperature)
    sums.add("x", warm, age_days)
    sums.add("xx", warm, age_days * age_days)

    power = columns.power_kw.take(at)
    powered = charging & ~np.isnan(power)
    counts.add("p", powered)
    sums.add("p", powered, power, week)

    energy = columns.energy_kwh.take(at)
    counted = valid & ~np.isnan(energy)
    counts.add("e", counted)
    counts.add("zero", counted & (energy < NEAR_ZERO_KWH))
    sums.add("e", counted, energy, week)

    uptime = columns.uptime_h.take(at)
    newer_uptime = np.concatenate((columns.uptime_h.take(rows)[None, :], uptime[:-1]))
    both = valid & ~np.isnan(uptime) & ~np.isnan(newer_uptime)
    counts.add("boots", both & (newer_uptime < uptime))

    reports = valid & past.reports.take(at)
    coded = valid & past.coded.take(at)
    codes = Codes.of(columns, at, coded, week)
    counts.add("reports", reports)
    counts.add("reports_3d", reports & half_week)
    counts.add("coded", coded)
    counts.add("hardware", codes.hardware)
    counts.add("hardware_3d", codes.hardware & half_week)

    number, of = counts.total(week)
    total = sums.total()

    t_mean = total["t"] / of["t"]
    t_charging_7d = total["t_charging_7d"] / of["t_charging_7d"]
    p_mean, p_mean_7d = total["p"] / of["p"], total["p_7d"] / of["p_7d"]
    e_mean, e_mean_7d = total["e"] / of["e"], total["e_7d"] / of["e_7d"]
    t_spread = number["t"] * total["xx"] - total["x"] * total["x"]
    t_variance = total["tt"] / of["t"] - t_mean * t_mean
    counter = columns.sessions.take(at)
    sessions = columns.sessions.take(rows)
    sessions_7d, sessions_30d = _per_day(sessions, counter, age_days, week, valid)
    faulty_days, coded_days, hardware_days, idle_days = newest(
        age_days, faulty, coded, codes.hardware, valid & (counter < sessions)
    )
    known_days, both_days, both_days_7d = span_days(age_days, valid, both, both & week)
    values = [
        known_days,
        faulty_days,
        coded_days,
        number["offline_7d"] / of["stated_7d"],
        number["offline"] / of["stated"],
        number["faulty_7d"] / of["stated_7d"],
        number["faulty"] / of["stated"],
        number["unavailable"] / of["stated"],
        number["charging_7d"] / of["stated_7d"],
        number["charging"] / of["stated"],
        total["t_7d"] / of["t_7d"],
        finite(np.where(warm & week, temperature, -np.inf).max(axis=0)),
        t_mean,
        np.sqrt(np.maximum(t_variance, 0.0)),
        now_temperature - t_mean,
        # slope of least squares over at least 4 entries; age decreases with time, hence the sign
        np.where(
            number["t"] >= 4,
            -_ratio(
                number["t"] * total["xt"] - total["x"] * total["t"], np.where(t_spread > 1e-6, t_spread, 0)
            ),
            np.nan,
        ),
        t_charging_7d,
        t_charging_7d - total["t_charging"] / of["t_charging"],
        p_mean_7d,
        _ratio(p_mean_7d, p_mean),
        _ratio(
            np.where(
                columns.status.take(rows) == STATUS_INDEX["CHARGING"], columns.power_kw.take(rows), np.nan
            ),
            p_mean,
        ),
        e_mean_7d,
        _ratio(e_mean_7d, e_mean),
        number["zero_7d"] / of["e_7d"],
        number["zero"] / of["e"],
        sessions_7d,
        sessions_30d,
        idle_days,
        idle_days * sessions_30d,
        _ratio(number["boots_7d"], both_days_7d),
        _ratio(number["boots"], both_days),
        number["coded_7d"] / of["reports_7d"],
        number["coded"] / of["reports"],
        number["hardware_3d"] / of["reports_3d"],
        number["hardware_7d"] / of["reports_7d"],
        number["hardware"] / of["reports"],
        hardware_days,
        *(codes.families_7d / of["reports_7d"]),
        *(codes.families / of["reports"]),
        *(codes.named / of["reports"]),
    ]
    out[:] = np.where(valid.any(axis=0), np.concatenate(values).reshape(len(values), -1), np.nan).T
    # A charger warms up while it charges.
    stuck: Bools = (
        (number["t_same_7d"] == number["t_7d"])
        & (number["t_7d"] >= STUCK_ENTRIES)
        & (number["t_charging_7d"] >= STUCK_CHARGING)
    )
    return stuck


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, elementwise; NaN where `whole` is 0."""
    return np.where(whole != 0, part / whole, np.nan)


def _per_day(now: Floats, then: Floats, age_days: Floats, *masks: Bools) -> Floats:
    """Daily growth [masks, row] of a counter since the oldest masked entry with it; NaN after a reset."""
    known = np.array(masks) & ~np.isnan(then)
    oldest = np.where(known, age_days, -np.inf).argmax(axis=1)
    column = np.arange(then.shape[1])
    growth = now - then[oldest, column]
    return not_negative(_ratio(np.where(known.any(axis=1), growth, np.nan), age_days[oldest, column]))


def not_negative(values: Floats) -> Floats:
    """`values` with negative numbers as NaN, elementwise."""
    kept: Floats = np.where(values >= 0, values, np.nan)
    return kept
