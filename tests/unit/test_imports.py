"""Data flows one way: web and consumers -> tasks -> models. This reads the imports and keeps it so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

LEAVES = {"errors", "settings", "metrics", "process"}
MAY_IMPORT = {
    "readings": {"readings", *LEAVES},
    "models": {"models", "readings", *LEAVES},
    "tasks": {"tasks", "models", "readings", "celeryconfig", *LEAVES},
    "web": {"web", "tasks", "readings", *LEAVES},
    "consumers": {"consumers", "tasks", "readings", *LEAVES},
    # A client knows the service by its HTTP contract alone.
    "batch": {"batch", "errors", "settings"},
}
OURS = {*MAY_IMPORT, *LEAVES, "celeryconfig", "stack", "tests", "asgi", "wsgi"}
# The doors send tasks by name and hold no model: they import none of these, nor what would.
NOT_AT_THE_DOORS = {"celery", "pandas", "sklearn", "onnxruntime", "skl2onnx", "onnx"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    for path in (ROOT / package).glob("**/*.py"):
        ours = {name.split(".")[0] for name in imports(path)} & OURS
        assert ours <= MAY_IMPORT[package], f"{path.name} imports {ours - MAY_IMPORT[package]}"


# A person's command reads files of readings, with pyarrow; no serving process imports it.
READS_FILES = "recording.py"
THE_READING = {"readings.reading", "readings.schema", "readings.parsing"}


@pytest.mark.parametrize("package", ["web", "consumers"])
def test_the_doors_know_of_models_only_the_reading(package: str) -> None:
    for path in (ROOT / package).glob("**/*.py"):
        names = imports(path)
        assert not {name.split(".")[0] for name in names} & NOT_AT_THE_DOORS, path.name
        modules = {name for name in names if name.split(".")[0] == "readings"}
        allowed = THE_READING | {"readings.arrow"} if path.name == READS_FILES else THE_READING
        assert modules <= allowed, f"{path.name} imports {modules}"


@pytest.mark.parametrize("module", ["web.app", "consumers.kafka.loop"])
def test_a_door_loads_no_model_library(module: str) -> None:
    heavy = sorted(NOT_AT_THE_DOORS - {"celery"})
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def test_the_scoring_consumer_knows_nothing_of_ocpp() -> None:
    """Only what puts the two services together knows both."""
    for room in ("kafka", "predictions", "replay"):
        for path in (ROOT / "consumers" / room).glob("*.py"):
            assert not any(name.startswith("consumers.ocpp") for name in imports(path)), path.name
