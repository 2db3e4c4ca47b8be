"""The licence is the same wherever it is stated."""

from __future__ import annotations

import json
import tomllib
from xml.etree import ElementTree

import pytest

from settings import ROOT

LICENCE = "Apache-2.0"


@pytest.mark.parametrize("folder", ["clients/python", "clients/nestjs"])
def test_a_published_package_carries_the_licence(folder: str) -> None:
    assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("path", ["pyproject.toml", "clients/python/pyproject.toml"])
def test_python_manifests_name_the_licence(path: str) -> None:
    project = tomllib.loads((ROOT / path).read_text())["project"]
    assert (project["license"], project["license-files"]) == (LICENCE, ["LICENSE"])


def test_npm_manifests_name_the_licence() -> None:
    package = json.loads((ROOT / "clients/nestjs/package.json").read_text())
    lock = json.loads((ROOT / "clients/nestjs/package-lock.json").read_text())
    assert package["license"] == lock["packages"][""]["license"] == LICENCE


def test_the_maven_manifest_names_the_licence() -> None:
    pom = ElementTree.parse(ROOT / "tests/kafka/pom.xml")  # noqa: S314 - our own file
    found = pom.findall("{*}licenses/{*}license/{*}name")
    assert [name.text for name in found] == [LICENCE]
