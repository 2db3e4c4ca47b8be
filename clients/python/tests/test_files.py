"""Files on their way to the service and back, over good connections and bad ones."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from driven import Connect, reading
from proxy import Proxy

from evzone_ml_client import JobNotFinished, MLClient, NotFound, Saved, downloads
from evzone_ml_client.schemas import Job
from tests import readings
from tests.processes import Web

ROWS = 3000
MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


class BrokenError(Exception):
    """Stands for whatever ends a process in the middle."""


@pytest.fixture(scope="module")
def job(web: Web) -> Job:
    """A job of `ROWS` rows that has ended; one row is wrong."""
    batch = [readings.metrics(temperature=20 + row / 100) for row in range(ROWS)]
    batch[1700]["temperature"] = 4000
    answer = web.client.post("/api/v1/predictions/batch", json={"chargers": batch}).json()
    with MLClient.from_env(url=web.url, api_key=web.client.headers["X-API-Key"]) as ml:
        *_, last = ml.stream_job(answer["job_id"])
    return last.job


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them to a job."""
    monkeypatch.setattr(downloads, "MOST_ROWS", 1000)


def same_as_served(web: Web, job: Job, out: Path) -> bool:
    """Whether the file is, byte for byte or value for value, what the service gives in one piece."""
    headers = {"Accept": MEDIA_TYPES[out.suffix[1:]]}
    served = web.client.get(f"/api/v1/jobs/{job['job_id']}/results", headers=headers).content
    if out.suffix == ".parquet":
        return bool(pq.read_table(out).equals(pq.read_table(io.BytesIO(served))))
    return out.read_bytes() == served


@pytest.mark.parametrize("name", ["scored.ndjson", "scored.csv", "scored.parquet"])
@pytest.mark.usefixtures("small_slices")
def test_results_are_written_into_a_file(ml: MLClient, web: Web, job: Job, tmp_path: Path, name: str) -> None:
    saved: list[Saved] = []
    assert ml.save_results(job["job_id"], tmp_path / name, on_saved=saved.append) == job
    assert [each.rows for each in saved] == [1000, 2000, 3000]
    assert same_as_served(web, job, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "cut_at"), [("scored.csv", 300_000), ("scored.parquet", 30_000)])
def test_results_come_over_connections_that_are_always_cut(
    connect: Connect, proxy: Proxy, web: Web, job: Job, tmp_path: Path, name: str, cut_at: int
) -> None:
    proxy.cut(down_bytes=cut_at)
    connect(proxy.url, patience_s=60).save_results(job["job_id"], tmp_path / name)
    assert proxy.cuts > 0
    assert same_as_served(web, job, tmp_path / name)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("name", ["scored.ndjson", "scored.csv"])
def test_a_download_that_broke_off_goes_on_where_it_was(
    ml: MLClient, web: Web, job: Job, tmp_path: Path, name: str
) -> None:
    saved = broken_off(ml, job, tmp_path / name)
    assert not (tmp_path / name).exists()
    with (tmp_path / f"{name}.part").open("ab") as part:
        part.write(b"half a ro")  # what a killed process may leave
    then: list[Saved] = []
    ml.save_results(job["job_id"], tmp_path / name, start=saved, on_saved=then.append)
    assert [each.rows for each in then] == [2000, 3000]
    assert same_as_served(web, job, tmp_path / name)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize(
    ("name", "lose"), [("scored.csv", Path.unlink), ("scored.parquet", lambda _path: None)]
)
def test_a_download_begins_again_where_the_part_is_lost_or_is_no_file_yet(
    ml: MLClient, web: Web, job: Job, tmp_path: Path, name: str, lose: Callable[[Path], None]
) -> None:
    saved = broken_off(ml, job, tmp_path / name)
    lose(tmp_path / f"{name}.part")
    then: list[Saved] = []
    ml.save_results(job["job_id"], tmp_path / name, start=saved, on_saved=then.append)
    assert [each.rows for each in then] == [1000, 2000, 3000]
    assert same_as_served(web, job, tmp_path / name)


