"""The pages of the fleet and of its sites, and the fleet as CSV."""

from __future__ import annotations

import csv
import html
import io
import re
import time
from collections.abc import Iterator
from typing import Final

import pytest

from readings.reading import epoch_rfc3339
from tests.console_fleet import FORMULA, HOSTILE, fill
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web
from tests.readings import metrics
from tests.services import RunningServer

TENANT: Final = "console-fleet"
STALE: Final = "EVZ-9999"
ROW: Final = re.compile(r'<td><a class="id" href="/chargers/([^"]+)">')
NEXT: Final = re.compile(r'<a href="([^"]+)" rel="next">')


@pytest.fixture(scope="module")
def filled(web: Web, redis: RunningServer) -> Web:
    """A fleet of 31: one without attributes has a reading that is two days old."""
    fill(web.client, redis.url, tenant=TENANT)
    reading = metrics(STALE, timestamp=epoch_rfc3339(time.time() - 2 * 86_400))
    answer = web.client.post("/api/v1/predictions/failure", json=reading, headers={"X-Tenant-ID": TENANT})
    assert answer.status_code == 200
    return web


@pytest.fixture
def fleet(filled: Web) -> Iterator[ConsoleClient]:
    with logged_in(filled.url, READ_KEY, tenant=TENANT) as client:
        yield client


def text_of(client: ConsoleClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def ids(text: str) -> list[str]:
    return ROW.findall(text)


def csv_of(client: ConsoleClient, query: str) -> list[dict[str, str]]:
    answer = client.get(f"/fleet.csv?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="fleet.csv"'
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_the_fleet_begins_with_the_highest_risk(fleet: ConsoleClient) -> None:
    text = text_of(fleet, "/fleet")
    assert "<strong>31</strong> chargers" in text
    assert set(ids(text)[:3]) == {"EVZ-0001", "EVZ-0002", "EVZ-0003"}
    assert len(ids(text)) == 31
    assert '<span class="badge immediate">Go now</span>' in text
    assert 'aria-sort="descending"><a href="/fleet?sort=-risk">Risk, 30 days' in text


@pytest.mark.owasp("API8", "text of chargers comes out of the fleet's pages as text, not as markup")
def test_hostile_text_is_shown_as_text(fleet: ConsoleClient) -> None:
    for path in ("/fleet", "/sites", "/fleet?q=%3Cimg%20src%3Dx", f"/fleet?site={'%22%3E%3Cb%3E'}"):
        text = text_of(fleet, path)
        assert "<img" not in text
        assert '"><b>' not in text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", text)
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text_of(
        fleet, "/fleet"
    )


def test_a_stale_reading_is_marked(fleet: ConsoleClient) -> None:
    assert "older than 24 h" in text_of(fleet, f"/fleet?q={STALE}")
    assert "older than 24 h" not in text_of(fleet, "/fleet?q=EVZ-0004")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=evz-000", 9),
        ("q=no+such+charger", 0),
        ("site=SITE-NORTH", 10),
        ("site=SITE-NORTH&site=SITE-SOUTH", 20),
        ("vendor=Voltwerk&model=V1", 10),
        ("firmware=2.1.0&status=FAULTY", 1),
        ("status=FAULTY&status=OFFLINE", 2),
        ("min_risk=0.5", 3),
        ("limit=7", 31),
    ],
)
def test_filters_select(fleet: ConsoleClient, query: str, expected: int) -> None:
    text = text_of(fleet, f"/fleet?{query}")
    assert (f"<strong>{expected}</strong> charger" in text) or (
        expected == 0 and "No charger matches" in text
    )
    assert len(csv_of(fleet, query)) == expected


