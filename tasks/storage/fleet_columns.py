"""The rows of a tenant's fleet as columns in memory: filter, sort and page them. Pure; not thread-safe.

A query of 100,000 chargers takes milliseconds. Texts of attributes are numbers into a vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from readings.attributes import Attributes
from tasks.storage.fleet_query import (
    FILTERS,
    NO_TEXT,
    Cursor,
    FleetQuery,
    Found,
    Numbers,
    Positions,
    Vocabulary,
    behind,
    keys_of,
    sign_of,
)
from tasks.storage.fleet_rows import FleetRow

_ATTRIBUTE_OF: Final = {"site": "site_id", "vendor": "vendor", "model": "model", "firmware": "firmware"}
# Columns of texts.
_TEXTS: Final = (*FILTERS, "currency")
_FIRST_CAPACITY: Final = 1_024
# The time of writing of a charger that has no verdict.
NEVER: Final = -np.inf


class FleetColumns:
    """The chargers of a tenant. A place is the number of a charger's row here."""

    def __init__(self) -> None:
        self.charger_ids: list[str] = []
        self._positions: dict[str, int] = {}
        self._search: list[str] = []  # id, name and site of each row, in lower case
        self.vocabularies: Final = {name: Vocabulary() for name in _TEXTS}
        self._codes = {name: np.empty(0, np.int32) for name in _TEXTS}
        # `written` is the time of the last verdict in ms, `NEVER` without one. `is_row` is false without a
        # verdict, and for a row that cannot be read. `is_stated` is true for chargers with attributes.
        self._numbers = {
            name: np.empty(0) for name in ("written", "risk", "reading_timestamp", "cost_of_waiting")
        }
        self._is_row = np.empty(0, np.bool_)
        self._is_stated = np.empty(0, np.bool_)
        # Derived from the columns when a query needs them.
        self._sorted_ids = np.empty(0, "S1")
        self._by_id: Positions = np.empty(0, np.int64)
        self._id_ranks: Numbers = np.empty(0)
        self._orders: dict[str, tuple[Positions, Numbers]] = {}

    def __len__(self) -> int:
        return len(self.charger_ids)

    def __contains__(self, charger_id: object) -> bool:
        return charger_id in self._positions

    def is_held(self, charger_id: str, written_ms: float) -> bool:
        """Whether the row of this charger and time of writing is here."""
        place = self._positions.get(charger_id)
        return place is not None and bool(self._numbers["written"][place] == written_ms)

    def count(self, since_ms: float) -> int:
        """The number of chargers that were written since this time."""
        return int(np.count_nonzero(self._numbers["written"][: len(self)] >= since_ms))

    def stated(self) -> int:
        """The number of chargers with attributes."""
        return int(np.count_nonzero(self._is_stated[: len(self)]))

    def waste(self) -> int:
        """The number of texts beyond the number of chargers, which grows as attributes change."""
        return sum(len(each.texts) for each in self.vocabularies.values()) - len(self)

    def put(
        self,
        charger_ids: Sequence[str],
        written_ms: Sequence[float],
        rows: Sequence[FleetRow | None],
        attributes: Sequence[Attributes | None],
    ) -> None:
        """Add chargers, or replace their rows. None for a row that cannot be read: it is in no response."""
        if not charger_ids:
            return
        positions = [self._place(charger_id) for charger_id in charger_ids]
        self._put_rows(positions, written_ms, rows)
        self._restate(positions, attributes)

    def restate(self, charger_ids: Sequence[str], attributes: Sequence[Attributes | None]) -> None:
        """Replace the attributes of chargers. One that is not known yet is added without a verdict."""
        stated = {
            charger_id: its
            for charger_id, its in zip(charger_ids, attributes, strict=True)
            if its or charger_id in self
        }
        new = [self._place(charger_id) for charger_id in stated if charger_id not in self]
        self._put_rows(new, [NEVER] * len(new), [None] * len(new))
        self._restate([self._positions[charger_id] for charger_id in stated], list(stated.values()))

    def _put_rows(
        self, positions: Sequence[int], written_ms: Sequence[float], rows: Sequence[FleetRow | None]
    ) -> None:
        read = [_NO_ROW if row is None else row for row in rows]
        self._numbers["written"][positions] = written_ms
        self._numbers["risk"][positions] = [row.p30 for row in read]
        self._numbers["reading_timestamp"][positions] = [row.at for row in read]
        self._numbers["cost_of_waiting"][positions] = [
            np.nan if row.cost_of_waiting is None else row.cost_of_waiting for row in read
        ]
        self._is_row[positions] = [row is not None for row in rows]
        status, action, currency = (self.vocabularies[name].code for name in ("status", "action", "currency"))
        self._codes["status"][positions] = [status(row.connector_status or None) for row in read]
        self._codes["action"][positions] = [action(row.action or None) for row in read]
        self._codes["currency"][positions] = [currency(row.currency) for row in read]
        self._orders.clear()

    def find(self, query: FleetQuery, *, since_ms: float) -> Found:
        """The page that a query asks for. A verdict that was written before `since_ms` is none."""
        is_match = self._matches(query, since_ms)  # first, as it may change the order
        order, keys = self._order(query.sort)
        matching = order[is_match[order]]
        total = len(matching)
        if isinstance(query.after, Cursor):
            key, rank = self._key_of(query.after), self._id_rank(query.after.item_id or "")
            matching = behind(matching, keys, self._id_ranks, key=key, rank=rank)
        else:
            matching = matching[query.after :]
        positions = matching[: query.limit].tolist()
        statuses, codes = self.vocabularies["status"].texts, self._codes["status"][positions].tolist()
        return Found(
            [self.charger_ids[place] for place in positions],
            [None if code == NO_TEXT else statuses[code] for code in codes],
            [None if np.isnan(at) else at for at in self._numbers["reading_timestamp"][positions].tolist()],
            total,
            self._costs(is_match),
            self._cursor(query.sort, positions[-1]) if len(matching) > query.limit else None,
        )

    def commonest(self, name: str, most: int, *, since_ms: float) -> list[str]:
        """At most so many texts of a column of `FILTERS` that chargers have now, the most frequent first."""
        counts = np.bincount(self._codes[name][self.rows(since_ms)] - NO_TEXT)[
            1:
        ]  # those without a text first
        order = np.argsort(-counts, kind="stable")[:most]
        texts = self.vocabularies[name].texts
        return [texts[code] for code in order.tolist() if counts[code]]

    def rows(self, since_ms: float) -> Positions:
        """The positions of the chargers with a verdict since this time, or with attributes alone."""
        return np.flatnonzero(self._listed(since_ms))

    def codes(self, name: str) -> NDArray[np.int32]:
        """A column of `FILTERS`, or `currency`: the number of each text in its vocabulary."""
        return self._codes[name][: len(self)]

    def numbers(self, name: str) -> Numbers:
        """A column of numbers, NaN without one: `risk`, `reading_timestamp` or `cost_of_waiting`."""
        return self._numbers[name][: len(self)]

    def _place(self, charger_id: str) -> int:
        place = self._positions.get(charger_id)
        if place is None:
            place = self._positions[charger_id] = len(self.charger_ids)
            self.charger_ids.append(charger_id)
            self._search.append("")
            if place >= len(self._is_row):
                self._grow()
        return place

    def _grow(self) -> None:
        more = max(_FIRST_CAPACITY, len(self._is_row))
        for name, codes in self._codes.items():
            self._codes[name] = np.concatenate([codes, np.full(more, NO_TEXT, np.int32)])
        for name, numbers in self._numbers.items():
            self._numbers[name] = np.concatenate([numbers, np.zeros(more)])
        self._is_row = np.concatenate([self._is_row, np.zeros(more, np.bool_)])
        self._is_stated = np.concatenate([self._is_stated, np.zeros(more, np.bool_)])

    def _restate(self, positions: Sequence[int], attributes: Sequence[Attributes | None]) -> None:
        self._orders.clear()
        stated: list[Mapping[str, Any]] = [each or {} for each in attributes]
        for name, attribute in _ATTRIBUTE_OF.items():
            code = self.vocabularies[name].code
            self._codes[name][positions] = [code(each.get(attribute)) for each in stated]
        self._is_stated[positions] = [bool(each) for each in stated]
        for place, each in zip(positions, stated, strict=True):
            searched = (self.charger_ids[place], each.get("name", ""), each.get("site_id", ""))
            self._search[place] = "\n".join(searched).casefold()

    def _listed(self, since_ms: float) -> NDArray[np.bool_]:
        """Whether each charger is in responses. Forgets the verdicts that were written before this time."""
        size = len(self)
        is_old = self._numbers["written"][:size] < since_ms
        old = np.flatnonzero(self._is_row[:size] & is_old).tolist()
        if old:
            self._put_rows(old, [NEVER] * len(old), [None] * len(old))
        return self._is_row[:size] | (self._is_stated[:size] & is_old)

    def _matches(self, query: FleetQuery, since_ms: float) -> NDArray[np.bool_]:
        size = len(self)
        found = self._listed(since_ms)
        if query.scored is not None:
            found &= self._is_row[:size] == query.scored
        if query.min_risk > 0:
            found &= self._numbers["risk"][:size] >= query.min_risk
        for name, texts in query.filters.items():
            if texts:
                codes = self.vocabularies[name].codes(texts)
                found &= np.isin(self._codes[name][:size], np.array(codes, np.int32))
        if query.text:
            text, search = query.text.casefold(), self._search
            positions = np.flatnonzero(found)
            is_part = "\n" not in text  # it separates the three
            found[positions] = [is_part and text in search[place] for place in positions.tolist()]
        return found

    def _costs(self, is_match: NDArray[np.bool_]) -> dict[str | None, float]:
        costs = self.numbers("cost_of_waiting")
        known = is_match & np.isfinite(costs)
        currencies = self.codes("currency")[known]
        sums = np.bincount(currencies - NO_TEXT, costs[known]).tolist()
        texts = [None, *self.vocabularies["currency"].texts]  # the first number is that of `NO_TEXT`
        return {texts[code]: sums[code] for code in (np.unique(currencies) - NO_TEXT).tolist()}

    def _order(self, sort: str) -> tuple[Positions, Numbers]:
        """The positions in this order, and the key of each place; a lower key is earlier."""
        self._rank_ids()
        found = self._orders.get(sort)
        if found is None:
            keys = self._keys(sort)
            found = self._orders[sort] = (np.lexsort((self._id_ranks, keys)), keys)
        return found

    def _keys(self, sort: str) -> Numbers:
        size, name = len(self), sort.removeprefix("-")
        if name == "charger_id":
            values = self._id_ranks
        elif name == "site":
            values = self.vocabularies[name].ranks(self._codes[name][:size])
        else:
            values = self._numbers[name][:size]
        return keys_of(sort, values)

    def _key_of(self, cursor: Cursor) -> float:
        if cursor.value is None:
            return np.inf
        if isinstance(cursor.value, str):
            is_site = cursor.sort.removeprefix("-") == "site"
            rank = self.vocabularies["site"].rank(cursor.value) if is_site else self._id_rank(cursor.value)
            return rank * sign_of(cursor.sort)
        return cursor.value * sign_of(cursor.sort)

    def _cursor(self, sort: str, place: int) -> Cursor:
        charger_id, name = self.charger_ids[place], sort.removeprefix("-")
        if name == "charger_id":
            return Cursor(sort, charger_id, charger_id)
        if name == "site":
            code = int(self._codes[name][place])
            return Cursor(sort, None if code == NO_TEXT else self.vocabularies[name].texts[code], charger_id)
        value = float(self._numbers[name][place])
        return Cursor(sort, value if np.isfinite(value) else None, charger_id)

    def _rank_ids(self) -> None:
        """Put new ids into the order of all. As numpy's bytes, which sort without the interpreter lock."""
        size = len(self._by_id)
        if size == len(self):
            return
        new = np.array(self.charger_ids[size:], np.bytes_)
        order = np.argsort(new, kind="stable")
        held = self._sorted_ids.astype(np.promote_types(self._sorted_ids.dtype, new.dtype), copy=False)
        at = np.searchsorted(held, new[order])
        self._sorted_ids = np.insert(held, at, new[order])
        self._by_id = np.insert(self._by_id, at, order + size)
        self._id_ranks = np.empty(len(self))
        self._id_ranks[self._by_id] = np.arange(len(self))
        self._orders.clear()

    def _id_rank(self, charger_id: str) -> float:
        place = self._positions.get(charger_id)
        if place is not None:
            return float(self._id_ranks[place])
        return float(np.searchsorted(self._sorted_ids, np.bytes_(charger_id.encode()))) - 0.5


_NO_ROW: Final = FleetRow(np.nan, np.nan, np.nan, np.nan, "", False, "", None)
