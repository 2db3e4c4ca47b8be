"""`evzone-ml batch` against the real service, over good connections and bad ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from tasks.messaging.names import Queues
from tests.processes import KEY, READ_KEY, Process, Web, environment, start_worker, wait_until
from tests.readings import metrics
from tests.services import RunningServer
from tests.tcp_proxy import TcpProxy

ROWS = 3000


class Command(Process):
    """The command under way; its output goes into files, which may be read at any time."""

    def __init__(self, arguments: Sequence[str], url: str, folder: Path, **extra: str) -> None:
        settings = {"ML_SERVICE_API_KEY": f"{READ_KEY}:read,{KEY}", "ML_SERVICE_URL": url, **extra}
        self._said = folder / "said"
        self._shown = folder / "shown"
        for file in (self._said, self._shown):
            file.unlink(missing_ok=True)  # of a command before
        super().__init__(
            [sys.executable, "-m", "evzone_ml_client.command", "batch", *arguments],
            {"PATH": os.environ["PATH"], **settings},
            log_file=self._shown,
            error_file=self._said,
        )

    def ended(self) -> int:
        return self.process.wait(100)

    def said(self) -> str:
        return self._said.read_text()

    def shown(self) -> bytes:
        return self._shown.read_bytes()


Run = Callable[..., Command]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(*arguments: str, url: str, **extra: str) -> Command:
        return Command(arguments, url, tmp_path, **extra)

    return start


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return written(tmp_path, [metrics(temperature=20 + n / 100) for n in range(ROWS)])


def written(folder: Path, rows: list[Any]) -> Path:
    file = folder / "fleet.json"
    file.write_text(json.dumps({"chargers": rows}))
    return file


def jobs_of(client: httpx.Client, tenant: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = client.get("/api/v1/jobs", headers={"X-Tenant-ID": tenant}).json()["items"]
    return jobs


def same_as_served(client: httpx.Client, tenant: str, out: Path) -> bool:
    """Whether the file is, byte for byte or value for value, what the service gives in one piece."""
    (job,) = jobs_of(client, tenant)
    media_type = {".csv": "text/csv", ".ndjson": "application/x-ndjson"}.get(
        out.suffix, "application/vnd.apache.parquet"
    )
    headers = {"X-Tenant-ID": tenant, "Accept": media_type}
    served = client.get(f"/api/v1/jobs/{job['job_id']}/results", headers=headers).content
    if out.suffix == ".parquet":
        return bool(parquet.read_table(out).equals(parquet.read_table(io.BytesIO(served))))
    return out.read_bytes() == served


@pytest.mark.parametrize("out", ["scored.csv", "scored.ndjson", "scored.parquet"])
def test_a_file_is_scored_over_connections_that_are_cut_again_and_again(
    web: Web, run: Run, fleet: Path, tmp_path: Path, out: str
) -> None:
    tenant = out.replace(".", "-")
    with TcpProxy(web.url) as proxy:
        proxy.down_bytes = 60_000 if out.endswith("parquet") else 1_500_000
        command = run(str(fleet), "--out", str(tmp_path / out), "--tenant", tenant, url=proxy.url)
        assert command.ended() == 0, command.said()
    assert proxy.cuts > 0
    assert "retrying for up to" in command.said()
    assert same_as_served(web.client, tenant, tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["fleet.json", out, "said", "shown"])


def test_an_upload_that_is_cut_is_repeated_and_makes_one_job(
    web: Web, run: Run, fleet: Path, tmp_path: Path
) -> None:
    with TcpProxy(web.url) as proxy:
        proxy.up_bytes = 100_000
        command = run(str(fleet), "--out", str(tmp_path / "o.csv"), "--tenant", "cut-upload", url=proxy.url)
        wait_until(lambda: proxy.cuts > 0, what="a cut", log=command.said)
        proxy.up_bytes = None
        assert command.ended() == 0, command.said()
    assert same_as_served(web.client, "cut-upload", tmp_path / "o.csv")


def test_rows_that_failed_are_told_by_the_exit_code(web: Web, run: Run, tmp_path: Path) -> None:
    rows = [metrics(), {"charger_id": "BAD"}, metrics()]
    command = run(str(written(tmp_path, rows)), "--out", "-", "--tenant", "some-failed", url=web.url)
    assert command.ended() == 1
    assert "2 rows scored, 1 failed" in command.said()
    assert [json.loads(line)["row"] for line in command.shown().splitlines()] == [0, 1, 2]


READINGS = [
    {"charger_id": "EVZ-A", "connector_status": "CHARGING", "temperature": 41.5},
    {"charger_id": "EVZ-B", "connector_status": "CHARGING", "temperature": 4000.0},
    {"charger_id": "EVZ-C", "connector_status": "FAULTY", "temperature": None},
]


def as_bytes(extension: str) -> bytes:
    if extension == "ndjson":
        return b"\n".join(json.dumps(reading).encode() for reading in READINGS)
    table = pa.Table.from_pylist(READINGS)
    written = io.BytesIO()
    if extension == "csv":
        arrow_csv.write_csv(table, written)
    else:
        parquet.write_table(table, written)
    return written.getvalue()


@pytest.mark.parametrize(
    "file", ["fleet.csv", "fleet.ndjson", "fleet.parquet", "fleet.csv.gz", "fleet.ndjson.gz"]
)
def test_every_format_can_be_sent_and_what_is_wrong_in_it_is_named(
    web: Web, run: Run, tmp_path: Path, file: str
) -> None:
    content = as_bytes(file.split(".")[1])
    (tmp_path / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    out = tmp_path / "o.ndjson"
    command = run(str(tmp_path / file), "--out", str(out), url=web.url)
    assert command.ended() == 1, command.said()
    place = "line 3" if ".csv" in file else "row 1"
    assert f"  {place}, temperature: Must be" in command.said()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["charger_id"], "error" in row) for row in rows] == [
        ("EVZ-A", False),
        ("EVZ-B", True),
        ("EVZ-C", False),
    ]


def test_all_kinds_can_be_asked(web: Web, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "all.ndjson"
    file = str(written(tmp_path, [metrics()]))
    command = run(file, "--kind", "all", "--out", str(out), "--tenant", "kind-all", url=web.url)
    assert command.ended() == 0, command.said()
    (job,) = jobs_of(web.client, "kind-all")
    assert job["kind"] == "all"
    assert {"failure", "maintenance", "anomaly"} <= set(json.loads(out.read_text()))


def test_what_the_service_refuses_is_explained(web: Web, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    file.write_text('{"charger": []}')
    command = run(str(file), "--out", str(tmp_path / "o.csv"), url=web.url)
    assert command.ended() == 2
    assert command.said().count("/chargers: Missing data for required field.") == 1
    assert not (tmp_path / "o.csv.job").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.csv", "--out", "o.csv"], "nothing.csv: No such file"),
        (["fleet.xlsx", "--out", "o.csv"], "--input-format"),
        (["nothing.csv", "--out", "o.xlsx"], "--output-format"),
        (["nothing.csv"], "--out"),
    ],
)
def test_wrong_usage_is_explained(run: Run, arguments: list[str], said: str) -> None:
    command = run(*arguments, url="http://127.0.0.1:1")
    assert command.ended() == 2
    assert said in command.said()


@pytest.mark.parametrize(
    "wrong",
    ["nonsense", "localhost:18000", "ftp://localhost", "http://", "http://a:b", "http://a:99999", "http://["],
)
def test_an_address_that_is_none_is_wrong_usage_at_once(run: Run, fleet: Path, wrong: str) -> None:
    for source, arguments, url in (
        ("--url", ["--url", wrong], "http://127.0.0.1:1"),
        ("ML_SERVICE_URL", [], wrong),
    ):
        command = run(str(fleet), "--out", "-", *arguments, url=url)
        assert command.process.wait(20) == 2
        assert command.said().endswith(f"{source}: must look like http://host:port, not {wrong}\n")
        assert "retrying" not in command.said()


class Stranger(BaseHTTPRequestHandler):
    """Some other program's web server: a page for whatever comes."""

    status = 404

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        page = b"<!DOCTYPE html>\n<html>" + b"<p>Lorem ipsum</p>" * 1000
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "code"), [(404, 2), (200, 2), (302, 2), (502, 3)])
def test_what_is_not_the_service_is_called_so(
    run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: int
) -> None:
    monkeypatch.setattr(Stranger, "status", status)
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        command = run(str(fleet), "--out", "-", "--patience", "1", url=url)
        assert command.ended() == code, command.said()
        server.shutdown()
    assert (
        f"answers at {url}/api/v1/predictions/batch?kind=failure is not the service: {status} <!DOCTYPE"
        in (command.said())
    )
    assert max(map(len, command.said().splitlines())) < 250


