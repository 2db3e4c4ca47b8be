"""Programs of a host share a folder of metric files. Ended ones leave their totals, and no gauges."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

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


HALF_WRITTEN: Final = struct.pack("i", 1000) + b"\x40" * 96


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(folder)}


def run(folder: Path, code: str) -> str:
    """Run Python in a program of its own that shares the folder. Returns its output."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(folder),
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
        file.write_bytes(HALF_WRITTEN)
    text = run(tmp_path, COUNT.format(count=4) + SCRAPE.format(of="of_host(Nothing())"))
    assert value(text, "ml_expired_tasks_total") == 4


# The first process of a container, as each container has one.
CONTAINER: Final = """
import os, socket
os.getpid = os.getpgrp = lambda: {pid}
socket.gethostname = lambda: "{name}"
"""
NO_PROCESS: Final = 2**22 + 1  # larger than the ids that Linux gives


class Running:
    """A program that lives until the end of the block."""

    def __init__(self, folder: Path, code: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code + "\nprint('ready', flush=True)\ninput()"],
            cwd=ROOT,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("\n", timeout=30)


def test_containers_with_equal_process_ids_do_not_share_files(tmp_path: Path) -> None:
    with Running(tmp_path, CONTAINER.format(name="one", pid=1) + COUNT.format(count=3)):
        other = CONTAINER.format(name="other", pid=1) + COUNT.format(count=4)
        assert value(run(tmp_path, other + SCRAPE.format(of="of_program()")), "ml_expired_tasks_total") == 4
        host = run(tmp_path, other + SCRAPE.format(of="of_host(Nothing())"))
        assert value(host, "ml_expired_tasks_total") == 3 + 4 + 4


def test_gauges_of_another_container_stay_as_long_as_it_lives(tmp_path: Path) -> None:
    """The id of its process says nothing here."""
    with Running(tmp_path, CONTAINER.format(name="one", pid=NO_PROCESS) + COUNT.format(count=3)):
        host = run(tmp_path, SCRAPE.format(of="of_host(Nothing())"))
        assert value(host, 'ml_stream_lag_records{topic="t"}') == 3
    host = run(tmp_path, SCRAPE.format(of="of_host(Nothing())"))
    assert value(host, 'ml_stream_lag_records{topic="t"}') is None
    assert value(host, "ml_expired_tasks_total") == 3


def test_a_container_that_is_started_again_with_the_same_ids_counts_on(tmp_path: Path) -> None:
    """Also if its last life left a file half written."""
    again = CONTAINER.format(name="one", pid=1) + COUNT.format(count=3)
    run(tmp_path, again)
    for file in tmp_path.glob("program-*/histogram_*.db"):
        file.write_bytes(HALF_WRITTEN)
    text = run(tmp_path, again + SCRAPE.format(of="of_host(Nothing())"))
    assert value(text, "ml_expired_tasks_total") == 6
    assert value(text, 'ml_score_seconds_count{kind="failure"}') == 1


def test_processes_that_were_replaced_leave_no_files(tmp_path: Path) -> None:
    fork = """
import metrics, os
for _ in range(20):
    if not os.fork():
        metrics.EXPIRED_TASKS.inc()
        metrics.STREAM_LAG.labels(topic="t").set(1)
        os._exit(0)
    os.wait()
"""
    count = "\nfrom metrics import folder; print('files', len(folder.files_of_program(folder.own_folder())))"
    text = run(tmp_path, fork + SCRAPE.format(of="of_program()") * 2 + count)
    assert re.findall(r"^ml_expired_tasks_total (\S+)$", text, re.MULTILINE) == ["20.0", "20.0"]
    assert value(text, 'ml_stream_lag_records{topic="t"}') is None
    # Counters, histograms and gauges of the one that lives, and the totals of the others.
    files = value(text, "files")
    assert files is not None
    assert 2 <= files <= 2 + len({"livesum", "livemin", "livemostrecent"}) + 2


@pytest.mark.parametrize("of", ["of_program()", "of_host(Nothing())"])
def test_a_file_that_is_half_written_costs_the_values_of_its_process_only(of: str, tmp_path: Path) -> None:
    spoil = f"""
import logging, os
from metrics import folder
logging.basicConfig(format="LOG %(message)s", stream=__import__("sys").stdout)
# The parent's id: it lives, and what it has written is never completed.
(folder.own_folder() / f"counter_{{os.getppid()}}.db").write_bytes({HALF_WRITTEN!r})
"""
    text = run(tmp_path, COUNT.format(count=3) + spoil + SCRAPE.format(of=of) * 2)
    assert re.findall(r"^ml_expired_tasks_total (\S+)$", text, re.MULTILINE) == ["3.0", "3.0"]
    assert len(re.findall(r"^LOG a file of metrics cannot be read", text, re.MULTILINE)) == 1


def test_damaged_totals_begin_anew(tmp_path: Path) -> None:
    run(tmp_path, COUNT.format(count=3))
    run(tmp_path, COUNT.format(count=3))
    (tmp_path / "ended" / "counter_0.db").write_bytes(HALF_WRITTEN)
    text = run(tmp_path, SCRAPE.format(of="of_host(Nothing())"))
    assert value(text, "ml_expired_tasks_total") == 3
    assert value(text, 'ml_score_seconds_count{kind="failure"}') == 2


def test_files_of_release_1_count_too(tmp_path: Path) -> None:
    """It writes into the shared folder itself."""
    run(tmp_path, COUNT.format(count=3))
    (program,) = tmp_path.glob("program-*")
    for file in program.glob("*.db"):
        file.rename(tmp_path / file.name)
    text = run(tmp_path, COUNT.format(count=1) + SCRAPE.format(of="of_host(Nothing())"))
    assert value(text, "ml_expired_tasks_total") == 4
    assert (
        value(text, 'ml_stream_lag_records{topic="t"}') == 1
    )  # the gauge of a process that has ended is left out
