"""The state of a simulated fleet, and its change in steps of twelve hours. Offline only.

The whole fleet is updated at once, with one reading per charger at a random moment of each step. A component
is healthy, or has trouble that grows from 0 to 1 and then fails or passes. Trouble causes heat, weak power,
empty sessions, reboots and codes. These are mixed with unstable radio links, meaningless codes and missing
sensor values. Most constants are in `models/simulation/assumptions.py` with their sources.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from models.features.columns import STATUS_INDEX, Bools, Floats, Ints
from models.simulation import assumptions as facts
from models.simulation import error_codes_sent
from models.simulation.assumptions import Assumptions

STEP_DAYS: Final = 0.5
YEAR_DAYS: Final = 365.25
BURN_IN_STEPS: Final = 120  # 60 days unrecorded, so that the fleet starts with some troubles
START_S: Final = 1_735_689_600  # 2025-01-01T00:00:00Z
NO_CODES: Final = -1  # instead of a mask, for a charger that never reports codes
_N: Final = len(facts.COMPONENTS)
_CONNECTOR, _COOLING, _PAYMENT, _CONTROLLER = 1, 3, 4, 5
# share of a day's sessions by hour: quiet nights, a peak in the late afternoon
_HOURLY: Final = 1.0 + 0.8 * np.sin((np.arange(24) - 10) / 24 * 2 * np.pi)


class World:
    """The state of every charger. `step` advances it by 12 hours and records readings and events."""

    def __init__(self, n: int, rng: np.random.Generator, assumed: Assumptions) -> None:
        self.n, self.rng, self.a = n, rng, assumed
        a = assumed
        self.dc = rng.random(n) < a.dc_share
        self.level_kw = np.where(
            self.dc,
            rng.choice(facts.DC_LEVELS_KW, n, p=facts.DC_LEVEL_SHARES),
            rng.choice(facts.AC_LEVELS_KW, n, p=facts.AC_LEVEL_SHARES),
        )
        self.frailty = _lognormal_mean_1(rng, a.frailty_sigma, n)
        self.age_days = rng.uniform(0, 6, n) * YEAR_DAYS
        per_year = np.where(self.dc, a.dc_failures_per_year, a.ac_failures_per_year)
        mix = np.where(self.dc[:, None], facts.DC_MIX, facts.AC_MIX)
        self.rate = (per_year * self.frailty / YEAR_DAYS)[:, None] * mix
        self.sessions_per_day = np.where(
            self.dc, a.dc_sessions_per_day, a.ac_sessions_per_day
        ) * _lognormal_mean_1(rng, 0.5, n)
        self.offline_share = np.minimum(
            facts.OFFLINE_SHARE_MEDIAN * rng.lognormal(0, facts.OFFLINE_SHARE_SIGMA, n), 0.6
        )
        self.transient_share = np.minimum(
            a.transient_fault_share * np.sqrt(self.frailty) * rng.lognormal(0, 1.0, n), 0.3
        )
        self.has_temperature = rng.random(n) >= a.without_temperature
        self.has_codes = rng.random(n) >= a.without_codes
        self.climate_c = rng.normal(13, 6, n)
        self.season_k = rng.uniform(6, 12, n)
        self.heat_k = a.heat_load_k * rng.uniform(0.6, 1.4, n) * np.where(self.dc, 1.0, 0.6)
        self.weather_k = np.zeros(n)
        # trouble: 0 none, grows by `speed` a day; `passing` troubles vanish at 0.8
        self.trouble = np.zeros((n, _N))
        self.speed = np.zeros((n, _N))
        self.passing = np.zeros((n, _N), np.bool_)
        self.down_until = np.full(n, -np.inf)  # days since the start; -inf: in service
        self.down_status = np.zeros(n, np.int64)
        self.down_component = np.zeros(n, np.int64)
        begin = -BURN_IN_STEPS * STEP_DAYS
        # at most five years, which changes nothing and keeps dates in range without any service
        since = np.minimum(rng.uniform(0, a.service_interval_days, n), 5 * YEAR_DAYS)
        self.serviced_day = begin - since
        self.next_service_day = self.serviced_day + a.service_interval_days * rng.uniform(0.8, 1.3, n)
        self.uptime_h = rng.exponential(300, n)
        self.sessions = np.floor(self.sessions_per_day * self.age_days).astype(np.float64)
        self.energy_kwh = rng.uniform(3, 20, n)
        self.seen: list[dict[str, Floats | Ints | Bools]] = []
        self.failed: list[pd.DataFrame] = []
        self.serviced: list[pd.DataFrame] = []

    def step(self, step: int) -> None:
        """Advance 12 hours: repairs, planned visits, wear, failures, and one reading per charger."""
        day = step * STEP_DAYS
        moment = self.rng.random(self.n) * STEP_DAYS
        self._repair(day)
        self._wear(day)
        self._observe(day, moment)
        self.age_days += STEP_DAYS

    def burn_in(self) -> None:
        """Simulate 60 days without keeping their records."""
        for step in range(-BURN_IN_STEPS, 0):
            self.step(step)
        self.seen.clear()
        self.failed.clear()
        self.serviced.clear()

    def _note(self, notes: list[pd.DataFrame], who: Ints, day: Floats, **columns: object) -> None:
        if len(who):
            notes.append(pd.DataFrame({"charger": who, "day": day, **columns}))

    def _repair(self, day: float) -> None:
        """End failures whose repair is due, and do the planned visits that are due."""
        repaired = np.flatnonzero(np.isfinite(self.down_until) & (self.down_until <= day))
        self._note(
            self.serviced,
            repaired,
            self.down_until[repaired],
            component=self.down_component[repaired],
            kind="corrective",
        )
        self.serviced_day[repaired] = self.down_until[repaired]
        self.down_until[repaired] = -np.inf
        self.trouble[repaired, self.down_component[repaired]] = 0.0
        self.uptime_h[repaired] = 0.0

        due = np.flatnonzero((self.next_service_day <= day) & np.isinf(self.down_until))
        self.visit(due, day)

    def visit(self, who: Ints, day: float) -> None:
        """Do planned work: it ends most troubles that build up, and renews the benefit of service."""
        found = self.rng.random((len(who), _N)) < self.a.service_finds
        self.trouble[who] = np.where(found, 0.0, self.trouble[who])
        self.serviced_day[who] = day
        self.next_service_day[who] = day + self.a.service_interval_days * self.rng.uniform(0.8, 1.3, len(who))
        self._note(self.serviced, who, np.full(len(who), day), component=-1, kind="preventive")

    def _wear(self, day: float) -> None:
        """Start and grow troubles. Components with trouble of 1 fail, and some fail suddenly."""
        a, rng = self.a, self.rng
        up = np.isinf(self.down_until)
        ageing = 1 + a.ageing_by_year_3 * np.minimum(self.age_days / (3 * YEAR_DAYS), 1.5)
        since_service = np.clip((day - self.serviced_day) / a.benefit_lasts_days, 0, 1)
        factor = ageing * (1 - a.service_benefit * (1 - since_service))
        hazard = self.rate * (factor * STEP_DAYS)[:, None]

        starts_per_failure = a.announced_share * (1 + a.passing_trouble)
        starting = (rng.random((self.n, _N)) < hazard * starts_per_failure) & (self.trouble == 0)
        starting &= up[:, None]
        where = np.nonzero(starting)
        self.trouble[where] = 0.02
        self.speed[where] = rng.lognormal(-np.log(a.build_up_days), a.build_up_sigma, len(where[0]))
        self.passing[where] = rng.random(len(where[0])) < a.passing_trouble / (1 + a.passing_trouble)
        jitter = rng.uniform(0.3, 1.7, (self.n, _N))
        self.trouble = np.where(self.trouble > 0, self.trouble + self.speed * STEP_DAYS * jitter, 0.0)
        self.trouble[self.passing & (self.trouble > 0.8)] = 0.0

        sudden = rng.random((self.n, _N)) < hazard * (1 - a.announced_share)
        failing = ((self.trouble >= 1) | sudden) & up[:, None]
        who = np.flatnonzero(failing.any(axis=1))
        component = failing[who].argmax(axis=1)
        onset = day + rng.random(len(who)) * STEP_DAYS
        down_days = np.maximum(
            facts.DOWN_DAYS_MEDIAN * rng.lognormal(0, facts.DOWN_DAYS_SIGMA, len(who)), 1.1
        )
        self._note(self.failed, who, onset, component=component)
        self.down_until[who] = onset + down_days
        self.down_component[who] = component
        silent = rng.random(len(who)) < facts.LOOKS_OPERATIONAL_SHARE
        loud = np.where(
            rng.random(len(who)) < np.where(component == _CONTROLLER, 0.5, 0.1), "OFFLINE", "FAULTY"
        )
        words = np.where(silent, "AVAILABLE", loud)
        self.down_status[who] = [STATUS_INDEX[str(word)] for word in words]
        self._failed_now = np.full(self.n, np.inf)
        self._failed_now[who] = onset

    def _observe(self, day: float, moment: Floats) -> None:
        """Record one reading per charger at its own moment of the step."""
        a, rng, n = self.a, self.rng, self.n
        at = day + moment
        # A failure of this step is visible only in readings after its onset.
        began = np.where(np.isfinite(self._failed_now), self._failed_now, -np.inf)
        down = np.isfinite(self.down_until) & (at >= began) & (at < self.down_until)
        wear = np.minimum(self.trouble, 1.0)
        trouble = wear**1.5  # heat grows with wear, the other symptoms come later
        worst = trouble.max(axis=1)

        hour = (at % 1 * 24).astype(np.int64) % 24
        weak = 1 - 0.4 * np.maximum(trouble[:, _PAYMENT], trouble[:, _CONNECTOR])
        busy = self.sessions_per_day * _HOURLY[hour] * weak
        new_sessions = np.where(down, 0, rng.poisson(busy * STEP_DAYS))
        self.sessions += new_sessions
        hours_each = np.where(self.dc, 0.45, 2.4)
        charging = (rng.random(n) < np.minimum(busy * hours_each / 24, 0.9)) & ~down

        self.weather_k = 0.8 * self.weather_k + rng.normal(0, 1.8, n)
        season = -np.cos((at - 20) / YEAR_DAYS * 2 * np.pi)
        ambient = self.climate_c + self.season_k * season + 4 * np.sin((hour - 9) / 24 * 2 * np.pi)
        ambient = ambient + self.weather_k
        derated = np.interp(ambient + 8, facts.DERATING_C, facts.DERATING_SHARE)
        # a vehicle takes less when it is nearly full
        taper = np.where(self.dc, rng.beta(4, 2, n), rng.beta(6, 2, n))
        load = np.where(charging, taper * derated * (1 - 0.5 * trouble[:, 0]), 0.0)
        heat = self.heat_k * load**2 + a.heat_cooling_k * wear[:, _COOLING] * (0.3 + load)
        heat += a.heat_contact_k * wear[:, _CONNECTOR] * load + 8 * wear[:, 0] * load
        # Some heat remains from a session that ended within the last half hour.
        lately = ~charging & (rng.random(n) < np.minimum(busy / 48, 0.5))
        last_load = taper * derated
        left = np.where(lately, rng.uniform(0.2, 0.9, n), 0.0)
        heat += left * (self.heat_k * last_load**2 + a.heat_cooling_k * wear[:, _COOLING])
        heat += left * a.heat_contact_k * wear[:, _CONNECTOR] * last_load
        temperature = ambient + a.heat_idle_k + heat + rng.normal(0, 1.2, n)
        hot = temperature > facts.CONNECTOR_STOP_C
        load = np.where(hot, load * 0.4, load)

        lognormal = np.where(self.dc, *(facts.DC_SESSION_KWH[0], facts.AC_SESSION_KWH[0]))
        sigma = np.where(self.dc, facts.DC_SESSION_KWH[1], facts.AC_SESSION_KWH[1])
        near_zero = np.where(self.dc, facts.DC_NEAR_ZERO_SHARE, facts.AC_NEAR_ZERO_SHARE)
        near_zero = near_zero + 0.6 * trouble[:, (0, _CONNECTOR, _PAYMENT)].max(axis=1)
        energy = np.where(
            rng.random(n) < near_zero, rng.uniform(0, 0.5, n), lognormal * rng.lognormal(0, sigma, n)
        )
        self.energy_kwh = np.where(new_sessions > 0, energy, self.energy_kwh)

        boots = facts.REBOOTS_PER_YEAR / YEAR_DAYS * STEP_DAYS + 0.3 * trouble[:, _CONTROLLER]
        booted = rng.random(n) < boots
        self.uptime_h = np.where(booted, rng.uniform(0, 12, n), self.uptime_h + 12)

        full = (rng.random(n) < np.where(self.dc, 0.01, 0.06)) & ~charging
        occupied = (rng.random(n) < 0.04) & ~charging & ~full
        status = np.full(n, STATUS_INDEX["AVAILABLE"])
        status[charging] = STATUS_INDEX["CHARGING"]
        status[full] = STATUS_INDEX["FULLY_CHARGED"]
        status[occupied] = STATUS_INDEX["OCCUPIED"]
        status[rng.random(n) < 0.009] = STATUS_INDEX["UNAVAILABLE"]  # [D] Stanford 0.9 %
        transient = rng.random(n) < self.transient_share + 0.06 * worst
        status[transient] = STATUS_INDEX["FAULTY"]
        status[down] = self.down_status[down]
        offline = rng.random(n) < self.offline_share + 0.15 * trouble[:, _CONTROLLER]
        status[offline] = STATUS_INDEX["OFFLINE"]
        faulty = status == STATUS_INDEX["FAULTY"]
        codes = error_codes_sent.draw(
            rng,
            a,
            trouble=trouble,
            down=down & faulty,
            down_component=self.down_component,
            transient=transient & faulty,
            hot=hot,
            nuisance_share=facts.NUISANCE_GROUND_PER_YEAR / YEAR_DAYS * STEP_DAYS,
        )

        def gaps(values: Floats, missing: Bools) -> Floats:
            return np.where(missing | (rng.random(n) < a.sensor_dropout), np.nan, values)

        unplugged = np.isin(status, [STATUS_INDEX["CHARGING"]], invert=True)
        self.seen.append(
            {
                "at": at,
                "status": status,
                "energy": gaps(self.energy_kwh, offline),
                "power": gaps(np.where(unplugged, 0.0, load * self.level_kw), offline),
                "temperature": gaps(temperature, offline | ~self.has_temperature),
                "codes": np.where(self.has_codes, codes, NO_CODES),
                "uptime": gaps(self.uptime_h, offline),
                "sessions": gaps(self.sessions, offline),
                "serviced": self.serviced_day.copy(),
            }
        )

    def in_service(self) -> Bools:
        """Whether each charger is in service [n]."""
        up: Bools = np.isinf(self.down_until)
        return up

    def counts(self) -> tuple[Floats, Floats]:
        """Failures and planned visits of each charger so far, both [n]."""
        failed = [note["charger"].to_numpy() for note in self.failed]
        planned = [note.loc[note["kind"] == "preventive", "charger"].to_numpy() for note in self.serviced]

        def total(parts: list[Ints]) -> Floats:
            counted = np.bincount(np.concatenate([np.empty(0, np.int64), *parts]), minlength=self.n)
            return counted.astype(np.float64)

        return total(failed), total(planned)


def _lognormal_mean_1(rng: np.random.Generator, sigma: float, n: int) -> Floats:
    """Lognormal samples [n] with mean 1."""
    return rng.lognormal(-sigma * sigma / 2, sigma, n)
