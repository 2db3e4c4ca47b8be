"""Scenes of batches: submission in every format, jobs, results in every format, events."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any, Final

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from tests.golden.readings import FAULTY, HEALTHY, LEAST, ORDINARY
from tests.golden.scene import Scenes
from tests.golden.settings_used import MAX_BATCH_BYTES, MAX_BATCH_ROWS
from tests.processes import READ_KEY, wait_until

BATCH: Final = "/api/v1/predictions/batch"
JOBS: Final = "/api/v1/jobs"
CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
FORMATS: Final = {"ndjson": NDJSON, "csv": CSV, "parquet": PARQUET}

BAD_ROW: Final = {"charger_id": "GOLD-BAD", "connector_status": "BURNING", "power": -1}
ROWS: Final[list[Any]] = [ORDINARY, BAD_ROW, HEALTHY, FAULTY, LEAST]
BODY: Final = {"chargers": ROWS}
CSV_FILE: Final = (
    b"charger_id,connector_status,temperature,error_codes,timestamp,unknown\r\n"
    b"GOLD-1,Charging,71,HighTemperature;ACME-17,2024-03-01T08:30:00Z,x\r\n"
    b'GOLD-2,AVAILABLE, 24.5 ,,1709281800,"y ""z"""\r\n'
    b"\r\n"
    b"GOLD-BAD,AVAILABLE,hot,,,\r\n"
)


def scenes(scenes: Scenes) -> None:
    """Everything about batches; the rows neither read nor leave a history."""
    jobs = {
        kind: _job(scenes, f"batch_{kind}", f"{BATCH}?kind={kind}&store=false", json=BODY) for kind in KINDS
    }
    _formats(scenes)
    _results(scenes, jobs)
    _jobs(scenes, jobs["failure"])
    _waiting(scenes)
    _refusals(scenes)
    _idempotency(scenes)


KINDS: Final = ("failure", "maintenance", "anomaly", "all")


