"""The page of a charger: now, over time, "what if", and reports of outcomes."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import orjson
import pytest
from redis import Redis

from readings.reading import epoch_rfc3339
from settings.fields import Limits
from tasks.storage.api_keys import KeyStore
from tasks.storage.reading_history import readings_key
from tests.console_fleet import HOSTILE, fill
from tests.console_login import ConsoleClient, logged_in
from tests.processes import READ_KEY, Web, wait_until
from tests.readings import metrics
from tests.services import RunningServer

TENANT: Final = "console-charger"
HEADERS: Final = {"X-Tenant-ID": TENANT}
HALF_DAY_S: Final = 43_200
DAYS: Final = 5
ASKED: Final = {
    "connector_status": "CHARGING",
    "temperature": "95",
    "power": "47.5",
    "error_codes": "OverTemperature; GroundFailure",
    "uptime_hours": "2",
    "total_sessions": "5120",
}


@pytest.fixture(scope="module")
def filled(web: Web, redis: RunningServer) -> Web:
    """A fleet in which EVZ-0002 has readings of five days before its newest one."""
    for number in range(2 * DAYS):
        reading = metrics(
            "EVZ-0002",
            timestamp=epoch_rfc3339(time.time() - (2 * DAYS - number) * HALF_DAY_S),
            temperature=40.0 + number,
            connector_status="FAULTY" if number == 3 else "CHARGING",
        )
        assert web.client.post("/api/v1/predictions/failure", json=reading, headers=HEADERS).is_success
    fill(web.client, redis.url, tenant=TENANT)
    return web


@pytest.fixture
def console(filled: Web) -> Iterator[ConsoleClient]:
    with logged_in(filled.url, tenant=TENANT) as client:
        yield client


def text_of(client: httpx.Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def plots_of(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(html.unescape(each)) for each in re.findall(r'data-plot="([^"]+)"', text)]


def test_the_page_says_why_and_what_to_do(console: ConsoleClient, filled: Web) -> None:
    text = text_of(console, "/chargers/EVZ-0001")
    charger = filled.client.get("/api/v1/chargers/EVZ-0001", headers=HEADERS).json()
    steps = [text.find(html.escape(step)) for step in charger["failure"]["recommended_actions"]]
    assert -1 not in steps
    assert steps == sorted(steps)
    assert "Out of service." in text
    for factor in charger["failure"]["top_contributing_factors"]:
        assert html.escape(factor["text"]) in text
    assert 'class="bar raises"' in text
    assert "raises the risk: odds ×" in text
    assert "Planned work on the best day" in text
    assert html.escape(charger["maintenance"]["rationale"][0]) in text
    assert f'<a href="/alerts/{charger["open_alerts"][0]["alert_id"]}">' in text
    assert "SITE-NORTH" in text
    neighbours = re.findall(r'<tr><td><a class="id" href="/chargers/(EVZ-\d+)">', text)
    assert len(neighbours) == 9
    assert "EVZ-0001" not in neighbours


def test_the_curve_and_the_plots_over_time(console: ConsoleClient) -> None:
    text = text_of(console, "/chargers/EVZ-0002")
    curve, risk, action, *readings = plots_of(text)
    assert curve["x"] == [0, 1, 7, 30]
    assert curve["series"][0]["values"] == sorted(curve["series"][0]["values"])
    assert [each["label"] for each in risk["series"]] == ["Risk, 30 days", "Risk, 7 days"]
    assert len(risk["x"]) >= 2 * DAYS
    assert action["ticks"][-1] == "Go now"
    assert {each["series"][0]["label"] for each in readings} == {"Temperature", "Power", "Error codes"}
    temperature = next(each for each in readings if each["series"][0]["label"] == "Temperature")
    assert temperature["series"][0]["values"][0] == 40.0
    assert temperature["series"][0]["values"][-1] == 88.0
    assert temperature["x"] == sorted(temperature["x"])
    # The cursor of one plot is in all, at the same time.
    assert all(each["linked"] and each["span"] == risk["span"] for each in (risk, action, *readings))
    assert "Changes of the action" in text
    assert "most probably between" in text


@pytest.mark.owasp("API8", "text of a charger comes out of its page as text, not as markup")
def test_hostile_text_is_shown_as_text(console: ConsoleClient) -> None:
    for charger in ("EVZ-0002", "EVZ-0003"):
        text = text_of(console, f"/chargers/{charger}")
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "<img" not in text
        assert HOSTILE not in text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", text)
        assert text.count("<h1") == 1


def test_a_charger_of_which_only_attributes_are_known(console: ConsoleClient, filled: Web) -> None:
    stated = {"vendor": "Kempower", "name": "Bay of the north"}
    answer = filled.client.put("/api/v1/chargers/EVZ-NEW", json=stated, headers=HEADERS)
    assert answer.is_success, answer.text
    text = text_of(console, "/chargers/EVZ-NEW")
    assert "Kempower" in text
    assert "Bay of the north" in text
    assert "No reading of this charger has been scored yet." in text
    answer = console.post_form("/chargers/EVZ-NEW", **ASKED)
    assert answer.status_code == 200
    assert '<th scope="row">Action</th><td>–</td>' in answer.text


def test_an_unknown_charger_is_a_helpful_page(console: ConsoleClient) -> None:
    answer = console.get("/chargers/EVZ-00")
    assert answer.status_code == 404
    assert "Unknown charger" in answer.text
    assert '<a class="id" href="/chargers/EVZ-0003">EVZ-0003</a>' in answer.text
    answer = console.get("/chargers/nothing-like-it")
    assert answer.status_code == 404
    assert "api/v1/predictions/failure" in answer.text
    assert console.get("/chargers/%3Cscript%3E").status_code == 422
    assert "<script>" not in console.get("/chargers/%3Cscript%3E").text


@pytest.mark.owasp("API1", "a charger of another tenant is an unknown one, to read and to report on")
def test_a_charger_of_another_tenant_is_unknown(filled: Web) -> None:
    with logged_in(filled.url, tenant="console-nobody") as client:
        assert client.get("/chargers/EVZ-0001").status_code == 404
        assert client.post_form("/chargers/EVZ-0001", **ASKED).status_code == 404
        report = {"outcome": "failed", "occurred_at": "2026-11-20T08:30"}
        assert client.post_form("/chargers/EVZ-0001/outcomes", **report).status_code == 404


def test_the_live_part_comes_alone_and_scores_nothing(console: ConsoleClient) -> None:
    answer = console.get("/chargers/EVZ-0002", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="now"')
    assert "HX-Request" in answer.headers["Vary"]
    again = console.get(
        "/chargers/EVZ-0002", headers={"HX-Request": "true", "If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


def test_what_if_shows_the_verdict_beside_the_present_one(console: ConsoleClient, filled: Web) -> None:
    filled_in = text_of(console, "/chargers/EVZ-0005")
    assert 'name="temperature" value="41"' in filled_in
    answer = console.post_form("/chargers/EVZ-0005", **ASKED)
    assert answer.status_code == 200
    row = re.search(r'<th scope="row">Action</th><td>(.+?)</td><td>(.+?)</td>', answer.text)
    assert row
    assert "No visit" in row[1]
    assert "Go now" in row[2]
    assert 'name="temperature" value="95"' in answer.text
    assert 'name="error_codes" value="OverTemperature; GroundFailure"' in answer.text
    sent = {
        **metrics("EVZ-0005", temperature=95.0, uptime_hours=2.0),
        "error_codes": ["OverTemperature", "GroundFailure"],
    }
    known = filled.client.get("/api/v1/chargers/EVZ-0005", headers=HEADERS).json()["newest_reading"]
    sent |= {"timestamp": known["timestamp"], "metadata": known["metadata"]}
    api = filled.client.post("/api/v1/predictions/failure?store=false", json=sent, headers=HEADERS).json()
    assert f"<td>{api['failure_probability']:.0%}</td>".replace("%", " %") in answer.text


def test_what_if_stores_nothing(console: ConsoleClient, filled: Web, redis: RunningServer) -> None:
    def stored() -> list[Any]:
        with Redis.from_url(redis.url) as connection:
            keys = sorted(connection.scan_iter(f"*{TENANT}*"))
            history = connection.hgetall(readings_key(TENANT, "EVZ-0006"))
        paths = (
            "/api/v1/chargers/EVZ-0006",
            "/api/v1/chargers/EVZ-0006/history",
            "/api/v1/predictions/EVZ-0006",
        )
        answers = [filled.client.get(path, headers=HEADERS).json() for path in paths]
        return [keys, history, answers[0]["newest_reading"], answers[0]["failure"], *answers[1:]]

    before = stored()
    assert console.post_form("/chargers/EVZ-0006", **ASKED).status_code == 200
    assert stored() == before


def test_a_wrong_value_is_named_beside_its_field(console: ConsoleClient) -> None:
    answer = console.post_form(
        "/chargers/EVZ-0005", **{**ASKED, "temperature": "41,5", "total_sessions": "1.5", "power": "9000"}
    )
    assert answer.status_code == 422
    assert 'name="temperature" value="41,5"' in answer.text
    assert 'id="temperature-problem"' in answer.text
    assert "use a decimal point" in answer.text
    assert "Not a whole number." in answer.text
    assert "Is this W?" in answer.text
    assert 'id="uptime_hours-problem"' not in answer.text
    answer = console.post_form("/chargers/EVZ-0005", **{**ASKED, "connector_status": "<b>"})
    assert answer.status_code == 422
    assert "Not a connector status" in answer.text


@pytest.mark.owasp("API4", "a question of the console counts as a prediction of its key")
def test_what_if_counts_for_the_limit_of_the_key(filled: Web, redis: RunningServer) -> None:
    with Redis.from_url(redis.url) as connection:
        key = KeyStore(connection).create(
            "slow-console", ("predict",), (TENANT,), limits=Limits(readings_per_second=1)
        )
    wait_until(
        lambda: httpx.post(f"{filled.url}/login", data={"key": key}).status_code == 303, what="the key"
    )
    with logged_in(filled.url, key) as client:
        token = {"csrf_token": re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/").text)[0]}

        def ask(_: int) -> httpx.Response:
            return client.post("/chargers/EVZ-0005", data={**ASKED, **token})

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(16)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert "Retry-After" in refused[0].headers
    assert 'name="temperature" value="95"' in refused[0].text


@pytest.mark.owasp("API5", "a key for reading asks no questions and reports nothing through the console")
def test_a_reader_changes_nothing(filled: Web) -> None:
    with logged_in(filled.url, READ_KEY, tenant=TENANT) as client:
        text = text_of(client, "/chargers/EVZ-0005")
        assert 'id="what-if"' not in text
        assert 'id="outcome"' not in text
        assert client.post_form("/chargers/EVZ-0005", **ASKED).status_code == 403
        report = {"outcome": "failed", "occurred_at": "2026-11-20T08:30"}
        assert client.post_form("/chargers/EVZ-0005/outcomes", **report).status_code == 403
    assert filled.client.get("/api/v1/outcomes?charger_id=EVZ-0005", headers=HEADERS).json()["total"] == 0


@pytest.mark.owasp("API2", "a form without the token of its session changes nothing")
def test_a_form_without_its_token_is_refused(console: ConsoleClient, filled: Web) -> None:
    assert console.post("/chargers/EVZ-0004", data=ASKED).status_code == 403
    report = {"outcome": "failed", "occurred_at": "2026-11-20T08:30"}
    assert console.post("/chargers/EVZ-0004/outcomes", data=report).status_code == 403
    assert filled.client.get("/api/v1/outcomes?charger_id=EVZ-0004", headers=HEADERS).json()["total"] == 0


def test_an_outcome_is_stored_once_and_shown(console: ConsoleClient, filled: Web) -> None:
    happened = datetime.now(UTC) - timedelta(hours=1)
    report = {"outcome": "repaired", "occurred_at": f"{happened:%Y-%m-%dT%H:%M}"}
    for _ in range(2):
        answer = console.post_form("/chargers/EVZ-0007/outcomes", **report)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/chargers/EVZ-0007?done=outcome")
    text = text_of(console, "/chargers/EVZ-0007?done=outcome")
    assert "The outcome is stored." in text
    assert "<td>repaired</td>" in text
    (stored,) = filled.client.get("/api/v1/outcomes?charger_id=EVZ-0007", headers=HEADERS).json()["items"]
    assert stored["outcome"] == "repaired"
    assert stored["occurred_at"] == f"{happened:%Y-%m-%dT%H:%M}:00.000Z"


@pytest.mark.parametrize(
    ("report", "field"),
    [
        ({"outcome": "failed", "occurred_at": "2100-01-01T08:30:00.000Z"}, "occurred_at"),
        ({"outcome": "failed", "occurred_at": "yesterday"}, "occurred_at"),
        ({"outcome": "failed"}, "occurred_at"),
        ({"outcome": "exploded", "occurred_at": "2026-11-20T08:30"}, "outcome"),
    ],
)
def test_a_wrong_report_is_named_beside_its_field(
    console: ConsoleClient, filled: Web, report: dict[str, str], field: str
) -> None:
    answer = console.post_form("/chargers/EVZ-0008/outcomes", **report)
    assert answer.status_code == 422
    assert f'id="{field}-problem"' in answer.text
    if report["outcome"] == "failed":
        assert '<option value="failed" selected>' in answer.text
    assert filled.client.get("/api/v1/outcomes?charger_id=EVZ-0008", headers=HEADERS).json()["total"] == 0
