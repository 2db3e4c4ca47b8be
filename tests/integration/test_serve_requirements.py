"""Web, worker and consumer run on the packages of requirements-serve.txt and no others."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from pyarrow import parquet

from settings import ROOT
from stack.install import lock_digest
from tests.batches import CSV, PARQUET, ended, job_of, parquet_of, post_file
from tests.integration.stream_bench import stream_bench
from tests.processes import Web, environment, running_service
from tests.readings import metrics, request
from tests.services import start_kafka, start_redis

# The first test downloads and installs 400 MB, unless an earlier run has.
pytestmark = pytest.mark.timeout(400)
LOCK: Final = ROOT / "requirements-serve.txt"
ENVIRONMENT: Final = ROOT / "build" / "serve-environment"


@pytest.fixture(scope="module")
def bin_folder() -> Path:
    """The programs of a virtual environment with nothing but the lock in it; kept until the lock changes."""
    python, mark = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed"
    wanted = lock_digest(str(LOCK))
    if not mark.is_file() or mark.read_text() != wanted:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        run("-m", "venv", "--without-pip", str(ENVIRONMENT))
        pip = ("-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check")
        flags = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile")
        run(*pip, "install", *flags, "--requirement", str(LOCK))
        run(*pip, "check")
        mark.write_text(wanted)
    return python.parent


def run(*arguments: str) -> None:
    """Run this environment's Python."""
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def web(bin_folder: Path) -> Iterator[Web]:
    with start_redis() as redis:
        # Packages are compiled when first imported, and kept so for the processes that start later.
        env = environment(redis.url, PYTHONDONTWRITEBYTECODE="")
        with running_service(env, bin_folder=bin_folder) as web:
            yield web


@pytest.mark.parametrize("kind", ["failure", "maintenance", "anomaly"])
def test_a_single_prediction_is_scored(web: Web, kind: str) -> None:
    answer = web.client.post(f"/api/v1/predictions/{kind}", json=request())
    assert answer.status_code == 200, answer.text


def test_a_file_is_scored_and_its_results_are_given_as_files(web: Web) -> None:
    ids = [f"EVZ-{number}" for number in range(100)]
    file = parquet_of(pa.table({"charger_id": ids, "connector_status": ["CHARGING"] * len(ids)}))
    job_id = job_of(post_file(web.client, file, PARQUET))
    assert ended(web.client, job_id)["status"] == "SUCCEEDED"
    address = f"/api/v1/jobs/{job_id}/results"
    table = parquet.read_table(io.BytesIO(web.client.get(address, headers={"Accept": PARQUET}).content))
    assert table["charger_id"].to_pylist() == ids
    lines = web.client.get(address, headers={"Accept": CSV}).text.splitlines()
    assert len(lines) == 1 + len(ids)


def test_a_record_is_scored(bin_folder: Path, tmp_path: Path) -> None:
    python = str(bin_folder / "python")
    with (
        start_redis() as redis,
        start_kafka() as kafka,
        stream_bench(redis, kafka, tmp_path, python=python) as bench,
    ):
        bench.start_worker()
        bench.start_consumer()
        (good, bad) = bench.produce(metrics(), b"{")
        bench.read(until=2, timeout_s=60)
        assert (set(bench.predictions()), set(bench.dead_letters())) == ({good}, {bad})
