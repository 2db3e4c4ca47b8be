"""The console in a real browser: every page on a desk and on a phone, in light and dark."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Response

from settings import ROOT
from tests.host.browser_tabs import assert_accessible, no_dialog, tab
from tests.processes import Web

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
            assert_accessible(page)
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


def test_hostile_text_of_a_charger_runs_nothing(service: Web, browser: Browser) -> None:
    with tab(browser, service) as watched, no_dialog(watched):
        for path in PAGES:
            watched.page.goto(path)
            watched.page.wait_for_load_state("networkidle")
