"""Data flows one way: web and consumers -> tasks -> models -> readings. This reads the imports.

A room is a folder. Modules that put a whole process together stand above their rooms, under their own names.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from settings import ROOT

# Every room may import these; they import each other only downwards, in this order.
LEAVES = (
    "errors",
    "private_files",
    "keepalive",
    "metrics",
    "isolation",
    "settings",
    "tracing",
    "process",
    "admin_port",
)
# Those that are folders.
FOLDERS = ("metrics", "settings", "tracing")
SERVING = {"models", "models.features", "models.monitoring"}
STORES = {"readings", "tasks.storage", "tasks.messaging"}
# What each room may import, itself and the leaves apart.
MAY_IMPORT: dict[str, set[str]] = {
    "readings": set(),
    "models.features": {"readings"},
    "models": {"models.features", "readings"},
    "models.monitoring": {"models", "models.features", "readings"},
    "models.training": {*SERVING, "readings"},
    "models.simulation": {"models.features", "readings"},
    "models.evaluation": {*SERVING, "models.training", "models.simulation", "readings"},
    "models.__main__": {"models.commands"},
    "models.commands": {*SERVING, "models.training", "models.simulation", "models.evaluation", "readings"},
    "tasks.storage": {"models.features", "readings"},
    "tasks.messaging": {"tasks.storage", "readings"},
    "tasks.notify": STORES,
    "tasks.monitoring": {*SERVING, *STORES, "tasks.notify"},
    # The only module outside the workers that loads models (docs/adr/0017).
    "tasks.client.local_scorer": {"models", "tasks.messaging", "readings"},
    "tasks.client": {"tasks.client.local_scorer", "tasks.monitoring", *STORES},
    "tasks.jobs": {"tasks.monitoring", *STORES},
    "tasks.worker": {*SERVING, *STORES, "tasks.monitoring", "tasks.client", "tasks.jobs", "tasks.notify"},
    "tasks.app": {"tasks.worker"},
    "web.http": {*STORES, "tasks.client", "tasks.jobs", "tasks.monitoring", "tasks.notify"},
    "web.openapi": {"web.http", "readings", "tasks.jobs", "tasks.monitoring", "tasks.storage"}
    | {"tasks.notify"},
    "web.uploads": {"web.http", "readings", "tasks.jobs"},
    "web.downloads": {"readings", "tasks.jobs"},
    "web.api": {"web.http", "web.openapi", "web.uploads", "web.downloads", "readings"}
    | {"tasks.client", "tasks.jobs", "tasks.monitoring", "tasks.notify", "tasks.storage"},
    "web.console": {"web.api", "web.http", "web.openapi", "web.uploads", "readings", "tasks.jobs"}
    | {"tasks.monitoring", "tasks.notify", "tasks.storage"},
    "web": {
        "web.api",
        "web.console",
        "web.http",
        "web.openapi",
        "readings",
        "tasks.messaging",
        "tasks.notify",
    }
    | {"tasks.storage"},
    "consumers.kafka": {*STORES, "tasks.monitoring"},
    "consumers.predictions": {"consumers.kafka", "tasks.client", "tasks.notify", *STORES},
    "consumers.ocpp": {"consumers.kafka", "readings"},
    "consumers.replay": {"consumers.kafka", "readings", "tasks.storage"},
    "consumers": {"consumers.kafka", "consumers.predictions", "consumers.ocpp", "consumers.replay"}
    | {"tasks.client", "tasks.storage"},
    # The old name of a command of clients/python.
    "batch": set(),
}
ROOMS = {*MAY_IMPORT, *LEAVES, "tasks", "stack", "tests", "bench", "celeryconfig", "asgi", "wsgi"}
PACKAGES = ("readings", "models", "tasks", "web", "consumers", "batch")
# A person's command reads files of readings, with pyarrow; no serving process imports it.
READS_FILES = "consumers.replay.recording"
# Web and consumers send tasks by name and hold no model: they load none of these.
MODEL_LIBRARIES = {"pandas", "sklearn", "scipy", "matplotlib", "onnxruntime", "onnx"}
SAME_NAME_ALLOWED = {"__init__", "__main__", "app", "errors", "messages"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path): path
    for path in [
        *(path for package in (*PACKAGES, *FOLDERS) for path in (ROOT / package).rglob("*.py")),
        *(ROOT / f"{leaf}.py" for leaf in LEAVES if leaf not in FOLDERS),
        *(ROOT / f"{name}.py" for name in ("celeryconfig", "asgi", "wsgi")),
    ]
}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, those within its functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module
                for alias in node.names
            }
    return found


def room_of(module: str) -> str | None:
    """The longest room that the module is in, or is; None for other people's modules."""
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if name in ROOMS), None)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    files = [path for name, path in MODULES.items() if room_of(name) == room]
    assert files or room == "tasks"
    for path in files:
        imported = {found for name in imports(path) if (found := room_of(name))}
        assert imported <= {room, *LEAVES, *MAY_IMPORT[room]}, path


