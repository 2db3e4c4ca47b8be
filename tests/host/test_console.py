"""The console in a real browser: every page on a desk and on a phone, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, Playwright, Request, Response, sync_playwright

from settings import ROOT
from tests.console_fleet import fill
from tests.host.programs import require
from tests.processes import KEY, READ_KEY, Web, environment, running_service
from tests.services import start_redis

pytestmark = pytest.mark.host

WIDTHS: Final = (1400, 390)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SCREENSHOTS: Final = ROOT / "build" / "screenshots"
# Of one page, without pictures and styles.
MOST_SCRIPT_BYTES: Final = 60_000
PAGES: Final = (
    *("/login", "/"),
    *("/models", "/models/failure", "/models/anomaly"),
    *("/system", "/system/keys", "/system/audit", "/system/webhooks"),
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
    with tab(browser, service) as watched:
        said: list[str] = []

        def note(dialog: Dialog) -> None:
            said.append(dialog.message)
            dialog.dismiss()

        watched.page.on("dialog", note)
        for path in PAGES:
            watched.page.goto(path)
            watched.page.wait_for_load_state("networkidle")
        assert said == []
        assert watched.page.locator("img").count() == 0