def test_the_form_shows_the_filters_in_use_and_each_can_be_removed(fleet: ConsoleClient) -> None:
    text = text_of(fleet, "/fleet?action=IMMEDIATE&action=NONE&q=evz&min_risk=0.1&site=SITE-NORTH&sort=site")
    assert '<input type="checkbox" name="action" value="IMMEDIATE" checked>' in text
    assert '<input type="checkbox" name="action" value="NONE" checked>' in text
    assert 'name="q" value="evz"' in text
    assert '<option value="0.1" selected>at least 10 %</option>' in text
    assert '<input type="hidden" name="sort" value="site">' in text
    removals = [html.unescape(each) for each in re.findall(r'<a href="([^"]+)" aria-label="Remove', text)]
    assert len(removals) == 5
    assert "/fleet?action=NONE&min_risk=0.1&q=evz&site=SITE-NORTH&sort=site" in [
        "/fleet?" + "&".join(sorted(each.partition("?")[2].split("&"))) for each in removals
    ]


def test_the_address_of_a_view_has_no_empty_parameters(fleet: ConsoleClient) -> None:
    answer = fleet.get("/fleet?q=&site=&min_risk=&action=NONE&sort=site")
    assert answer.status_code == 303
    assert answer.headers["Location"] in ("/fleet?action=NONE&sort=site", "/fleet?sort=site&action=NONE")
    assert fleet.get("/fleet?by=site").headers["Location"] == "/sites"


@pytest.mark.parametrize(
    "query", ["limit=4", "limit=4&sort=-risk", "limit=4&sort=charger_id&site=SITE-NORTH"]
)
def test_pages_follow_each_other_and_the_csv_has_all_of_them(fleet: ConsoleClient, query: str) -> None:
    path, found = f"/fleet?{query}", list[str]()
    while path:
        text = text_of(fleet, path)
        found += ids(text)
        following = NEXT.search(text)
        path = html.unescape(following[1]) if following else ""
    assert ">First page</a>" in text
    assert len(set(found)) == len(found) == (10 if "site" in query else 31)
    assert [row["charger_id"] for row in csv_of(fleet, query)] == found


def test_a_head_sorts_and_a_second_click_turns_the_order_round(fleet: ConsoleClient) -> None:
    first = text_of(fleet, "/fleet?sort=charger_id&q=EVZ-000")
    assert ids(first) == [f"EVZ-000{number}" for number in range(1, 10)]
    head = re.search(r'<th scope="col" aria-sort="ascending"><a href="([^"]+)">Charger', first)
    assert head
    turned = text_of(fleet, html.unescape(head[1]))
    assert ids(turned) == ids(first)[::-1]
    assert 'aria-sort="descending"' in turned


@pytest.mark.owasp("API8", "a spreadsheet runs no formula of a charger's text")
def test_csv_has_no_formulas(fleet: ConsoleClient) -> None:
    rows = {row["charger_id"]: row for row in csv_of(fleet, "")}
    assert rows["EVZ-0005"]["vendor"] == f"'{FORMULA}"
    assert rows["EVZ-0002"]["name"] == HOSTILE
    assert rows["EVZ-0001"]["connector_status"] == "FAULTY"
    assert rows["EVZ-0001"]["in_failure"] == "true"
    assert 0 < float(rows["EVZ-0001"]["failure_probability_30d"]) <= 1
    assert (rows[STALE]["site_id"], rows[STALE]["reading_stale"]) == ("", "true")


def test_sites_show_the_visits_that_are_due(fleet: ConsoleClient) -> None:
    text = text_of(fleet, "/sites?sort=site_id")
    assert "<strong>4</strong> sites" in text
    assert '<a href="/fleet?site=SITE-NORTH">SITE-NORTH</a>' in text
    assert "no site known" in text
    assert re.search(r'<a class="immediate" href="/fleet\?site=SITE-NORTH&amp;action=IMMEDIATE">1</a>', text)
    assert 'aria-sort="ascending"' in text
    first = text_of(fleet, "/sites?limit=3")
    following = NEXT.search(first)
    assert following
    assert text_of(fleet, html.unescape(following[1])).count('<th scope="row">') == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/fleet?sort=name", "sort"),
        ("/fleet?limit=0", "limit"),
        ("/fleet?limit=many", "limit"),
        ("/fleet?min_risk=2", "min_risk"),
        ("/fleet?status=BROKEN", "status"),
        ("/fleet?cursor=W10", "cursor"),
        (f"/fleet?q={'x' * 129}", "q"),
        ("/fleet.csv?action=SOON", "action"),
        ("/sites?sort=vendor", "sort"),
    ],
)
@pytest.mark.owasp("API4", "queries of the fleet's pages are bounded, and wrong ones are refused by name")
def test_a_wrong_query_is_a_readable_page(fleet: ConsoleClient, path: str, name: str) -> None:
    answer = fleet.get(path)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"].startswith("text/html")
    assert f"<code>{name}</code>: " in answer.text


