"""Group a fleet in memory by site. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tasks.storage.fleet_columns import FleetColumns
from tasks.storage.fleet_query import NO_TEXT, Cursor, Numbers, behind, keys_of, sign_of
from tasks.storage.fleet_rows import ACTIONS

# `site_id` begins with the lowest, the others with the highest; a dash before the name turns the order round.
SITE_SORTS: Final = ("risk", "chargers", "cost_of_waiting", "site_id")
# The recommended actions that are visits.
VISITS: Final = tuple(action for action in ACTIONS if action != "NONE")


class Site(NamedTuple):
    """The chargers of a site. `site_id` is None for those without one.

    `due` counts the chargers by recommended visit. `cost_of_waiting` is the sum of the positive net savings
    of visits in one currency; None if no charger has any. `highest_risk` is None if no charger has a verdict.
    `other_currency` counts the chargers whose savings are in another one.
    """

    site_id: str | None
    chargers: int
    highest_risk: float | None
    due: dict[str, int]
    cost_of_waiting: float | None
    other_currency: int


def find_sites(
    columns: FleetColumns, *, since_ms: float, sort: str, limit: int, after: Cursor | int, currency: str
) -> tuple[list[Site], int, Cursor | None]:
    """A page of sites, the number of all sites, and the cursor of the next page.

    `after` is a cursor, or the number of sites to leave out. Counts chargers that were written since this
    time, and those with attributes alone. Sites that are equal in the order are sorted by id. `currency` is
    that of the sums. Savings of rows that name none are taken to be in it.
    """
    names = columns.vocabularies["site"]
    size = len(names.texts) + 1  # the last one is for chargers without a site
    rows = columns.rows(since_ms)
    sites = columns.codes("site")[rows] % size
    counts = np.bincount(sites, minlength=size)
    risks = np.full(size, np.nan)
    np.fmax.at(risks, sites, columns.numbers("risk")[rows])  # ignores NaN
    savings = columns.numbers("cost_of_waiting")[rows]
    currencies = columns.codes("currency")[rows]
    is_ours = np.isin(currencies, [NO_TEXT, *columns.vocabularies["currency"].codes([currency])])
    others = np.bincount(sites[np.isfinite(savings) & ~is_ours], minlength=size)
    known = np.isfinite(savings) & is_ours
    costs = np.bincount(sites[known], np.maximum(savings[known], 0), minlength=size)
    has_costs = np.bincount(sites[known], minlength=size) > 0
    ranks = np.append(names.ranks(np.arange(size - 1, dtype=np.int32)), np.inf)
    values: dict[str, Numbers] = {
        "risk": risks,
        "chargers": counts.astype(np.float64),
        "cost_of_waiting": np.where(has_costs, costs, np.nan),
        "site_id": ranks,
    }
    name = sort.removeprefix("-")
    keys = keys_of(sort, values[name])
    order = np.lexsort((ranks, keys))
    matching = order[counts[order] > 0]
    total = len(matching)
    if isinstance(after, Cursor):
        value = names.rank(after.value) if isinstance(after.value, str) else after.value
        key = np.inf if value is None else value * sign_of(sort)
        matching = behind(matching, keys, ranks, key=key, rank=names.rank(after.item_id))
    else:
        matching = matching[after:]
    positions = matching[:limit].tolist()
    actions, known_actions = columns.codes("action")[rows], columns.vocabularies["action"]
    due = {
        action: np.bincount(sites[np.isin(actions, known_actions.codes([action]))], minlength=size)
        for action in VISITS
    }
    found = [
        Site(
            names.texts[place] if place < size - 1 else None,
            int(counts[place]),
            None if np.isnan(risks[place]) else float(risks[place]),
            {action: int(number[place]) for action, number in due.items()},
            float(costs[place]) if has_costs[place] else None,
            int(others[place]),
        )
        for place in positions
    ]
    if len(matching) <= limit:
        return found, total, None
    last = found[-1]
    last_value: float | str | None = last.site_id
    if name != "site_id":
        number = float(values[name][positions[-1]])
        last_value = number if np.isfinite(number) else None
    return found, total, Cursor(sort, last_value, last.site_id)
