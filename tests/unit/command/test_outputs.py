"""Where results are written: links, pipes and devices; and which of their fields."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest
from pyarrow import parquet

from evzone_ml_client.command.field_names import result_columns
from evzone_ml_client.command.outcome import Refused
from evzone_ml_client.downloads import Download, Saved, Slice, regular_file
from evzone_ml_client.formats import ResultsFormat
from evzone_ml_client.projection import project_csv, project_ndjson
from evzone_ml_client.schemas import Job
from tests.devices import FULL, full_device

JOB = cast(Job, {"job_id": "1", "finished_at": "2026-11-20T08:30:00.000Z", "status": "SUCCEEDED", "total": 2})
SLICES = (b"first\n", b"second\n")
RESULTS = b"first\nsecond\n"


def save(out: Path, *, start: Saved | None = None) -> None:
    """Write both slices as `MLClient.save_results` does."""
    download = Download(JOB, out, file_format="ndjson", columns=None, start=start, timeout_s=1.0)
    try:
        for number, content in enumerate(SLICES, start=1):
            download.append(Slice(content, number))
        download.close()
    finally:
        download.abandon()


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "results.ndjson", tmp_path / "latest.ndjson"
    link.symlink_to("elsewhere/results.ndjson")
    for _ in range(2):  # to a new file, and to one that is there
        save(link)
        assert (link.is_symlink(), target.read_bytes()) == (True, RESULTS)
        target.write_bytes(b"old")
    assert [path.name for path in target.parent.iterdir()] == ["results.ndjson"]


def test_a_reader_that_has_enough_ends_the_command_without_a_word(tmp_path: Path) -> None:
    """As in `evzone-ml batch list | head -1`."""
    readings = tmp_path / "fleet.csv"
    readings.write_text("charger_id,connector_status\nA,CHARGING\n")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "evzone_ml_client.command", "batch", "--check", str(readings)]
    try:
        ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    save(pipe, start=Saved(1, 6))  # of a pipe nothing can be resumed
    reader.join()
    assert read == [RESULTS]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes devices, and may replace them")
def test_a_device_is_written_into_and_stays_as_root_too(tmp_path: Path) -> None:
    full = full_device(tmp_path)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save(full)
    assert (full.stat().st_rdev, stat.S_ISCHR(full.stat().st_mode)) == (FULL, True)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_file_is_continued_where_it_is(tmp_path: Path, name: str) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.unit.command.test_outputs import save;"
        "sys.stdout.write('before\\n'); sys.stdout.flush(); save(Path(sys.argv[1])); print('after')"
    )
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", code, name], stdout=log, check=True)
    assert (tmp_path / "log").read_bytes() == b"before\n" + RESULTS + b"after\n"


def test_what_is_no_regular_file_is_told_from_one(tmp_path: Path) -> None:
    assert regular_file(tmp_path / "new") == (tmp_path / "new").resolve()
    assert [regular_file(Path(name)) for name in ("/dev/null", "/dev/fd/2", str(tmp_path))] == [None] * 3
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        regular_file(tmp_path / "loop")


ROW = {
    "row": 0,
    "charger_id": "E",
    "failure": {"failure_probability": 0.5, "horizons": {"1d": 0.1, "7d": 0.2}},
    "maintenance": {"urgency": "LOW"},
}


def test_fields_of_ndjson_are_chosen_by_dotted_names() -> None:
    content = "".join(json.dumps(row) + "\n" for row in (ROW, {"row": 1, "error": {"code": "type"}})).encode()
    names = ["charger_id", "failure.horizons.7d", "maintenance", "error.code"]
    assert [json.loads(line) for line in project_ndjson(content, names).splitlines()] == [
        {"charger_id": "E", "failure": {"horizons": {"7d": 0.2}}, "maintenance": {"urgency": "LOW"}},
        {"error": {"code": "type"}},
    ]


def test_columns_of_csv_come_in_the_order_in_which_they_are_named() -> None:
    content = b'"row","charger_id","horizons.1d","horizons.7d"\n0,"E, ""1""",0.1,0.2\n'
    assert project_csv(content, ["horizons", "charger_id"]) == (
        b'horizons.1d,horizons.7d,charger_id\n0.1,0.2,"E, ""1"""\n'
    )
    assert project_csv(content, ["row", "charger_id", "horizons"]) is content


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
def test_a_file_has_the_chosen_fields_though_the_service_sends_all(
    tmp_path: Path, file_format: ResultsFormat
) -> None:
    table = pa.table({"row": [0], "charger_id": ["E"], "horizons": [{"1d": 0.1, "7d": 0.2}]})
    written = io.BytesIO()
    parquet.write_table(table, written)
    content = {
        "csv": b'"row","charger_id","horizons.1d","horizons.7d"\n0,"E",0.1,0.2\n',
        "ndjson": json.dumps(table.to_pylist()[0]).encode() + b"\n",
        "parquet": written.getvalue(),
    }[file_format]
    out = tmp_path / f"o.{file_format}"
    columns = ["charger_id", "horizons.7d"]
    download = Download(JOB, out, file_format=None, columns=columns, start=None, timeout_s=1.0)
    download.append(Slice(content, 1))
    download.append(Slice(content, 2))
    download.close()
    expected = {"charger_id": "E", "horizons": {"7d": 0.2}}
    if file_format == "parquet":
        assert parquet.read_table(out).to_pylist() == [expected] * 2
    elif file_format == "ndjson":
        assert [json.loads(line) for line in out.read_text().splitlines()] == [expected] * 2
    else:
        assert out.read_text() == "charger_id,horizons.7d\nE,0.2\nE,0.2\n"


def test_columns_that_results_do_not_have_are_refused_before_anything_is_sent() -> None:
    assert result_columns("row, horizons.7d,error.code", "failure") == ["row", "horizons.7d", "error.code"]
    assert result_columns("failure.horizons.7d,anomaly", "all") == ["failure.horizons.7d", "anomaly"]
    for text, kind, said in (
        ("failure_probabilty", "failure", r"failure_probabilty \(failure_probability\?\)"),
        ("urgency", "failure", "urgency"),
        ("failure.urgency", "all", "failure.urgency"),
        (" , ", "failure", "names no field"),
    ):
        with pytest.raises(Refused, match=said):
            result_columns(text, kind)  # type: ignore[arg-type]  # a plain str
