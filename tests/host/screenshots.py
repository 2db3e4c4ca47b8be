"""`python -m tests.host.screenshots`: the pictures of the docs, from a running service after `make demo`.

They are compressed to few colours: a page has no more, and the repository keeps every version of a picture.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from settings import ROOT, load_or_exit
from stack.local_api import LocalApi

TENANT: Final = "demo"
COLOURS: Final = 160
DESK: Final = (1400, 900)
PHONE: Final = (390, 844)


class Picture(NamedTuple):
    """A picture: its name, the page, the window, and whether it is dark."""

    name: str
    path: str
    window: tuple[int, int] = DESK
    is_dark: bool = False


def main(folder: Path) -> int:
    """Take all pictures. Blocks for some seconds. Returns the exit code."""
    settings = load_or_exit()
    api = LocalApi(settings)
    key = max(settings.api_keys, key=lambda entry: len(entry.roles)).key
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for picture in PICTURES:
            width, height = picture.window
            profile = chromium.new_context(
                base_url=api.url,
                viewport={"width": width, "height": height},
                color_scheme="dark" if picture.is_dark else "light",
                device_scale_factor=1,
                locale="en-GB",
            )
            page = profile.new_page()
            _log_in(page, key)
            page.goto(picture.path)
            if picture.name == "charger":  # the riskiest one
                page.locator("tbody a.id").first.click()
            page.wait_for_load_state("networkidle")
            taken = Image.open(io.BytesIO(page.screenshot()))
            file = folder / f"{picture.name}.png"
            taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)
            sys.stdout.write(f"{file.relative_to(ROOT)}  {file.stat().st_size // 1000} kB\n")
            profile.close()
        chromium.close()
    return 0


def _log_in(page: Page, key: str) -> None:
    page.goto("/login")
    page.fill("input[name=key]", key)
    page.click("main button")
    page.fill("input[name=tenant]", TENANT)
    page.click("text=Show tenant")
    page.wait_for_load_state("networkidle")


PICTURES: Final = (
    Picture("today", "/"),
    Picture("fleet", "/fleet"),
    Picture("charger", "/fleet"),
    Picture("alerts", "/alerts", is_dark=True),
    Picture("model", "/models/failure", is_dark=True),
    Picture("today-phone", "/", window=PHONE),
)


if __name__ == "__main__":
    sys.exit(main(ROOT / "docs" / "pictures"))
