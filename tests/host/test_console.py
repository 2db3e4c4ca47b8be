"""The console in a real browser: every page on a desk and on a phone, in light and dark."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, Playwright, Request, Response, sync_playwright

from readings.reading import epoch_rfc3339
from settings import ROOT
from tests.console_fleet import HOSTILE, fill
from tests.host.programs import require
from tests.processes import KEY, READ_KEY, Web, environment, running_service
from tests.readings import metrics
from tests.services import start_redis

pytestmark = pytest.mark.host

WIDTHS: Final = (1400, 390)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SCREENSHOTS: Final = ROOT / "build" / "screenshots"
# Of an alert that `fill` records.
ALERT_ID: Final = hashlib.sha256(b"None EVZ-0001").hexdigest()[:24]
# Of one page, without pictures and styles.
MOST_SCRIPT_BYTES: Final = 60_000
PAGES: Final = (
    *("/login", "/"),
    *("/alerts", "/alerts?state=all", f"/alerts/{ALERT_ID}", "/jobs"),
    *("/models", "/models/failure", "/models/anomaly"),
    *("/system", "/system/keys", "/system/audit", "/system/webhooks"),
    *("/fleet", "/fleet?action=IMMEDIATE&q=evz&site=SITE-NORTH", "/sites"),
    *("/chargers/EVZ-0001", "/chargers/EVZ-0002"),
)


@pytest.fixture(scope="module")
def service() -> Iterator[Web]:
    with start_redis() as redis, running_service(environment(redis.url, ML_DEGRADED_SCORING="true")) as web:
        fill(web.client, redis.url)
        yield web


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(
        executable_path=require("chromium", "chromium"), args=["--no-sandbox"]
    )
    yield chromium
    chromium.close()


class Watched:
    """A tab, and everything in it that a console must not do."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self._origin = urlsplit(origin).netloc
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("request", self._check_origin)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(text)

    def _check_origin(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._origin:
            self.problems.append(f"asks another origin: {request.url}")


@contextmanager
def tab(browser: Browser, web: Web, *, key: str | None = KEY, **context: Any) -> Iterator[Watched]:
    """A tab of a new browser profile, logged in unless `key` is None."""
    profile = browser.new_context(base_url=web.url, **context)
    try:
        watched = Watched(profile.new_page(), web.url)
        if key is not None:
            watched.page.goto("/login")
            watched.page.fill("input[name=key]", key)
            watched.page.click("main button")
            watched.page.wait_for_url("**/")
        yield watched
    finally:
        profile.close()


@contextmanager
def no_dialog(watched: Watched) -> Iterator[None]:
    """A block in which no page opens a dialog or has a picture: hostile text would try both."""
    said: list[str] = []

    def note(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    watched.page.on("dialog", note)
    yield
    assert said == []
    assert watched.page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_whole_and_accessible(
    service: Web, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    with tab(browser, service, viewport={"width": width, "height": 900}, color_scheme=scheme) as watched:
        for path in PAGES:
            page = watched.page
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.locator("h1").count() == 1, path
            # Tables scroll within themselves.
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"\W+", "-", path).strip("-") or "today"
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
            assert watched.problems == [], path


def test_the_first_page_has_little_script(service: Web, browser: Browser) -> None:
    with tab(browser, service) as watched:
        sizes: list[int] = []

        def weigh(answer: Response) -> None:
            if urlsplit(answer.url).path.endswith(".js"):
                sizes.append(len(answer.body()))

        watched.page.on("response", weigh)
        watched.page.goto("/")
        watched.page.wait_for_load_state("networkidle")
        assert sizes
        assert sum(sizes) <= MOST_SCRIPT_BYTES


def test_pages_can_be_read_without_a_script(service: Web, browser: Browser) -> None:
    with tab(browser, service, java_script_enabled=False) as watched:
        watched.page.goto("/")
        assert watched.page.get_by_role("link", name="EVZ-0001").first.is_visible()
        assert re.fullmatch(r"[\d-]{10} [\d:]{5} UTC", watched.page.locator("time").first.inner_text())
        watched.page.goto("/alerts")
        watched.page.get_by_role("link", name="Failure of EVZ-0001").click()
        watched.page.get_by_role("textbox", name="Note (optional)").fill("on my way")
        watched.page.get_by_role("button", name="Acknowledge").click()
        assert watched.page.get_by_text("Acknowledged: on my way").is_visible()
        watched.page.goto("/jobs")
        assert watched.page.get_by_text("Sending a file from this page needs JavaScript.").is_visible()
        assert watched.page.locator("#upload").is_hidden()


def test_times_are_in_the_zone_of_the_viewer(service: Web, browser: Browser) -> None:
    with tab(browser, service, timezone_id="Asia/Tokyo", locale="en-GB") as watched:
        shown = watched.page.locator("time").first
        assert shown.inner_text() == "1 hour ago"
        assert re.fullmatch(r"[\d-]{10} [\d:]{8} UTC", shown.get_attribute("title") or "")


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


def test_hostile_text_of_a_charger_runs_nothing(service: Web, browser: Browser) -> None:
    with tab(browser, service) as watched, no_dialog(watched):
        for path in PAGES:
            watched.page.goto(path)
            watched.page.wait_for_load_state("networkidle")


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
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
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
    rows = [{"charger_id": f"EVZ-{n}", "connector_status": "CHARGING"} for n in range(30_000)]
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
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
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
