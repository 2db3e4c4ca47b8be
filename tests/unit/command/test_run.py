"""The batch command's parts, without a service."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from evzone_ml_client import (
    JobEvent,
    MLClient,
    NotFound,
    RequestRejected,
    Retry,
    Saved,
    ServiceUnavailable,
    Settings,
)
from evzone_ml_client.command.display import Display
from evzone_ml_client.command.failures import Outages, outage, refusal
from evzone_ml_client.command.memory import MemoryFile, fingerprint
from evzone_ml_client.command.outcome import Exit, NotSucceeded, Refused
from evzone_ml_client.command.run import NOT_STORED, STORED, Run, Wanted
from evzone_ml_client.schemas import Job, Problem

TOTAL = 100
URL = "http://ml:8000"


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


def problem(code: str, *errors: tuple[str, str]) -> Problem:
    named = [{"pointer": pointer, "detail": detail, "code": "type"} for pointer, detail in errors]
    return cast(Problem, {"code": code, "detail": "Wrong.", "request_id": "r-1", "errors": named})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RequestRejected(422, problem("invalid"), "r-1"), "The service answers 422: Wrong."),
        (
            RequestRejected(422, problem("invalid", ("/power", "Not a number.")), "r-1"),
            "The service answers 422: /power: Not a number.",
        ),
        (
            RequestRejected(422, problem("invalid", ("/power", "No."), ("", "Nor this.")), "r-1"),
            "The service answers 422: \n  /power: No.\n  body: Nor this.",
        ),
        (
            RequestRejected(401, problem("unauthorized"), "r-1"),
            "The service answers 401: Wrong. It is taken from ML_SERVICE_API_KEY (environment or .env).",
        ),
        (RequestRejected(404, None, "r-1", detail="what answers is a page"), "What answers is a page"),
    ],
)
def test_a_refusal_is_said_in_words(error: RequestRejected, said: str) -> None:
    assert str(refusal(error)) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServiceUnavailable("unreachable", "refused"), f"{URL} cannot be reached (refused)"),
        (
            ServiceUnavailable("overloaded", "503 queue_full: Full.", status=503),
            "the service answers 503 queue_full: Full",
        ),
        (
            ServiceUnavailable("server_error", "Redis cannot be reached.", status=503),
            "Redis cannot be reached",
        ),
        (ServiceUnavailable("server_error", "what answers is a page", status=502), "what answers is a page"),
        (
            RequestRejected(409, problem("still_accepted"), "r-1"),
            "an earlier upload is still being accepted",
        ),
    ],
)
def test_an_outage_is_said_once_for_each_call(error: ServiceUnavailable | RequestRejected, said: str) -> None:
    assert outage(error, URL) == said
    told: list[str] = []
    outages = Outages(URL, 300.0, told.append)
    for attempt in (1, 2, 3, 1):
        outages(Retry("get_job", attempt, error, elapsed_s=1.0, pause_s=0.1))
    assert told == [f"{said}; retrying for up to 300 s"] * 2


def test_another_program_that_answers_is_not_waited_for() -> None:
    page = ServiceUnavailable("not_understood", "what answers is a page", status=200)
    with pytest.raises(Refused, match="What answers is a page"):
        Outages(URL, 300.0, print)(Retry("submit_batch", 1, page, elapsed_s=0.0, pause_s=0.1))


class PlayedService(MLClient):
    """A job that has ended, with `fields`. `cut`: the download breaks off after half of its rows."""

    def __init__(
        self, *, failed: int = 0, status: str = "SUCCEEDED", cut: bool = False, **fields: Any
    ) -> None:
        super().__init__(Settings(api_key="key"))
        self.cut = cut
        self.known = True
        self.keys: list[str] = []
        self.stores: list[bool | None] = []
        self.held_key: str | None = None
        self.starts: list[Saved | None] = []
        self.document = cast(
            Job,
            {
                "job_id": "1",
                "status": status,
                "total": TOTAL,
                "done": TOTAL,
                "failed": failed,
                "rows_per_second": None,
                "finished_at": "2026-11-20T08:30:00.000Z",
                "eta_seconds": 0.0,
                "errors": [
                    {"row": 7, "pointer": "/power", "detail": "Not a number.", "code": "type"},
                    {"row": 9, "pointer": "", "detail": "Must be an object.", "code": "type"},
                ],
                **fields,
            },
        )

    def submit_batch(self, *_arguments: Any, idempotency_key: str | None = None, **_named: Any) -> Job:
        assert idempotency_key is not None
        self.keys.append(idempotency_key)
        self.stores.append(_named["store"])
        if idempotency_key == self.held_key:
            raise RequestRejected(409, problem("still_accepted"), "r-1")
        return self.document

    def get_job(self, job_id: str) -> Job:
        if not self.known:
            raise NotFound(404, problem("unknown_job"), "r-1")
        return self.document

    def stream_job(self, job_id: str) -> Generator[JobEvent, None, None]:
        yield JobEvent("done", self.get_job(job_id))

    def save_results(
        self,
        job_id: str,
        out: str | os.PathLike[str] | IO[bytes],
        *,
        start: Saved | None = None,
        on_saved: Callable[[Saved], None] | None = None,
        **_named: Any,
    ) -> Job:
        assert isinstance(out, Path)
        assert on_saved is not None
        self.starts.append(start)
        on_saved(Saved(TOTAL // 2, 1000))
        if self.cut:
            raise ServiceUnavailable("unreachable", "cut")
        out.write_text("scored")
        on_saved(Saved(TOTAL, 2000))
        return self.document


# The row 7 is on line 11: there are an empty line and a cell of two lines before it.
FLEET = "charger_id,connector_status,temprature,Power\n" + 'E,"A\nB",1,2\n' + "\n" + "E,A,1,2\n" * 20


def run(
    service: PlayedService, folder: Path, *, input_format: str = "csv", store: bool | None = None
) -> Exit:
    file = folder / "fleet.csv"
    file.write_text(FLEET)
    wanted = Wanted(file, input_format, "failure", folder / "o.csv", "csv", store=store)
    memory = MemoryFile(folder / "o.csv.job", "work")
    return Run(wanted, service, memory, Display(), io.BytesIO())()


def test_a_run_that_gave_up_while_fetching_goes_on_where_its_file_ends(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        run(PlayedService(cut=True), tmp_path)
    service = PlayedService()
    assert run(service, tmp_path) is Exit.SCORED
    assert (service.keys, service.starts) == ([], [Saved(TOTAL // 2, 1000)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "o.csv"]


def test_a_run_whose_job_is_forgotten_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServiceUnavailable):
        run(first := PlayedService(cut=True), tmp_path)
    service = PlayedService()
    service.known = False
    with pytest.raises(NotSucceeded, match="does not know job 1 any more"):
        run(service, tmp_path)
    assert len(service.keys) == 1
    assert service.keys != first.keys
    assert "Going on" not in capsys.readouterr().err


def test_an_upload_that_will_never_become_a_job_is_sent_with_another_key(tmp_path: Path) -> None:
    service = PlayedService()
    service.held_key = MemoryFile(tmp_path / "o.csv.job", "work").now.key
    assert run(service, tmp_path) is Exit.SCORED
    assert service.keys[0] == service.held_key
    assert len(set(service.keys)) == 2


def test_failed_rows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PlayedService(failed=2), tmp_path) is Exit.SOME_ROWS_FAILED
    said = capsys.readouterr().err
    assert f"{TOTAL - 2:,} rows scored, 2 failed" in said
    assert "  line 11, power: Not a number." in said
    assert "  line 13, the row: Must be an object." in said


def test_failed_rows_of_other_formats_are_named_by_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(PlayedService(failed=2), tmp_path, input_format="ndjson") is Exit.SOME_ROWS_FAILED
    assert "  row 7, power: Not a number." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({}, "Warning: 2 columns are ignored: temprature (temperature?), Power (power?)."),
        ({"ignored_columns": ["xyz"]}, "Warning: 1 column is ignored: xyz."),
        ({"ignored_columns": []}, ""),
    ],
    ids=["service of an earlier release", "service that reports them", "none"],
)
def test_ignored_columns_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, Any], warned: str
) -> None:
    run(PlayedService(**fields), tmp_path)
    said = capsys.readouterr().err
    assert [line for line in said.splitlines() if line.startswith("Warning")] == ([warned] if warned else [])


@pytest.mark.parametrize(
    ("input_format", "store", "stored"),
    [
        ("csv", None, False),
        ("csv", True, True),
        ("jsonl", None, False),
        ("json.gz", None, True),
        ("json", False, False),
    ],
)
def test_the_end_says_whether_the_verdicts_reached_the_fleet(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    input_format: str,
    store: bool | None,
    stored: bool,
) -> None:
    service = PlayedService()
    assert run(service, tmp_path, input_format=input_format, store=store) is Exit.SCORED
    assert service.stores == [store]
    assert capsys.readouterr().err.splitlines()[-1] == (STORED if stored else NOT_STORED)


def test_a_job_without_a_scored_row_has_failed_but_its_results_are_there(tmp_path: Path) -> None:
    with pytest.raises(NotSucceeded, match="no row could be scored"):
        run(PlayedService(failed=TOTAL, status="FAILED"), tmp_path)
    assert (tmp_path / "o.csv").exists()
