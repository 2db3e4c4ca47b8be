"""A model folder with more than the committed versions: a second one, and one that is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from tests.processes import settings_for

ACTIVE: Final = "simulated-3"
SECOND: Final = "second"
DAMAGED: Final = "damaged"


def make(folder: Path) -> Path:
    """Copy the committed versions to `folder` and add two of the failure model."""
    shutil.copytree(settings_for("redis://127.0.0.1:1/0").model_dir, folder)
    failure = folder / "failure"
    for version in (SECOND, DAMAGED):
        shutil.copytree(failure / ACTIVE, failure / version)
        manifest = failure / version / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version}))
    with (failure / DAMAGED / "model.onnx").open("ab") as model:
        model.write(b"\0")
    return folder