def broken_off(ml: MLClient, job: Job, out: Path) -> Saved:
    """How far a download came that was ended after its first slice."""
    saved: list[Saved] = []

    def told(each: Saved) -> None:
        saved.append(each)
        raise BrokenError

    with pytest.raises(BrokenError):
        ml.save_results(job["job_id"], out, on_saved=told)
    (only,) = saved
    return only


def test_results_go_into_an_open_file_whose_format_is_named(
    ml: MLClient, web: Web, job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "scored.csv"
    with out.open("wb") as opened:
        ml.save_results(job["job_id"], opened, file_format="csv")
    assert same_as_served(web, job, out)
    with pytest.raises(ValueError, match="file_format: must be named"):
        ml.save_results(job["job_id"], io.BytesIO())
    with pytest.raises(ValueError, match=r"scored\.xlsx: must end in one of \.ndjson"):
        ml.save_results(job["job_id"], tmp_path / "scored.xlsx")


def test_results_are_saved_of_jobs_that_have_ended(connect: Connect, unserved: Web, tmp_path: Path) -> None:
    ml, out = connect(unserved.url), tmp_path / "scored.csv"
    job_id = ml.submit_batch([reading()])["job_id"]
    with pytest.raises(JobNotFinished):
        ml.save_results(job_id, out)
    ml.cancel_job(job_id)
    ml.save_results(job_id, out)
    (header,) = out.read_bytes().splitlines()
    assert header.startswith(b'"row",')
    with pytest.raises(NotFound):
        ml.save_results("none", out)


def test_parquet_without_pyarrow_says_what_to_install(
    ml: MLClient, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what import then raises is ImportError
    with pytest.raises(ImportError, match=r"pip install 'evzone-ml-client\[parquet\]'"):
        ml.save_results(job["job_id"], tmp_path / "scored.parquet")


def test_an_upload_tells_how_much_is_sent(connect: Connect, proxy: Proxy, tmp_path: Path) -> None:
    ml, file = connect(proxy.url), tmp_path / "fleet"
    rows = "".join(f"{readings.new_charger_id()},CHARGING\n" for _ in range(50_000))
    file.write_text("charger_id,connector_status\n" + rows)
    sent: list[int] = []
    job = ml.submit_batch(file, file_format="csv", on_sent=sent.append)
    assert job["total"] == 50_000
    assert len(sent) > 2
    assert sent == sorted(sent)
    assert sent[-1] == file.stat().st_size
    proxy.cut(up_bytes=600_000, times=1)
    again: list[int] = []
    ml.submit_batch(file, file_format="csv", on_sent=again.append)
    assert again[-len(sent) :] == sent
    assert len(again) > len(sent)


def test_a_format_that_the_service_does_not_read_is_refused_here(ml: MLClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"readings\.xlsx: must end in one of"):
        ml.submit_batch(tmp_path / "fleet.csv", file_format="xlsx")


def test_jobs_are_listed_newest_first(connect: Connect, web: Web) -> None:
    ml = connect(web.url, tenant=f"list-{readings.new_charger_id()}")
    kinds = ["failure", "anomaly", "failure"]
    jobs = [ml.submit_batch([reading()], kind=kind) for kind in kinds]  # type: ignore[arg-type]  # a plain str
    ids = [job["job_id"] for job in reversed(jobs)]
    for job_id in ids:
        *_, _done = ml.stream_job(job_id)
    assert [job["job_id"] for job in ml.list_jobs()] == ids
    assert [job["job_id"] for job in ml.list_jobs(kind="anomaly")] == [ids[1]]
    assert [job["job_id"] for job in ml.list_jobs(status="SUCCEEDED")] == ids
    assert list(ml.list_jobs(status="RUNNING")) == []
