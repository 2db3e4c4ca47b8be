"""Tabs of a browser that notice everything that a console must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, Request

from tests.processes import KEY, Web


def assert_accessible(page: Page) -> None:
    """Hold the page against the rules of axe-core."""
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"


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