def test_the_rooms_make_no_circle() -> None:
    try:
        TopologicalSorter(MAY_IMPORT).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of rooms: {error.args[1]}")


def test_the_modules_make_no_circle() -> None:
    graph = {name: imports(path) & MODULES.keys() for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of modules: {error.args[1]}")


def test_a_leaf_imports_only_the_leaves_before_it() -> None:
    for place, leaf in enumerate(LEAVES):
        files = [path for name, path in MODULES.items() if room_of(name) == leaf]
        assert files
        for path in files:
            imported = {found for name in imports(path) if (found := room_of(name))}
            assert imported <= {leaf, *LEAVES[:place]}, path


def test_nothing_imports_the_settings_of_celery() -> None:
    assert not [path for path in MODULES.values() if "celeryconfig" in imports(path)]


def test_no_two_files_have_one_name() -> None:
    """A resource of the API may be called like its store, or like its command."""
    names = Counter(path.stem for name, path in MODULES.items() if room_of(name) != "web.api")
    twice = {name for name, files in names.items() if files > 1} - SAME_NAME_ALLOWED
    api = {path.stem for name, path in MODULES.items() if room_of(name) == "web.api"}
    stores = {path.stem for name, path in MODULES.items() if room_of(name) in ("tasks.storage", "web")}
    assert twice | (api & names.keys()) - stores - SAME_NAME_ALLOWED == set()


@pytest.mark.parametrize("package", ["web", "consumers"])
def test_web_and_consumers_load_neither_celery_nor_pandas_nor_tables(package: str) -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] != package:
            continue
        imported = imports(path)
        assert not {found.split(".")[0] for found in imported} & {"celery", *MODEL_LIBRARIES}, name
        assert name == READS_FILES or not {"readings.arrow", "readings.rows"} & imported, name


@pytest.mark.parametrize("module", ["web.app", "consumers.kafka.loop"])
def test_a_process_that_asks_for_scores_loads_no_model_library(module: str) -> None:
    code = (
        f"import sys, {module}; print([name for name in {sorted(MODEL_LIBRARIES)!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


@pytest.mark.parametrize("room", ["consumers.kafka", "consumers.predictions", "consumers.replay"])
def test_the_scoring_consumer_knows_nothing_of_ocpp(room: str) -> None:
    """Only `consumers/processes.py`, which puts the two consumers together, knows both."""
    assert "consumers.ocpp" not in MAY_IMPORT[room]


def arrows() -> dict[str, set[str]]:
    """The rooms that each room really imports, leaves apart, those with the fewest first."""
    found: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        room = room_of(name) or name
        imported = {target for each in imports(path) if (target := room_of(each))}
        found.setdefault(room, set()).update(imported - {room, *LEAVES})
    return dict(sorted(found.items(), key=lambda item: (len(item[1]), item[0])))


if __name__ == "__main__":
    for importing, rooms in arrows().items():
        print(f"{importing:24} {' '.join(sorted(rooms))}")  # noqa: T201 - for a person


def test_no_test_imports_another() -> None:
    """What tests share stands in modules of its own."""
    shared = re.compile(r"^\s*(?:from|import) tests\.[\w.]*\b(?:test_\w+|conftest)\b", re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "tests").rglob("*.py")
        for line in shared.findall(path.read_text())
    ]
    assert found == []
