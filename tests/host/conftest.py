"""A service with a small fleet, and a browser to look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.console_fleet import fill
from tests.host.programs import require
from tests.processes import Web, environment, running_service
from tests.services import start_redis


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
