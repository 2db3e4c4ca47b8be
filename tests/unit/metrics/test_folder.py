"""Programs of a host share a folder of metric files. Ended ones leave their totals, and no gauges."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from settings import ROOT

COUNT: Final = """
import metrics
metrics.EXPIRED_TASKS.inc({count})
metrics.STREAM_LAG.labels(topic="t").set({count})
metrics.SCORE_SECONDS.labels(kind="failure").observe(0.003)
"""
SCRAPE: Final = """
from prometheus_client import generate_latest
from metrics import exposition
from prometheus_client.registry import Collector
class Nothing(Collector):
    def collect(self): return []
print(generate_latest(exposition.{of}).decode())
"""


def run(folder: Path, code: str) -> str:
    """Run Python in a program of its own that shares the folder. Returns its output."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        start_new_session=True,
    )
    return ran.stdout


def value(text: str, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return None if found is None else float(found[1])


def test_a_program_shows_its_own_and_the_host_shows_all(tmp_path: Path) -> None:
    run(tmp_path, COUNT.format(count=3))
    own = run(tmp_path, COUNT.format(count=4) + SCRAPE.format(of="of_program()"))
    assert value(own, "ml_expired_tasks_total") == 4
    assert value(own, "process_resident_memory_bytes")
    host = run(tmp_path, COUNT.format(count=5) + SCRAPE.format(of="of_host(Nothing())"))
    assert value(host, "ml_expired_tasks_total") == 12
    assert value(host, 'ml_score_seconds_count{kind="failure"}') == 3
    assert value(host, "process_resident_memory_bytes") is None


def test_gauges_of_ended_processes_vanish_and_totals_stay(tmp_path: Path) -> None:
    run(tmp_path, COUNT.format(count=3))
    host = run(tmp_path, SCRAPE.format(of="of_host(Nothing())"))
    assert value(host, 'ml_stream_lag_records{topic="t"}') is None
    assert value(host, "ml_expired_tasks_total") == 3


def test_many_restarts_do_not_fill_the_folder(tmp_path: Path) -> None:
    for _ in range(6):
        run(tmp_path, COUNT.format(count=1))
    host = run(tmp_path, SCRAPE.format(of="of_host(Nothing())"))
    assert value(host, "ml_expired_tasks_total") == 6
    assert value(host, 'ml_score_seconds_bucket{kind="failure",le="0.005"}') == 6
    assert len(list(tmp_path.glob("program-*"))) == 1
    assert len(list((tmp_path / "ended").iterdir())) == 2


def test_children_count_into_the_folder_of_their_program(tmp_path: Path) -> None:
    fork = """
import metrics, os
if not os.fork():
    metrics.EXPIRED_TASKS.inc(2)
    os._exit(0)
os.wait()
"""
    text = run(tmp_path, fork + SCRAPE.format(of="of_program()"))
    assert value(text, "ml_expired_tasks_total") == 2


@pytest.mark.parametrize("of", ["of_program()", "of_host(Nothing())"])
def test_without_a_folder_a_process_shows_its_own(of: str, tmp_path: Path) -> None:
    code = "import os; del os.environ['PROMETHEUS_MULTIPROC_DIR']\n" + COUNT.format(count=2)
    text = run(tmp_path, code + SCRAPE.format(of=of))
    assert value(text, "ml_expired_tasks_total") == 2
    assert "python_info" not in text


def test_files_that_a_process_left_half_written_keep_no_other_from_starting(tmp_path: Path) -> None:
    run(tmp_path, COUNT.format(count=3))
    for file in tmp_path.glob("program-*/counter_*.db"):
        file.write_bytes(struct.pack("i", 1000) + b"\x40" * 96)
    text = run(tmp_path, COUNT.format(count=4) + SCRAPE.format(of="of_host(Nothing())"))
    assert value(text, "ml_expired_tasks_total") == 4
