"""What a person does on the console's pages, in a real browser."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from readings.reading import epoch_rfc3339
from tests.console_fleet import HOSTILE
from tests.host.browser_tabs import assert_accessible, no_dialog, tab
from tests.processes import KEY, READ_KEY, Web
from tests.readings import metrics

pytestmark = pytest.mark.host
# More than the stops of any page.
MOST_TABS = 200


def tab_to(page: Page, text: str) -> None:
    """Press Tab until the focus is on what has this text, name or label."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                const it = document.activeElement;
                return [it.innerText, it.name, it.labels?.[0]?.innerText].map((each) => (each ?? "").trim());
            }"""
        )
        if text in focused:
            return
    raise AssertionError(f"Tab does not lead to {text}")


def test_a_person_works_on_an_alert_by_keyboard_alone(service: Web, browser: Browser) -> None:
    with tab(browser, service, key=None) as watched:
        page = watched.page
        page.goto("/")
        tab_to(page, "key")
        page.keyboard.type(KEY)
        page.keyboard.press("Enter")
        page.wait_for_url("**/")
        tab_to(page, "EVZ-0001")
        page.keyboard.press("Enter")
        page.wait_for_url("**/chargers/EVZ-0001")
        tab_to(page, "failure")
        page.keyboard.press("Enter")
        page.wait_for_url("**/alerts/*")
        tab_to(page, "note")
        page.keyboard.type("Technician is on the way")
        page.keyboard.press("Enter")
        page.get_by_text("Technician is on the way").first.wait_for()
        tab_to(page, "Log out")
        page.keyboard.press("Enter")
        page.wait_for_url("**/login**")
        assert watched.problems == []


def test_a_person_logs_in_and_out_by_keyboard(service: Web, browser: Browser) -> None:
    with tab(browser, service, key=None) as watched:
        page = watched.page
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        while page.locator(":focus").get_attribute("name") != "key":
            page.keyboard.press("Tab")
        page.keyboard.type(READ_KEY)
        page.keyboard.press("Enter")
        page.wait_for_url("**/")
        assert page.locator("h1").inner_text() == "Today"
        while page.locator(":focus").count() == 0 or page.locator(":focus").inner_text() != "Log out":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/login**")
        assert [text for text in watched.problems if "username" not in text] == []


def test_a_hostile_file_is_previewed_sent_and_followed(
    service: Web, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.csv"
    cell = HOSTILE.replace('"', '""')
    rows = [f'"{cell}",CHARGING,41', 'EVZ-1,"no\nstatus",41', *(f"EVZ-{n},CHARGING,41" for n in range(2_000))]
    file.write_text("\n".join(["charger_id,connector_status,temperature", *rows]))
    with tab(browser, service, viewport={"width": 390, "height": 900}) as watched, no_dialog(watched):
        page = watched.page
        page.goto("/jobs")
        page.set_input_files("input[type=file]", file)
        preview = page.get_by_role("region", name="First rows")
        assert preview.locator("th").all_inner_texts() == ["charger_id", "connector_status", "temperature"]
        assert preview.locator("td").first.inner_text() == HOSTILE
        assert preview.locator("tr").count() == 1 + 5
        assert page.get_by_text(file.name, exact=False).first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Send the file").click()
        page.wait_for_url("**/jobs/*")
        # The page follows the job to its end without being loaded again.
        page.get_by_text("Succeeded").wait_for(timeout=60_000)
        assert page.locator("progress").get_attribute("value") == "2002"
        assert page.locator("td code").all_inner_texts() == ["charger_id", "connector_status"]
        assert page.locator("[hx-get]").count() == 0
        assert_accessible(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV", exact=True).click()
        assert download.value.suggested_filename.endswith(".csv")
        assert watched.problems == []


def test_a_file_that_the_service_refuses_is_explained(service: Web, browser: Browser, tmp_path: Path) -> None:
    with tab(browser, service) as watched:
        page = watched.page
        page.goto("/jobs")
        said = page.locator("[data-said]")
        for name, text, expected in (
            ("readings.txt", "x", "Choose a file that ends in .csv"),
            (
                "readings.csv",
                "charger;status\nEVZ-1;x\n",
                "The header looks semicolon-separated; use commas.",
            ),
        ):
            (tmp_path / name).write_text(text)
            page.set_input_files("input[type=file]", tmp_path / name)
            page.get_by_role("button", name="Send the file").click()
            said.get_by_text(expected).first.wait_for()
        assert urlsplit(page.url).path == "/jobs"


def test_a_job_is_cancelled_after_a_question(service: Web, browser: Browser) -> None:
    rows = [{"charger_id": f"EVZ-{n}", "connector_status": "CHARGING"} for n in range(150_000)]
    job_id = service.client.post("/api/v1/predictions/batch", json={"chargers": rows}).json()["job_id"]
    with tab(browser, service) as watched:
        page = watched.page
        page.goto(f"/jobs/{job_id}")
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Cancel the job").click()
        assert service.client.get(f"/api/v1/jobs/{job_id}").json()["status"] in ("PENDING", "RUNNING")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel the job").click()
        page.get_by_text("Cancelled").first.wait_for()
        assert service.client.get(f"/api/v1/jobs/{job_id}").json()["status"] == "CANCELLED"
        assert watched.problems == []


def test_a_question_what_if_is_answered_on_an_accessible_page(service: Web, browser: Browser) -> None:
    with tab(browser, service, viewport={"width": 390, "height": 900}) as watched:
        page = watched.page
        page.goto("/chargers/EVZ-0005")
        page.get_by_label("Temperature").fill("95")
        page.get_by_label("Error codes").fill("OverTemperature")
        page.get_by_role("button", name="Ask").click()
        page.wait_for_load_state("networkidle")
        assert page.get_by_role("status").inner_text().startswith("With these values:")
        assert page.get_by_label("Temperature").input_value() == "95"
        assert_accessible(page)
        assert watched.problems == []


def test_an_outcome_is_reported_in_the_time_of_the_viewer(service: Web, browser: Browser) -> None:
    with tab(browser, service, timezone_id="Asia/Tokyo", locale="en-GB") as watched:
        page = watched.page
        page.goto("/chargers/EVZ-0006")
        page.get_by_label("Outcome").select_option("repaired")
        page.get_by_label("When (your time)").fill("2026-11-20T08:30")
        page.get_by_role("button", name="Report").click()
        page.wait_for_url("**done=outcome**")
        stored = page.locator("time[datetime='2026-11-19T23:30:00.000Z']")
        assert stored.inner_text() == "20 Nov 2026, 08:30"


def test_the_cursor_of_a_plot_is_in_all_plots(service: Web, browser: Browser) -> None:
    for hours in (30, 20, 10):
        reading = metrics(
            "EVZ-PLOT", timestamp=epoch_rfc3339(time.time() - hours * 3_600), temperature=40.0 + hours
        )
        assert service.client.post("/api/v1/predictions/failure", json=reading).is_success
    with tab(browser, service, viewport={"width": 1400, "height": 900}) as watched:
        page = watched.page
        page.goto("/chargers/EVZ-PLOT")
        page.wait_for_load_state("networkidle")
        plots = page.locator("figure[data-plot] .u-over")
        plots.nth(1).scroll_into_view_if_needed()
        plots.nth(1).hover(position={"x": 2, "y": 20})
        legends = page.locator("figure[data-plot] .u-legend").all_inner_texts()
        assert "70 °C" in " ".join(legends)


def test_lists_of_boxes_close_by_keyboard(service: Web, browser: Browser) -> None:
    with tab(browser, service) as watched:
        page = watched.page
        page.goto("/fleet")
        page.locator("details.dropdown summary").first.click()
        page.get_by_label("Go now").check()
        page.keyboard.press("Escape")
        assert page.locator("details.dropdown[open]").count() == 0
        assert page.locator(":focus").inner_text().startswith("Action")
        page.keyboard.press("/")
        page.keyboard.type("EVZ")
        page.keyboard.press("Enter")
        page.wait_for_url("**/fleet?**")
        assert urlsplit(page.url).query == "action=IMMEDIATE&q=EVZ"


def test_a_page_stays_while_the_service_does_not_answer(service: Web, browser: Browser) -> None:
    with tab(browser, service) as watched:
        page = watched.page
        page.goto("/fleet")
        fleet, notice = page.locator("#fleet a"), page.locator("#not-refreshed")
        shown = fleet.all_inner_texts()  # without times, which go on
        assert len(shown) > 1
        assert notice.is_hidden()
        page.route("**/fleet", lambda route: route.fulfill(status=503, body="<main>no</main>"))
        notice.wait_for(timeout=40_000)
        assert fleet.all_inner_texts() == shown
        page.unroute("**/fleet")
        notice.wait_for(state="hidden", timeout=40_000)
        assert fleet.all_inner_texts() == shown
