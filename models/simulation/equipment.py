"""Sites, vendors, models and firmware of a simulated fleet. Offline only.

All names are invented. The columns are those of `POST /api/v1/chargers`. Nothing here changes a reading: the
random numbers are drawn apart from those of the world.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from models.simulation.world import START_S, World

CHARGERS_PER_SITE: Final = 12  # [A] of the public car parks named below
SITES: Final = (
    "Harbour Car Park",
    "Station Square",
    "Mill Lane Retail Park",
    "North Ring Services",
    "Airport Long Stay",
    "Hospital Visitors",
    "University West",
    "Old Brewery Yard",
    "City Library",
    "Lakeside Leisure Centre",
    "Market Hall",
    "Stadium South",
    "Riverside Offices",
    "Town Hall",
    "Garden Centre",
    "Coach Terminal",
    "Quarry Road Depot",
    "Beach Front",
    "Ferry Quay",
    "Hilltop Logistics Park",
)
# Vendor, name of the series for AC and for DC, and versions of firmware from old to new.
VENDORS: Final = (
    ("Brindlevolt", "Post", "Tower", ("2.4.1", "2.5.0", "2.6.3")),
    ("Tessarvik", "A", "D", ("1.18", "1.21")),
    ("Plimmerand", "Street", "Rapid", ("7.0.2", "7.1.0", "8.0.0")),
    ("Fennelstrom", "Wall", "Ultra", ("2025.1", "2025.3")),
)
VENDOR_SHARES: Final = (0.4, 0.3, 0.2, 0.1)
CHADEMO_KW: Final = 50.0  # only the oldest level of DC chargers has this connector too


def equipment(world: World, ids: list[str], seed: int, *, end_day: float) -> pd.DataFrame:
    """The attributes of each charger, a row each. Equal arguments give equal tables.

    `installed_at` agrees with the charger's age at the end of the simulation, `end_day` days after its start.
    """
    rng = np.random.default_rng([seed, 1])
    n = world.n
    sites = max(1, round(n / CHARGERS_PER_SITE))
    # Some sites are several times as large as others.
    site = np.sort(rng.choice(sites, n, p=rng.dirichlet(np.full(sites, 4.0))))
    vendor = rng.choice(len(VENDORS), n, p=VENDOR_SHARES)
    newest = rng.random(n)
    end = datetime.fromtimestamp(START_S, UTC) + timedelta(days=end_day)
    rows = []
    bays: dict[int, int] = {}
    for index in range(n):
        name, ac, dc, firmware = VENDORS[vendor[index]]
        level_kw, is_dc, where = float(world.level_kw[index]), bool(world.dc[index]), int(site[index])
        bays[where] = bays.get(where, 0) + 1
        connectors = ["CCS2", *(["CHAdeMO"] if level_kw == CHADEMO_KW else [])] if is_dc else ["Type 2"]
        rows.append(
            {
                "charger_id": ids[index],
                "site_id": _site(where),
                "vendor": name,
                "model": f"{dc if is_dc else ac} {level_kw:g}",
                "firmware": firmware[int(newest[index] * len(firmware))],
                "connector_types": ";".join(connectors),
                "rated_power_kw": level_kw,
                "installed_at": f"{end - timedelta(days=float(world.age_days[index])):%Y-%m-%d}",
                "name": f"{_site(where)}, bay {bays[where]}",
            }
        )
    return pd.DataFrame(rows)


def _site(number: int) -> str:
    again, which = divmod(number, len(SITES))
    return f"{SITES[which]} {again + 1}" if again else SITES[which]
