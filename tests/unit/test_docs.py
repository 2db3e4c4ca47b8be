"""Links, file names, metrics and error codes in the documentation are true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from readings.reading import BOUNDS
from readings.schema import FIELDS
from settings import ROOT
from web.http.errors import CODE_BY_STATUS, STATUS_BY_ERROR

DOCS: Final = ROOT / "docs"
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "adr").glob("*.md")),
]
INDEX: Final = DOCS / "index.md"
MAX_README_LINES: Final = 250
# Made by commands, and not in the repository.
MADE: Final = (".venv", ".env", "var", "build")
FILE_ENDINGS: Final = "py|md|svg|toml|yaml|json|txt|in|sh|ts|mjs|html|csv|gz|onnx|lua|pyi|example"
SOURCES: Final = ("*.py", "*.ts")
# Other people's code, or made by a program.
NOT_LISTED: Final = {"__init__.py", "openapi.ts"}


def prose(page: Path) -> str:
    """The page without its code blocks, which hold what people type and read."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)}


def links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each link that stays in the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    parts = [link.partition("#") for link in found if not re.match(r"[a-z]+:", link)]
    return [(path, anchor) for path, _, anchor in parts]


def paths(page: Path) -> Iterator[str]:
    """What stands in backticks and looks like a file or folder of the repository."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for text in re.findall(r"`([^`\n]+)`", prose(page)):
        head, slash, _ = text.partition("/")
        if not re.fullmatch(r"[\w.\-/]+", text) or head in MADE:
            continue
        if (slash and head in folders) or re.fullmatch(rf"[\w.\-]+/[\w.\-/]+\.(?:{FILE_ENDINGS})", text):
            yield text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    assert [path for path in paths(page) if not (ROOT / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_the_index_lists_every_page() -> None:
    listed = {(INDEX.parent / path).resolve() for path, _ in links(INDEX)}
    assert {path for path in DOCS.rglob("*.md") if path != INDEX} <= listed


def listed_files() -> dict[str, set[str]]:
    """The files of each folder by the index: sections with a folder as heading, a file a row."""
    sections = re.split(r"^### ", INDEX.read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        heading = section.partition("\n")[0]
        folder = re.match(r"`([\w.\-/]+)/`", heading)
        if folder or heading == "In the root":
            found[folder[1] if folder else "."] = set(
                re.findall(r"^\| `([\w.\-]+)` \|", section, re.MULTILINE)
            )
    return found


LISTED: Final = listed_files()


@pytest.mark.parametrize("folder", sorted(LISTED))
def test_the_index_lists_the_files_of_a_folder(folder: str) -> None:
    files = {path.name for pattern in SOURCES for path in (ROOT / folder).glob(pattern)}
    assert LISTED[folder] == files - NOT_LISTED


def test_the_index_has_every_folder_of_code() -> None:
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests",)]
    folders = {
        path.parent.relative_to(ROOT)
        for package in packages
        for path in package.rglob("*.py")
        if path.name not in NOT_LISTED and not {"rivals", "node_modules"} & set(path.parts)
    }
    assert {str(folder) for folder in folders} <= LISTED.keys()


def test_the_http_page_names_every_field_of_a_reading_with_its_bounds() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", (DOCS / "http.md").read_text(), re.MULTILINE))
    assert FIELDS.keys() <= rows.keys()
    for name, (low, high) in BOUNDS.items():
        assert f"{low:,.0f} to {high:,.0f}" in rows[name]


def test_the_http_page_names_every_error_code() -> None:
    page = (DOCS / "http.md").read_text()
    codes = {error.code for error in STATUS_BY_ERROR} | set(CODE_BY_STATUS.values())
    assert {code for code in codes if f"`{code}`" not in page} == set()