def test_a_folder_that_is_missing_is_named(run: Run, fleet: Path, tmp_path: Path) -> None:
    command = run(str(fleet), "--out", str(tmp_path / "none" / "o.csv"), url="http://127.0.0.1:1")
    assert command.ended() == 2
    assert command.said() == f"--out {tmp_path}/none/o.csv: there is no folder {tmp_path}/none.\n"


def test_a_key_that_may_not_predict_is_wrong_usage(run: Run) -> None:
    command = run("-", "--out", "-", url="http://127.0.0.1:1", ML_SERVICE_API_KEY="k:read")
    assert command.ended() == 2
    assert "ML_SERVICE_API_KEY" in command.said()


def test_a_tenant_that_cannot_be_is_wrong_usage_and_leaves_nothing(
    run: Run, fleet: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "o.csv")
    command = run(str(fleet), "--out", out, "--tenant", "a b", url="http://127.0.0.1:1")
    assert command.ended() == 2
    assert "tenant: must be 1 to 64 characters" in command.said()
    assert not (tmp_path / "o.csv.job").exists()


def test_a_service_that_is_not_there_is_given_up_after_a_while(run: Run, fleet: Path) -> None:
    command = run(str(fleet), "--out", "-", "--patience", "1", url="http://127.0.0.1:1")
    assert command.ended() == 3
    assert "Given up after 1 s: http://127.0.0.1:1 cannot be reached" in command.said()