def parquet_file() -> bytes:
    """Two readings with the types that a data frame has."""
    table = pa.table(
        {
            "charger_id": ["GOLD-1", "GOLD-2"],
            "connector_status": ["Charging", "AVAILABLE"],
            "temperature": pa.array([71.0, None], pa.float32()),
            "error_codes": pa.array([["HighTemperature"], []], pa.list_(pa.string())),
            "timestamp": pa.array([1_709_281_800_000, 1_709_281_800_000], pa.timestamp("ms", tz="UTC")),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def ended(client: httpx.Client, job_id: str, **headers: str) -> None:
    """Wait for the end of a job."""
    path = f"{JOBS}/{job_id}"
    wait_until(
        lambda: client.get(path, headers=headers).json()["status"] not in ("PENDING", "RUNNING"),
        what=f"the end of job {job_id}",
        timeout_s=60,
    )


def _job(scenes: Scenes, name: str, path: str, **options: Any) -> str:
    """Submit, record the answer, wait for the job's end; its id."""
    job_id = str(scenes.ask(name, "POST", path, **options).json()["job_id"])
    ended(scenes.client, job_id)
    return job_id


def _formats(scenes: Scenes) -> None:
    ndjson = b"\n\n".join(json.dumps(row).encode() for row in [*ROWS, 7]) + b"\n{broken\n"
    files = {"ndjson": (NDJSON, ndjson), "csv": (CSV, CSV_FILE), "parquet": (PARQUET, parquet_file())}
    for name, (media_type, content) in files.items():
        headers = {"Content-Type": media_type}
        job_id = _job(scenes, f"batch_from_{name}", BATCH, content=content, headers=headers)
        scenes.ask(f"job_from_{name}", "GET", f"{JOBS}/{job_id}")
        scenes.ask(f"results_from_{name}", "GET", f"{JOBS}/{job_id}/results")
    packed = {"Content-Type": "text/csv; charset=utf-8", "Content-Encoding": "gzip"}
    job_id = _job(scenes, "batch_gzip", BATCH, content=gzip.compress(CSV_FILE), headers=packed)
    scenes.ask("results_gzip", "GET", f"{JOBS}/{job_id}/results?limit=1")


def _results(scenes: Scenes, jobs: dict[str, str]) -> None:
    for kind, job_id in jobs.items():
        path = f"{JOBS}/{job_id}/results"
        scenes.ask(f"results_{kind}", "GET", path)
        for name, media_type in FORMATS.items():
            scenes.ask(f"results_{kind}_{name}", "GET", path, headers={"Accept": media_type})
    path = f"{JOBS}/{jobs['failure']}/results"
    ask = scenes.ask
    ask("results_first_page", "GET", f"{path}?limit=2")
    ask("results_second_page", "GET", f"{path}?limit=2&cursor=2")
    ask("results_behind_the_end", "GET", f"{path}?cursor=99")
    ask("results_csv_part", "GET", f"{path}?limit=1&cursor=1", headers={"Accept": CSV})
    ask("results_ndjson_behind_the_end", "GET", f"{path}?cursor=99", headers={"Accept": NDJSON})
    ask(
        "results_by_quality",
        "GET",
        f"{path}?limit=1",
        headers={"Accept": "text/csv;q=0.1, application/x-ndjson"},
    )
    ask("results_any", "GET", f"{path}?limit=1", headers={"Accept": "*/*"})
    ask("results_not_acceptable", "GET", path, headers={"Accept": "application/xml"})
    ask("results_head", "HEAD", path, headers={"Accept": CSV})
    ask("results_limit_wrong", "GET", f"{path}?limit=0")
    ask("results_cursor_wrong", "GET", f"{path}?cursor=-1")
    ask("results_limit_no_number", "GET", f"{path}?limit=all")
    ask("results_of_another_tenant", "GET", path, headers={"X-Tenant-ID": "acme"})


def _jobs(scenes: Scenes, job_id: str) -> None:
    ask, path = scenes.ask, f"{JOBS}/{job_id}"
    ask("job", "GET", path)
    ask("job_head", "HEAD", path)
    ask("job_options", "OPTIONS", path)
    ask("job_with_post", "POST", path)
    ask("job_of_another_tenant", "GET", path, headers={"X-Tenant-ID": "acme"})
    ask("job_cancelled_after_its_end", "DELETE", path)
    ask("job_cancelled_with_read_key", "DELETE", path, key=READ_KEY)
    ask("job_events", "GET", f"{path}/events")
    ask("job_events_after_done", "GET", f"{path}/events", headers={"Last-Event-ID": "done"})
    ask("job_events_head", "HEAD", f"{path}/events")
    ask("jobs_first_page", "GET", f"{JOBS}?limit=2")
    ask("jobs_by_kind_and_status", "GET", f"{JOBS}?kind=all&status=SUCCEEDED")
    ask("jobs_created_after", "GET", f"{JOBS}?created_after=2999-01-01")
    ask("jobs_of_another_tenant", "GET", JOBS, headers={"X-Tenant-ID": "other"})
    ask("jobs_status_wrong", "GET", f"{JOBS}?status=DONE&kind=none&created_after=now")
    for name, unknown in (("hex", "0" * 32), ("short", "nope"), ("long", "0" * 33), ("upper", "A" * 32)):
        for what in ("", "/results", "/events"):
            ask(f"unknown_job_{name}{what.replace('/', '_')}", "GET", f"{JOBS}/{unknown}{what}")
        ask(f"unknown_job_{name}_deleted", "DELETE", f"{JOBS}/{unknown}")
    for suffix in ("input", "results", "sent", "held", "attempts", "errors"):
        ask(f"job_{suffix}_key", "GET", f"{JOBS}/{job_id}:{suffix}")


def _waiting(scenes: Scenes) -> None:
    ask, path = scenes.ask, f"{BATCH}?store=false"
    ask("batch_waited_for", "POST", path, json=BODY, headers={"Prefer": "wait=30"})
    ask(
        "batch_all_waited_for",
        "POST",
        f"{path}&kind=all",
        json=BODY,
        headers={"Prefer": 'respond-async, wait="29"'},
    )
    ask("batch_all_rows_wrong", "POST", path, json={"chargers": [BAD_ROW, 1]}, headers={"Prefer": "wait=30"})
    tenant = {"X-Tenant-ID": "acme", "Prefer": "wait=30"}
    ask("batch_of_a_tenant", "POST", path, json={"chargers": [ORDINARY]}, headers=tenant)
    for name, preference in (("no_number", "wait=soon"), ("nothing", "wait=0")):
        ask(f"batch_waits_{name}", "POST", path, json=BODY, headers={"Prefer": preference})


def _refusals(scenes: Scenes) -> None:
    ask = scenes.ask
    ask("batch_kind_wrong", "POST", f"{BATCH}?kind=some&store=1", json=BODY)
    ask("batch_no_rows", "POST", BATCH, json={"chargers": []})
    ask("batch_no_list", "POST", BATCH, json={"chargers": 1})
    ask("batch_no_chargers", "POST", BATCH, json={"readings": ROWS})
    ask("batch_array", "POST", BATCH, json=ROWS)
    for name, media_type, content in (
        ("not_json", "application/json", b'{"chargers": [{]}'),
        ("empty", "application/json", b""),
        ("ndjson_empty", NDJSON, b"\n"),
        ("csv_without_columns", CSV, b"charger_id,power\nGOLD-1,1\n"),
        ("csv_column_twice", CSV, b"charger_id,connector_status,power,power\nGOLD-1,CHARGING,1,2\n"),
        ("csv_open_quote", CSV, b'charger_id,connector_status\nGOLD-1,"CHARGING\n'),
        ("csv_not_utf_8", CSV, b"charger_id,connector_status\nGOLD-1,\xff\n"),
        ("csv_header_only", CSV, b"charger_id,connector_status\n"),
        ("parquet_broken", PARQUET, b"PAR1nothing"),
        ("text", "text/plain", b"x"),
    ):
        ask(f"batch_{name}", "POST", BATCH, content=content, headers={"Content-Type": media_type})
    many = {"chargers": [LEAST] * (MAX_BATCH_ROWS + 1)}
    ask("batch_too_many_rows", "POST", BATCH, json=many)
    large = b" " * (MAX_BATCH_BYTES + 1)
    ask("batch_too_large", "POST", BATCH, content=large, headers={"Content-Type": NDJSON})
    packed = {"Content-Type": NDJSON, "Content-Encoding": "gzip"}
    ask("batch_too_large_unpacked", "POST", BATCH, content=gzip.compress(large), headers=packed)
    ask("batch_gzip_broken", "POST", BATCH, content=b"\x1f\x8bbroken", headers=packed)
    ask("batch_brotli", "POST", BATCH, content=b"x", headers={**packed, "Content-Encoding": "br"})


def _idempotency(scenes: Scenes) -> None:
    ask, path = scenes.ask, f"{BATCH}?store=false"
    once = {"Idempotency-Key": "golden-1"}
    first = ask("idempotent", "POST", path, json=BODY, headers=once).json()["job_id"]
    ended(scenes.client, first)
    again = ask("idempotent_again", "POST", path, json=BODY, headers=once).json()["job_id"]
    if again != first:
        raise AssertionError("A repeated Idempotency-Key made another job.")
    ask("idempotent_waited_for", "POST", path, json=BODY, headers={**once, "Prefer": "wait=1"})
    ask("idempotent_other_body", "POST", path, json={"chargers": [LEAST]}, headers=once)
    ask("idempotent_other_kind", "POST", f"{path}&kind=all", json=BODY, headers=once)
    ask("idempotency_key_wrong", "POST", path, json=BODY, headers={"Idempotency-Key": "a b"})
