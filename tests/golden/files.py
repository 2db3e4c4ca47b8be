"""Golden files and the list of intended changes, on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.golden.compare import Change, split_prose

FOLDER: Final = Path(__file__).resolve().parent
PROSE: Final = "prose"
CHANGED: Final = FOLDER / "changed.json"


def read(area: str, folder: Path = FOLDER) -> dict[str, Any]:
    """A golden file."""
    found: dict[str, Any] = json.loads((folder / f"{area}.json").read_text())
    return found


def write(area: str, document: dict[str, Any], folder: Path = FOLDER) -> None:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / f"{area}.json").write_text(text + "\n")


def write_all(observed: dict[str, dict[str, Any]], folder: Path = FOLDER) -> None:
    """All areas, and the prose out of them."""
    prose = {}
    for area, document in observed.items():
        plain, prose[area] = split_prose(document)
        write(area, plain, folder)
    write(PROSE, prose, folder)


def changes() -> list[Change]:
    """The intended changes, in their order."""
    return [Change(**each) for each in json.loads(CHANGED.read_text())]
