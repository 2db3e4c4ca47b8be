"""pyproject.toml has the version. The clients, which are released with the service, have the same."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Final

from evzone_ml_client import __version__
from settings import ROOT, SERVICE, VERSION

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_service_states_the_name_and_version_of_the_project() -> None:
    assert (PROJECT["name"], PROJECT["version"]) == (SERVICE, VERSION)


def test_the_python_client_has_the_version_of_the_service() -> None:
    assert __version__ == PROJECT["version"]


def test_the_nestjs_client_has_the_version_of_the_service() -> None:
    folder = ROOT / "clients" / "nestjs"
    package = json.loads((folder / "package.json").read_text())
    lock = json.loads((folder / "package-lock.json").read_text())
    assert {package["version"], lock["version"], lock["packages"][""]["version"]} == {PROJECT["version"]}


def test_the_page_of_the_api_shows_the_version_of_the_service() -> None:
    shown = re.findall(r'"version": "(\d+\.\d+\.\d+)"', (ROOT / "docs" / "http.md").read_text())
    assert set(shown) == {PROJECT["version"]}