@pytest.mark.owasp("API1", "the pages of the fleet and its CSV are those of the shown tenant")
def test_a_charger_without_a_reading_is_shown(web: Web) -> None:
    tenant = "console-fleet-new"
    headers = {"X-Tenant-ID": tenant}
    its = {"site_id": "YARD", "vendor": "ABB"}
    assert web.client.put("/api/v1/chargers/NEW-1", json=its, headers=headers).status_code == 200
    with logged_in(web.url, READ_KEY, tenant=tenant) as client:
        text = text_of(client, "/fleet")
        assert ids(text) == ["NEW-1"]
        assert '<span class="muted">no reading</span>' in text
        assert ids(text_of(client, "/fleet?scored=false&site=YARD")) == ["NEW-1"]
        assert "No charger matches" in text_of(client, "/fleet?scored=true")
        assert "1 without a reading" in text_of(client, "/")
        assert '<th scope="row"><a href="/fleet?site=YARD">' in text_of(client, "/sites")
        row = csv_of(client, "")[0]
        assert (row["charger_id"], row["vendor"], row["failure_probability_30d"]) == ("NEW-1", "ABB", "")
        web.client.put("/api/v1/chargers/NEW-2", json=its, headers=headers)
        assert "no reading</span>" in text_of(client, "/chargers/NEW-2")  # the neighbour


def test_another_tenant_shows_nothing(filled: Web) -> None:
    with logged_in(filled.url, READ_KEY, tenant="console-nobody") as client:
        for path in ("/fleet", "/sites"):
            text = text_of(client, path)
            assert "EVZ-0001" not in text
            assert "No charger yet" in text
        assert csv_of(client, "") == []


def test_a_charger_without_attributes_is_on_every_page(web: Web) -> None:
    reading = metrics("EVZ-9998", connector_status="FAULTY")
    headers = {"X-Tenant-ID": "console-bare"}
    assert web.client.post("/api/v1/predictions/failure", json=reading, headers=headers).is_success
    with logged_in(web.url, READ_KEY, tenant="console-bare") as client:
        for path in ("/", "/fleet", "/chargers/EVZ-9998"):
            assert "EVZ-9998" in text_of(client, path)
        assert "no site known" in text_of(client, "/sites")
        assert [row["charger_id"] for row in csv_of(client, "")] == ["EVZ-9998"]


def test_costs_of_two_currencies_stand_beside_each_other(web: Web) -> None:
    headers = {"X-Tenant-ID": "console-currencies"}
    for charger, metadata in (("EVZ-1", {}), ("EVZ-2", {"costs": {"currency": "CHF"}})):
        reading = metrics(charger, connector_status="FAULTY", metadata=metadata)
        answer = web.client.post("/api/v1/predictions/failure", json=reading, headers=headers).json()
        assert answer["cost_of_waiting"] > 0
    with logged_in(web.url, READ_KEY, tenant="console-currencies") as client:
        cost = r"[\d,]+ USD and [\d,]+ CHF"
        assert re.search(f"Waiting costs <strong>{cost}</strong> in all", text_of(client, "/fleet"))
        assert re.search(f"cost of waiting {cost}", text_of(client, "/"))
        assert "1 in another currency" in text_of(client, "/sites")


def test_an_unreachable_redis_is_said_on_the_pages(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    with logged_in(web.url) as client:
        assert client.get("/fleet").status_code == 200
        redis.stop()
        for path in ("/fleet", "/sites", "/fleet.csv", "/chargers/EVZ-0001"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "Redis cannot be reached." in answer.text
