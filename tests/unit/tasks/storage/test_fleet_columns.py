"""The columns of a fleet against a list of chargers: any filters, orders and pages give the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.storage.fleet_columns import NEVER, FleetColumns
from tasks.storage.fleet_query import FILTERS, SORTS, Cursor, FleetQuery
from tasks.storage.fleet_rows import FleetRow
from tasks.storage.fleet_sites import SITE_SORTS, Site, find_sites
from web.http.cursors import decode_cursor, encode_cursor

SINCE: Final = 1_000.0
# Few values of each, so that many chargers are equal in an order.
IDS: Final = ("A", "B", "EVZ-1", "EVZ-10", "EVZ-2", "a", "z|1")
SITES: Final = (None, "Süd", "north", "north-2", "=1+1")
TEXTS: Final = (None, "ABB", "abb", "x,y")
RISKS: Final = (0.0, 0.1, 0.1 + 0.2, 0.3, 1.0)
SAVINGS: Final = (None, -5.0, 0.0, 7.25, 1e6)


class Charger(NamedTuple):
    charger_id: str
    written: float
    row: FleetRow | None
    attributes: dict[str, Any] | None

    def of(self, name: str) -> Any:
        """The value of a filter or an order; None if it is not known."""
        row = self.row if self.is_scored() else None
        if name in _OF_ROW:
            return None if row is None else getattr(row, _OF_ROW[name])
        attributes = self.attributes or {}
        known = {**attributes, "charger_id": self.charger_id, "site": attributes.get("site_id")}
        return known.get(name)

    def is_scored(self) -> bool:
        return self.row is not None and self.written >= SINCE

    def is_listed(self) -> bool:
        return self.is_scored() or (bool(self.attributes) and self.written < SINCE)


_OF_ROW: Final = {
    "status": "connector_status",
    "action": "action",
    "risk": "p30",
    "reading_timestamp": "at",
    "cost_of_waiting": "cost_of_waiting",
    "currency": "currency",
}


rows = st.builds(
    FleetRow,
    at=st.sampled_from((0.5, 1.0, 2.0)),
    p1=st.just(0.0),
    p7=st.just(0.0),
    p30=st.sampled_from(RISKS),
    action=st.sampled_from(("IMMEDIATE", "WITHIN_7_DAYS")),
    in_failure=st.just(False),
    connector_status=st.sampled_from(("FAULTY", "AVAILABLE")),
    cost_of_waiting=st.sampled_from(SAVINGS),
    currency=st.sampled_from((None, "USD", "USD", "EUR")),
)
attributes = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "site_id": st.sampled_from(SITES[1:]),
        "vendor": st.sampled_from(TEXTS[1:]),
        "model": st.sampled_from(TEXTS[1:]),
        "firmware": st.sampled_from(TEXTS[1:]),
        "name": st.sampled_from(("Hafen", "STRASSE", "ﬁne")),
    },
)
chargers = st.builds(
    Charger,
    charger_id=st.sampled_from(IDS),
    written=st.sampled_from((999.0, 1_000.0, 1_001.0)),
    row=st.none() | rows,
    attributes=attributes,
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "site": st.lists(st.sampled_from([*SITES[1:], "unknown"]), max_size=3),
        "vendor": st.lists(st.sampled_from([*TEXTS[1:], "unknown"]), max_size=2),
        "model": st.lists(st.sampled_from(TEXTS[1:]), max_size=2),
        "firmware": st.lists(st.sampled_from(TEXTS[1:]), max_size=2),
        "status": st.lists(st.sampled_from(("FAULTY", "AVAILABLE", "OFFLINE")), max_size=2),
        "action": st.lists(st.sampled_from(("IMMEDIATE", "NONE")), max_size=2),
    },
)
sorts = st.sampled_from([f"{dash}{sort}" for sort in SORTS for dash in ("", "-")])
site_sorts = st.sampled_from([f"{dash}{sort}" for sort in SITE_SORTS for dash in ("", "-")])


def in_order(
    items: list[Any], sort: str, value: Callable[[Any], Any], item_id: Callable[[Any], Any]
) -> list[Any]:
    """Sorted by value, missing ones last, equal ones by id."""
    highest_first = sort.removeprefix("-") in {
        "risk",
        "reading_timestamp",
        "cost_of_waiting",
        "chargers",
    }
    by_id = sorted(items, key=lambda item: (item_id(item) is None, item_id(item) or ""))
    having = [item for item in by_id if value(item) is not None]
    having.sort(key=value, reverse=highest_first != sort.startswith("-"))
    return having + [item for item in by_id if value(item) is None]


@dataclass
class Model:
    """The same fleet as a plain dictionary."""

    held: dict[str, Charger]

    def alive(self) -> list[Charger]:
        return [each for each in self.held.values() if each.is_listed()]

    def find(self, query: FleetQuery) -> list[Charger]:
        def is_match(charger: Charger) -> bool:
            its = charger.attributes or {}
            searched = [charger.charger_id, its.get("name", ""), its.get("site_id", "")]
            return (
                all(charger.of(name) in texts for name, texts in query.filters.items() if texts)
                and (query.min_risk == 0 or (charger.of("risk") or 0.0) >= query.min_risk)
                and query.scored in (None, charger.is_scored())
                and any(query.text.casefold() in text.casefold() for text in searched)
            )

        found = [each for each in self.alive() if is_match(each)]
        name = query.sort.removeprefix("-")
        return in_order(found, query.sort, lambda each: each.of(name), lambda each: each.charger_id)

    def sites(self, sort: str) -> list[Site]:
        found = []
        for site_id in {each.of("site") for each in self.alive()}:
            its = [each for each in self.alive() if each.of("site") == site_id]
            having = [each for each in its if each.of("cost_of_waiting") is not None]
            others = [each for each in having if each.of("currency") == "EUR"]
            savings = [each.of("cost_of_waiting") for each in having if each not in others]
            due = {
                action: sum(each.of("action") == action for each in its)
                for action in ("IMMEDIATE", "WITHIN_7_DAYS", "WITHIN_30_DAYS")
            }
            cost = sum(max(each, 0.0) for each in savings) if savings else None
            risk = max((each.of("risk") for each in its if each.is_scored()), default=None)
            found.append(Site(site_id, len(its), risk, due, cost, len(others)))
        name = {"risk": "highest_risk"}.get(sort.removeprefix("-"), sort.removeprefix("-"))
        return in_order(found, sort, lambda each: getattr(each, name), lambda each: each.site_id)


def built(puts: list[list[Charger]]) -> tuple[FleetColumns, Model]:
    columns, model = FleetColumns(), Model({})
    for some in puts:
        unique = list({each.charger_id: each for each in some}.values())
        if unique:
            columns.put(*(list(column) for column in zip(*unique, strict=True)))
        model.held.update({each.charger_id: each for each in unique})
        columns.find(FleetQuery(), since_ms=SINCE)  # an order that later ones must not be taken from
    return columns, model


fleets = st.lists(st.lists(chargers, max_size=7), max_size=4).map(built)


def sent(cursor: Cursor, sort: str) -> Cursor | int:
    """The cursor after its way to the caller and back."""
    return decode_cursor(encode_cursor(cursor) or "", sort)


@settings(deadline=None)
@given(
    fleet=fleets,
    filters=filters,
    min_risk=st.sampled_from((0.0, 0.1, 0.3, 1.0)),
    text=st.sampled_from(("", "evz", "1", "ÜD", "strasse", "n", "\n", "A\n")),
    sort=sorts,
    limit=st.integers(1, 4),
    scored=st.none() | st.booleans(),
)
def test_pages_are_those_of_a_sorted_list(
    fleet: tuple[FleetColumns, Model],
    filters: dict[str, Any],
    min_risk: float,
    text: str,
    sort: str,
    limit: int,
    scored: bool | None,
) -> None:
    columns, model = fleet
    query = FleetQuery(filters, min_risk, text, sort, limit, scored=scored)
    expected = model.find(query)
    pages: list[Charger] = []
    while True:
        found = columns.find(query, since_ms=SINCE)
        assert found.total == len(expected)
        costs: dict[str | None, float] = {}
        for each in expected:
            if (cost := each.of("cost_of_waiting")) is not None:
                costs[each.of("currency")] = costs.get(each.of("currency"), 0.0) + cost
        assert found.costs == costs
        assert (
            columns.find(FleetQuery(filters, min_risk, text, sort, limit, len(pages), scored), since_ms=SINCE)
            == found
        )  # as the release before counted
        its = [model.held[each] for each in found.charger_ids]
        assert found.statuses == [each.of("status") for each in its]
        assert found.read_at == [each.of("reading_timestamp") for each in its]
        pages += its
        if found.following is None:
            break
        query = FleetQuery(filters, min_risk, text, sort, limit, sent(found.following, sort), scored)
    assert pages == expected
    assert columns.stated() == sum(bool(each.attributes) for each in model.held.values())


@settings(deadline=None)
@given(fleet=fleets, name=st.sampled_from(FILTERS), most=st.integers(1, 3))
def test_the_commonest_texts_are_those_of_the_chargers(
    fleet: tuple[FleetColumns, Model], name: str, most: int
) -> None:
    columns, model = fleet
    counts = Counter(text for each in model.alive() if (text := each.of(name)) is not None)
    found = columns.commonest(name, most, since_ms=SINCE)
    assert len(found) == len(set(found)) == min(most, len(counts))
    assert [counts[text] for text in found] == sorted(counts.values(), reverse=True)[:most]


@settings(deadline=None)
@given(fleet=fleets, changes=st.lists(st.lists(chargers, max_size=5), max_size=8), sort=sorts)
def test_pages_end_and_repeat_nothing_that_stays_while_the_fleet_changes(
    fleet: tuple[FleetColumns, Model], changes: list[list[Charger]], sort: str
) -> None:
    columns, model = fleet
    before = {each.charger_id for each in model.find(FleetQuery(sort=sort))}
    changed: set[str] = set()
    seen: list[str] = []
    query = FleetQuery(sort=sort, limit=1)
    for _ in range(len(IDS) + len(changes) + 1):
        found = columns.find(query, since_ms=SINCE)
        seen += found.charger_ids
        if found.following is None:
            break
        for change in changes.pop() if changes else ():
            columns.put([change.charger_id], [change.written], [change.row], [change.attributes])
            changed.add(change.charger_id)
        query = FleetQuery(sort=sort, limit=1, after=sent(found.following, sort))
    else:
        raise AssertionError("the pages have no end")
    kept = [each for each in seen if each not in changed]
    assert len(kept) == len(set(kept))
    assert before - changed <= set(seen)


@settings(deadline=None)
@given(
    fleet=fleets,
    sort=st.sampled_from([f"{dash}{each}" for each in SITE_SORTS for dash in ("", "-")]),
    limit=st.integers(1, 3),
)
def test_sites_are_those_of_a_sorted_list(fleet: tuple[FleetColumns, Model], sort: str, limit: int) -> None:
    columns, model = fleet
    expected = model.sites(sort)
    pages: list[Site] = []
    after: Cursor | int = 0
    while True:
        found, total, following = find_sites(
            columns, since_ms=SINCE, sort=sort, limit=limit, after=after, currency="USD"
        )
        assert total == len(expected)
        pages += found
        if following is None:
            break
        after = sent(following, sort)
    assert pages == expected


@settings(deadline=None)
@given(fleet=fleets, stated=st.dictionaries(st.sampled_from(IDS), attributes))
def test_attributes_alone_can_change_and_come(
    fleet: tuple[FleetColumns, Model], stated: dict[str, Any]
) -> None:
    columns, model = fleet
    columns.restate(list(stated), list(stated.values()))
    for each, its in stated.items():
        held = model.held.get(each, Charger(each, NEVER, None, None))
        model.held[each] = held._replace(attributes=its)
    for sort in SORTS:
        query = FleetQuery(sort=sort)
        found = columns.find(query, since_ms=SINCE).charger_ids
        assert found == [each.charger_id for each in model.find(query)]


def test_every_filter_is_a_column() -> None:
    assert set(FleetColumns().vocabularies) == {*FILTERS, "currency"}