def test_a_wrong_key_is_refused_and_said_where_it_came_from(web: Web, run: Run, fleet: Path) -> None:
    command = run(str(fleet), "--out", "-", url=web.url, ML_SERVICE_API_KEY="another")
    assert command.ended() == 2
    assert "401" in command.said()
    assert "ML_SERVICE_API_KEY" in command.said()


def test_a_job_that_is_cancelled_is_no_success(
    lonely: tuple[Web, RunningServer], run: Run, fleet: Path, tmp_path: Path
) -> None:
    web, _ = lonely
    out = tmp_path / "o.csv"
    command = run(str(fleet), "--out", str(out), "--tenant", "t", url=web.url)
    job_id = job_under_way(web, command)
    web.client.delete(f"/api/v1/jobs/{job_id}", headers={"X-Tenant-ID": "t"})
    assert command.ended() == 4
    assert f"Job {job_id} was cancelled" in command.said()
    assert not out.exists()


def job_under_way(web: Web, command: Command) -> str:
    wait_until(lambda: "Scoring: 0 of" in command.said(), what="the job to be followed", log=command.said)
    (job,) = jobs_of(web.client, "t")
    return str(job["job_id"])


@pytest.mark.parametrize("cancel", [False, True])
def test_ctrl_c_says_which_job_it_was(
    lonely: tuple[Web, RunningServer], run: Run, fleet: Path, tmp_path: Path, cancel: bool
) -> None:
    web, _ = lonely
    flags = ["--cancel-on-interrupt"] if cancel else []
    command = run(str(fleet), "--out", str(tmp_path / "o.csv"), "--tenant", "t", *flags, url=web.url)
    job_id = job_under_way(web, command)
    command.process.send_signal(signal.SIGINT)
    assert command.ended() == 130
    assert command.said().splitlines()[-1] == (
        f"Job {job_id} is cancelled."
        if cancel
        else f"  evzone-ml batch cancel {job_id} --url {web.url} --tenant t"
    )
    (job,) = jobs_of(web.client, "t")
    assert job["status"] == ("CANCELLED" if cancel else "PENDING")
    assert (tmp_path / "o.csv.job").exists() is not cancel


def test_a_run_that_was_killed_is_taken_up_and_outlives_the_web_process(
    lonely: tuple[Web, RunningServer], run: Run, fleet: Path, tmp_path: Path
) -> None:
    web, redis = lonely
    out = tmp_path / "o.parquet"
    arguments = (str(fleet), "--out", str(out), "--tenant", "t")
    first = run(*arguments, url=web.url)
    job_id = job_under_way(web, first)
    first.process.kill()
    first.process.wait()

    second = run(*arguments, url=web.url)
    wait_until(lambda: f"Going on with job {job_id}" in second.said(), what="it to go on", log=second.said)
    web.signal_all(signal.SIGKILL)
    wait_until(lambda: "retrying" in second.said(), what="the outage to be noticed", log=second.said)
    port = int(web.url.rpartition(":")[2])
    env = environment(redis.url)
    with Web(env, port) as again, start_worker(Queues.BATCH, env):
        assert second.ended() == 0, second.said()
        assert same_as_served(again.client, "t", out)
        assert [job["job_id"] for job in jobs_of(again.client, "t")] == [job_id]
    assert not (tmp_path / "o.parquet.job").exists()
