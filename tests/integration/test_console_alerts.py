"""The console's pages of alerts: filters, the story, and the forms of those who may change an alert."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from redis import Redis

from tasks.storage.alert_records import AlertRecords
from tests.console_fleet import HOSTILE
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web, environment, settings_for
from tests.recorded_alerts import closed, opened
from tests.services import RunningServer, start_redis

ESCAPED: Final = "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;&amp;{{7*7}}"
OPEN_ID: Final = opened("EVZ-1", "acme").alert_id
CLOSED_ID: Final = opened("EVZ-2", "acme").alert_id
PATH: Final = f"/alerts/{OPEN_ID}"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_redis() as server:
        yield server


@pytest.fixture(scope="module")
def web(server: RunningServer) -> Iterator[Web]:
    with Web(environment(server.url)) as web:
        yield web


@pytest.fixture(autouse=True)
def _alerts(server: RunningServer) -> None:
    """An open alert and a closed one of the tenant acme."""
    with Redis.from_url(server.url) as redis:
        redis.flushdb()
        records = AlertRecords(settings_for(server.url), redis)
        two = [opened("EVZ-1", "acme"), opened("EVZ-2", "acme", kind="failure")]
        for command in records.to_store([*two, closed(two[1])]):
            redis.execute_command(*command)


@pytest.fixture
def console(web: Web) -> Iterator[ConsoleClient]:
    with logged_in(web.url, tenant="acme") as client:
        yield client


def listed(client: httpx.Client, query: str = "") -> set[str]:
    """The ids of the alerts in the list."""
    answer = client.get(f"/alerts{query}")
    assert answer.status_code == 200, answer.text
    return set(re.findall(r'href="/alerts/([0-9a-f]{24})"', answer.text))


def test_the_list_has_the_open_alerts_with_their_reason(console: ConsoleClient) -> None:
    assert listed(console) == {OPEN_ID}
    page = console.get("/alerts").text
    assert "temperature 81 °C" in page
    assert 'href="/chargers/EVZ-1"' in page
    assert "nobody yet" in page
    assert "1 open alert, the newest first." in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?state=closed", {CLOSED_ID}),
        ("?state=all", {OPEN_ID, CLOSED_ID}),
        ("?state=all&charger_id=EVZ-2&kind=&assigned_to=&acknowledged=&muted=", {CLOSED_ID}),
        ("?kind=anomaly", set()),
        ("?kind=failure", {OPEN_ID}),
        ("?acknowledged=true", set()),
        ("?acknowledged=false&muted=false", {OPEN_ID}),
        ("?assigned_to=night%20shift", set()),
    ],
)
def test_the_list_is_filtered_as_by_the_api(console: ConsoleClient, query: str, expected: set[str]) -> None:
    assert listed(console, query) == expected


def test_a_page_of_alerts_leads_to_the_older_ones(console: ConsoleClient) -> None:
    first = console.get("/alerts?state=all&limit=1&done=alert")
    found = re.search(r'href="(/alerts\?[^"]+)" rel="next"', first.text)
    assert found
    following = found[1].replace("&amp;", "&")
    assert "done=" not in following
    assert (
        len(listed(console, "?state=all&limit=1") | listed(console, following.removeprefix("/alerts"))) == 2
    )
    assert 'href="/alerts?state=all&amp;limit=1">Newest' in console.get(following).text


def test_a_wrong_filter_is_named_and_what_was_typed_stays(console: ConsoleClient) -> None:
    answer = console.get("/alerts", params={"charger_id": HOSTILE, "state": "all"})
    assert answer.status_code == 422
    assert "Charger id: Not a charger id." in answer.text
    assert f'value="{ESCAPED}"' in answer.text
    assert '<option value="all" selected>' in answer.text
    assert console.get("/alerts?cursor=x").status_code == 422


def test_an_empty_list_says_how_an_alert_opens(web: Web) -> None:
    with logged_in(web.url, tenant="nobody") as client:
        page = client.get("/alerts").text
        assert "No alert is open." in page
        assert "ML_ALERT_THRESHOLD" in page
        assert "No alert matches these filters." in client.get("/alerts?kind=failure").text


def test_an_alert_shows_its_verdicts_and_its_story(console: ConsoleClient) -> None:
    page = console.get(f"/alerts/{CLOSED_ID}").text
    assert "The verdict that opened it" in page
    assert "The verdict that closed it" in page
    assert page.count("91 %") == 2
    assert re.findall(r"<strong>(Opened|Closed)\s*</strong>", page) == ["Opened", "Closed"]
    assert 'action="/alerts' in page
    assert "/mute" not in page  # only an open alert can be muted


@pytest.mark.owasp("API3", "text of callers comes out of the console's pages as text")
def test_what_people_do_is_carried_out_and_told(console: ConsoleClient, web: Web) -> None:
    for action, fields in (
        ("acknowledge", {"note": HOSTILE}),
        ("assign", {"to": HOSTILE}),
        ("mute", {"hours": "2.5", "reason": HOSTILE}),
    ):
        answer = console.post_form(f"{PATH}/{action}", **fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{PATH}?done=alert"), answer.text
    page = console.get(f"{PATH}?done=alert").text
    assert "Noted. The story of the alert has it." in page
    for told in (f"Acknowledged: {ESCAPED}", f"Assigned to {ESCAPED}", f": {ESCAPED}</strong>"):
        assert told in page
    assert HOSTILE not in page
    assert ESCAPED in console.get("/alerts?muted=true&acknowledged=true").text
    alert = web.client.get(f"/api/v1{PATH}", headers={"X-Tenant-ID": "acme"}).json()
    assert [(event["event"], event["by"]) for event in alert["story"][1:]] == [
        (event, "ML_SERVICE_API_KEY") for event in ("acknowledged", "assigned", "muted")
    ]
    for action in ("unassign", "unmute"):
        assert console.post_form(f"{PATH}/{action}").status_code == 303
    alert = web.client.get(f"/api/v1{PATH}", headers={"X-Tenant-ID": "acme"}).json()
    assert (alert["assigned"], alert["muted"], alert["acknowledged"]["note"]) == (None, None, HOSTILE)


def test_an_acknowledgement_needs_no_note(console: ConsoleClient) -> None:
    assert console.post_form(f"{PATH}/acknowledge", note="  ").status_code == 303
    assert "Acknowledged</strong>" in console.get(PATH).text


WRONG: Final[list[tuple[str, dict[str, str], str]]] = [
    ("acknowledge", {"note": "x" * 501}, "note"),
    ("assign", {"to": "  "}, "to"),
    ("assign", {}, "to"),
    ("assign", {"to": "a\x7fb"}, "to"),
    ("mute", {"hours": "many", "reason": "work"}, "hours"),
    ("mute", {"hours": "nan", "reason": "work"}, "hours"),
    ("mute", {"hours": "9" * 400, "reason": "work"}, "hours"),
    ("mute", {"hours": "0.5", "reason": "work"}, "hours"),
    ("mute", {"hours": "2161", "reason": "work"}, "hours"),
    ("mute", {"hours": "2", "reason": ""}, "reason"),
]


@pytest.mark.parametrize(("action", "fields", "wrong"), WRONG)
def test_a_wrong_form_changes_nothing_and_is_shown_again(
    console: ConsoleClient, action: str, fields: dict[str, str], wrong: str
) -> None:
    answer = console.post_form(f"{PATH}/{action}", **fields)
    assert answer.status_code == 422
    assert re.findall(r'name="(\w+)"[^>]*aria-invalid="true"', answer.text) == [wrong]
    assert f'id="{wrong}-problem"' in answer.text
    for typed in fields.values():
        assert f'value="{typed.strip()}"' in answer.text
    assert f'hx-get="{PATH}"' in answer.text
    assert re.findall(r"<strong>(\w+)</strong>", answer.text) == ["Opened"]
    # Loading that page again leads to the alert.
    assert console.get(f"{PATH}/{action}").headers["Location"] == PATH


def test_a_closed_alert_cannot_be_muted(console: ConsoleClient) -> None:
    answer = console.post_form(f"/alerts/{CLOSED_ID}/mute", hours="1", reason="work")
    assert answer.status_code == 409
    assert "Only an open alert can be muted." in answer.text


@pytest.mark.parametrize("alert_id", ["0" * 24, "x", HOSTILE.replace("/", "")])
def test_an_unknown_alert_is_a_readable_page(console: ConsoleClient, alert_id: str) -> None:
    for answer in (
        console.get(f"/alerts/{alert_id}"),
        console.post_form(f"/alerts/{alert_id}/acknowledge"),
        console.post_form(f"/alerts/{alert_id}/unmute"),
    ):
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "No alert" in answer.text
        assert HOSTILE not in answer.text


@pytest.mark.owasp("API1", "the console shows and changes no alert of another tenant")
def test_another_tenants_alert_is_not_found(web: Web) -> None:
    with logged_in(web.url, tenant="other") as client:
        assert listed(client, "?state=all") == set()
        assert client.get(PATH).status_code == 404
        assert client.post_form(f"{PATH}/acknowledge").status_code == 404
        assert client.post_form(f"{PATH}/assign", to="me").status_code == 404
        assert client.post_form(f"{PATH}/mute", hours="1", reason="x").status_code == 404


@pytest.mark.owasp("API5", "a key that only reads has no forms for alerts in the console, and sends none")
def test_a_key_that_reads_changes_nothing(web: Web) -> None:
    with logged_in(web.url, READ_KEY, tenant="acme") as client:
        page = client.get(PATH).text
        assert f'action="{PATH}/' not in page
        assert "Your key lacks the role" in page
        for action in ("acknowledge", "assign", "unassign", "mute", "unmute"):
            refused = client.post_form(f"{PATH}/{action}", to="me", hours="1", reason="x")
            assert refused.status_code == 403, action
        assert "nobody yet" in client.get("/alerts").text


@pytest.mark.owasp("API8", "a form for an alert without the session's token changes nothing")
def test_a_form_without_its_token_is_refused(console: ConsoleClient) -> None:
    for data in ({}, {"csrf_token": "x"}):
        for action in ("acknowledge", "assign", "unassign", "mute", "unmute"):
            answer = console.post(f"{PATH}/{action}", data={**data, "to": "me", "hours": "1", "reason": "x"})
            assert answer.status_code == 403
    assert re.findall(r"<strong>(\w+)</strong>", console.get(PATH).text) == ["Opened"]


def test_the_audit_log_has_each_change_once(console: ConsoleClient, web: Web) -> None:
    for _ in range(2):  # a repeat changes nothing
        console.post_form(f"{PATH}/assign", to="night shift")
    console.post_form(f"{PATH}/mute", hours="9999", reason="x")
    entries = web.client.get("/api/v1/audit").json()["items"]
    assert [(entry["action"], entry["tenant"]) for entry in entries] == [
        (f"POST {PATH}/assign", "acme"),
        ("POST /login", None),
    ]


def test_without_redis_the_pages_say_so(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    with logged_in(web.url) as client:
        redis.stop()
        for path in ("/alerts", PATH):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "Redis cannot be reached." in answer.text
            assert answer.headers["Retry-After"].isdigit()
