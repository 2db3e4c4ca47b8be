"""Copies of the committed versions, for tests that add, change or damage some."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from settings import ROOT


def copied_versions(parent: Path) -> Path:
    """A MODEL_DIR in `parent` that a test may change."""
    folder = parent / "versions"
    shutil.copytree(ROOT / "models" / "versions", folder)
    return folder


def copy_version(folder: Path, name: str, *, without: str = "", **horizon: float) -> None:
    """The active version of a kind's `folder` under another name.

    Its manifest lacks the field `without`, and in each horizon the named numbers are changed.
    """
    active = (folder / "ACTIVE").read_text().strip()
    shutil.copytree(folder / active, folder / name)
    path = folder / name / "manifest.json"
    manifest = orjson.loads(path.read_bytes()) | {"version": name}
    manifest.pop(without, None)
    if horizon:
        manifest["horizons"] = {key: value | horizon for key, value in manifest["horizons"].items()}
    path.write_bytes(orjson.dumps(manifest))


def damage(version: Path) -> None:
    """Change the last byte of the version's network, so that its checksum differs."""
    onnx = next(version.glob("*.onnx"))
    onnx.write_bytes(onnx.read_bytes()[:-1] + b"\x00")
