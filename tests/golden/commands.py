"""Commands for a person: options, exit codes, output, and the files that they write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from settings import ROOT
from tests.golden.answers import csv_of
from tests.golden.http_batches import CSV_FILE
from tests.golden.model_folder import ACTIVE, DAMAGED, SECOND
from tests.golden.readings import HEALTHY

Document = dict[str, Any]
PASSING: Final = re.compile(r"\d{4}-\d\d-\d\d|\{\"timestamp\": |(?:Uploading|Scoring|Fetching): ")
MODULES: Final = ("models", "consumers", "batch", "stack")
GOOD_CSV: Final = b"charger_id,connector_status,temperature\nGOLD-1,Charging,71\nGOLD-2,AVAILABLE,24.5\n"
BAD_CSV: Final = b"charger_id,connector_status\nGOLD-1,BURNING\n"
FILES: Final = {
    "good.csv": GOOD_CSV,
    "mixed.csv": CSV_FILE,
    "bad.csv": BAD_CSV,
    "timed.csv": b"charger_id,connector_status,timestamp\nGOLD-1,Charging,2024-03-01T08:30:00Z\n",
    "one.ndjson": json.dumps(HEALTHY).encode(),
    "no_columns.csv": b"charger_id,power\nGOLD-1,1\n",
}


class Commands:
    """Runs commands in one environment and keeps what came of them by name."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = dict(env)
        self._folder = folder
        self.recorded: Document = {}
        for name, content in FILES.items():
            (folder / name).write_bytes(content)

    def run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run `python -m …` to its end; words that name a file of `FILES` or begin with `@` are paths."""
        words = [self._word(word) for word in arguments]
        ran = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**self._env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        self.recorded[name] = {
            "command": " ".join(arguments),
            "exit": ran.returncode,
            "stdout": ran.stdout,
            "stderr": _errors(ran.stderr),
        }

    def parser(self, module: str) -> None:
        """Keep the options of `python -m module`."""
        self.run(f"options of {module}", "tests.golden.parsers", module)
        ran = self.recorded[f"options of {module}"]
        self.recorded[f"options of {module}"] = {"exit": ran["exit"], "parser": json.loads(ran["stdout"])}

    def file(self, name: str) -> Path:
        return self._folder / name

    def _word(self, word: str) -> str:
        return str(self._folder / word.removeprefix("@")) if word in FILES or word.startswith("@") else word


def _errors(text: str) -> str:
    """Lines for a person. Those of a log, which begin with the time, and of progress depend on the moment."""
    return "\n".join(line for line in text.splitlines() if line and not PASSING.match(line))


def without_service(commands: Commands) -> None:
    """Options, wrong usage, settings, model folder, simulation: nothing else has to run. Two at a time."""
    with ThreadPoolExecutor(2) as threads:
        for module in MODULES:
            threads.submit(commands.parser, module)
        steps = [*_usage(), *_models()]
        done = [threads.submit(commands.run, name, *words, env=env) for name, words, env in steps]
        for each in done:
            each.result()
    commands.recorded["models simulate"]["files"] = dict(_tables(commands.file("fleet")))


Step = tuple[str, tuple[str, ...], dict[str, str] | None]


def _usage() -> Iterator[Step]:
    yield "models without a command", ("models",), None
    yield "models unknown command", ("models", "nothing"), None
    yield "consumers unknown command", ("consumers", "nothing"), None
    yield "stack without a command", ("stack",), None
    yield "batch without arguments", ("batch",), None
    yield "batch unknown extension", ("batch", "readings.txt", "--out", "@x.csv"), None
    yield (
        "batch unreachable",
        ("batch", "good.csv", "--out", "@u.csv", "--patience", "0.1", "--url", "http://127.0.0.1:1"),
        None,
    )
    yield "batch missing file", ("batch", "@nothing.csv", "--out", "@m.csv"), None
    wrong = {"PORT": "abc", "ML_SYNC_TIMEOUT": "0", "REDIS_URL": "http://x", "KAFKA_TOPIC_METRICS": "a b"}
    yield "consumers with wrong settings", ("consumers",), wrong
    yield (
        "production with example keys",
        ("consumers",),
        # A checkout whose service has run has an .env with a password of Flower.
        {"ENVIRONMENT": "production", "ML_SERVICE_API_KEY": "change-me", "FLOWER_BASIC_AUTH": ""},
    )
    yield "worker with wrong settings", ("celery", "-A", "tasks.app", "worker"), {"LOG_LEVEL": "LOUD"}


def _models() -> Iterator[Step]:
    folder = ("--model-dir", "@models")
    yield "models list", ("models", "list", *folder), None
    yield "models verify", ("models", "verify", *folder, "failure"), None
    yield "models verify damaged", ("models", "verify", *folder, "failure", DAMAGED), None
    yield "models verify unknown", ("models", "verify", *folder, "failure", "nope"), None
    yield "models activate unknown", ("models", "activate", *folder, "failure", "nope"), None
    yield "models rollback without previous", ("models", "rollback", *folder, "anomaly"), None
    yield "models shadow active", ("models", "shadow", *folder, "failure", ACTIVE), None
    yield "models simulate", ("models", "simulate", "--chargers", "2", "--days", "3", "--out", "@fleet"), None


def with_models(commands: Commands) -> None:
    """What changes a model folder, in order."""
    folder = ("--model-dir", "@switched")
    commands.run("models activate", "models", "activate", *folder, "failure", SECOND)
    commands.run("models rollback", "models", "rollback", *folder, "failure")
    commands.run("models shadow", "models", "shadow", *folder, "failure", SECOND)
    commands.run("models shadow cleared", "models", "shadow", *folder, "failure", "--clear")
    written = sorted(path.name for path in (commands.file("switched") / "failure").iterdir())
    commands.recorded["models shadow cleared"]["files"] = written


def with_service(commands: Commands, url: str) -> None:
    """`python -m batch` against a running service."""
    where = ("--url", url)
    commands.run("batch csv", "batch", "good.csv", "--out", "@good.out.csv", *where)
    commands.recorded["batch csv"]["results"] = csv_of(commands.file("good.out.csv").read_bytes())["columns"]
    commands.run(
        "batch some rows failed", "batch", "mixed.csv", "--out", "@mixed.ndjson", "--tenant", "acme", *where
    )
    commands.run("batch all rows failed", "batch", "bad.csv", "--out", "@bad.out.csv", *where)
    commands.run("batch refused", "batch", "no_columns.csv", "--out", "@refused.csv", *where)
    commands.run(
        "batch wrong key",
        "batch",
        "good.csv",
        "--out",
        "@key.csv",
        *where,
        env={"ML_SERVICE_API_KEY": "wrong"},
    )
    commands.run(
        "batch to stdout",
        "batch",
        "one.ndjson",
        "--kind",
        "all",
        "--out",
        "-",
        "--output-format",
        "csv",
        *where,
    )
    table = csv_of(commands.recorded["batch to stdout"].pop("stdout").encode())
    commands.recorded["batch to stdout"]["columns"] = table["columns"]


def _tables(folder: Path) -> Iterator[tuple[str, Document]]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".csv":
            header, *rows = path.read_text().splitlines()
            yield path.name, {"rows": len(rows), "header": header, "first": rows[:1]}
            continue
        if path.suffix != ".parquet":
            yield path.name, {"keys": sorted(json.loads(path.read_text()))}
            continue
        table = pq.read_table(path)
        yield (
            path.name,
            {
                "rows": table.num_rows,
                "schema": {field.name: str(field.type) for field in table.schema},
                "first": json.loads(json.dumps(table.slice(0, 1).to_pylist(), default=str)),
            },
        )
