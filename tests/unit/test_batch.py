"""The batch command's parts, without a service."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from batch.display import Display
from batch.formats import InputFormat, input_format, output_format
from batch.job_requests import Again, Job, Service
from batch.memory import MemoryFile, fingerprint
from batch.outcome import Exit, NotSucceeded, Refused, Unreachable
from batch.run import MOST_ROWS, Run, Wanted

TOTAL = 2 * MOST_ROWS + 10
HEADER = b'"row"\r\n'


@pytest.mark.parametrize(
    ("file", "named", "expected"),
    [
        ("fleet.csv", None, InputFormat("csv", gzipped=False)),
        ("a/fleet.2026.CSV.GZ", None, InputFormat("csv", gzipped=True)),
        ("fleet.jsonl", None, InputFormat("ndjson", gzipped=False)),
        ("-", "parquet", InputFormat("parquet", gzipped=False)),
        ("fleet.txt", "csv.gz", InputFormat("csv", gzipped=True)),
    ],
)
def test_what_is_sent_is_known_by_extension(file: str, named: str | None, expected: InputFormat) -> None:
    assert input_format(file, named) == expected


@pytest.mark.parametrize("file", ["fleet", "fleet.xlsx", "fleet.gz", "-", ".csv.d/fleet"])
def test_other_files_are_refused(file: str) -> None:
    with pytest.raises(Refused, match="--input-format"):
        input_format(file, None)
    with pytest.raises(Refused, match="--output-format"):
        output_format(file, None)


def test_a_gzipped_file_says_so() -> None:
    assert InputFormat("ndjson", gzipped=True).headers() == {
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
    }


def test_the_same_work_keeps_its_key_and_other_work_gets_another(tmp_path: Path) -> None:
    first = MemoryFile(tmp_path / "o.csv.job", "work")
    first.change(job_id="1")
    assert MemoryFile(tmp_path / "o.csv.job", "work").now == first.now
    other = MemoryFile(tmp_path / "o.csv.job", "other work")
    assert (other.now.job_id, other.now.key != first.now.key) == (None, True)
    again = MemoryFile(tmp_path / "o.csv.job", "work")
    again.forget()
    assert MemoryFile(tmp_path / "o.csv.job", "work").now.key not in (first.now.key, again.now.key)


def test_a_fingerprint_is_of_content_and_parameters(tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text("charger_id\n")
    prints = {fingerprint(file, "failure"), fingerprint(file, "all")}
    file.write_text("charger_id\nE\n")
    assert len(prints | {fingerprint(file, "failure")}) == 3


class PlayedService(Service):
    """A job that has ended, whose results come as CSV; `cuts` are rows at which a slice is cut, once each."""

    def __init__(self, *, failed: int = 0, status: str = "SUCCEEDED", cuts: tuple[int, ...] = ()) -> None:
        super().__init__(httpx.Client(), 0.0, lambda _text: None)
        self.cuts = set(cuts)
        self.asked: list[int] = []
        self.document: Job = {
            "job_id": "1",
            "status": status,
            "total": TOTAL,
            "done": TOTAL,
            "failed": failed,
            "finished_at": "2026-11-20T08:30:00.000Z",
            "eta_seconds": 0.0,
            "errors": [
                {"row": 7, "pointer": "/power", "detail": "Not a number.", "code": "type"},
                {"row": 9, "pointer": "", "detail": "Must be an object.", "code": "type"},
            ],
        }

    def submit(self, *_arguments: Any, **_named: Any) -> Job:
        return self.document

    def job(self, job_id: str) -> Job:
        return self.document

    def progress(self, job_id: str) -> Iterator[Job]:
        yield self.document

    def results(self, job_id: str, format_: str, *, cursor: int, limit: int, into: IO[bytes]) -> None:
        self.asked.append(cursor)
        into.write(HEADER)
        for row in range(cursor, min(cursor + limit, TOTAL)):
            if row in self.cuts:
                self.cuts.remove(row)
                into.write(b"1")
                raise Again("cut")
            into.write(b"%d\r\n" % row)


def run(service: PlayedService, folder: Path, *, patience_s: float = 0.0) -> Exit:
    out = folder / "o.csv"
    file = folder / "fleet.csv"
    file.touch()
    wanted = Wanted(file, InputFormat("csv", gzipped=False), "failure", out, "csv", patience_s)
    memory = MemoryFile(folder / "o.csv.job", "work")
    return Run(wanted, service, memory, Display(), io.BytesIO())()


EXPECTED = HEADER + b"".join(b"%d\r\n" % row for row in range(TOTAL))


def test_a_run_that_gave_up_while_fetching_goes_on_at_its_row(tmp_path: Path) -> None:
    broken = PlayedService(cuts=(MOST_ROWS + 100,))
    with pytest.raises(Unreachable):
        run(broken, tmp_path)
    assert not (tmp_path / "o.csv").exists()
    with (tmp_path / "o.csv.part").open("ab") as part:
        part.write(b"half a ro")  # what a killed process may leave
    service = PlayedService()
    assert run(service, tmp_path) is Exit.SCORED
    assert service.asked[0] == MOST_ROWS
    assert (tmp_path / "o.csv").read_bytes() == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "o.csv"]


def test_a_run_whose_unfinished_output_is_lost_fetches_all_again(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        run(PlayedService(cuts=(MOST_ROWS + 100,)), tmp_path)
    (tmp_path / "o.csv.part").unlink()
    run(PlayedService(), tmp_path)
    assert (tmp_path / "o.csv").read_bytes() == EXPECTED


def test_failed_rows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PlayedService(failed=2), tmp_path) is Exit.SOME_ROWS_FAILED
    said = capsys.readouterr().err
    assert f"{TOTAL - 2:,} rows scored, 2 failed" in said
    assert "row 7, /power: Not a number." in said
    assert "row 9, the row: Must be an object." in said


def test_a_job_without_a_scored_row_has_failed_but_its_results_are_there(tmp_path: Path) -> None:
    with pytest.raises(NotSucceeded, match="no row could be scored"):
        run(PlayedService(failed=TOTAL, status="FAILED"), tmp_path)
    assert (tmp_path / "o.csv").read_bytes() == EXPECTED
