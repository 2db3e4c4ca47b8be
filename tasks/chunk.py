"""The task that scores one chunk of a batch job."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from redis import RedisError

import metrics
from errors import InvalidReading, ScoringFailed, ServiceError
from models.reading import Kind, Reading, parse_reading
from tasks.app import app, current
from tasks.jobs import MAX_ATTEMPTS, Counted, Job
from tasks.messages import check_version
from tasks.names import TaskNames
from tasks.runtime import Runtime
from tasks.scoring import dress, score_kind

log = logging.getLogger(__name__)


@app.task(name=TaskNames.SCORE_CHUNK, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def score_chunk(raw: dict[str, Any]) -> None:
    """Score one chunk of a job: `{v, job_id, chunk}`. Its rows are in Redis, its results go there."""
    check_version(raw)
    runtime = current()
    job_id, chunk = str(raw["job_id"]), int(raw["chunk"])
    attempt = runtime.jobs.begin_chunk(job_id, chunk, time.time())
    job = runtime.jobs.find(job_id) if attempt else None
    rows = runtime.jobs.chunk_input(job_id, chunk) if job else None
    if job is None or rows is None:
        return  # done before, cancelled or expired
    first_row = chunk * job.chunk_rows
    if attempt > MAX_ATTEMPTS:
        lost = ScoringFailed(f"Given up after {MAX_ATTEMPTS} attempts: the worker died each time.")
        results = [_row_error(first_row + i, row, lost) for i, row in enumerate(rows)]
        failed = len(rows)
    else:
        results, failed = _score_all(runtime, job, rows, first_row)
    counted = runtime.jobs.finish_chunk(job_id, chunk, results, failed=failed, now=time.time())
    if counted is not Counted.NOT:
        metrics.JOB_ROWS.labels(result="failed").inc(failed)
        metrics.JOB_ROWS.labels(result="scored").inc(len(rows) - failed)
    if counted is Counted.LAST:
        metrics.JOBS.labels(status="ended").inc()


def _score_all(runtime: Runtime, job: Job, rows: Sequence[Any], first_row: int) -> tuple[list[bytes], int]:
    """`_score_rows`, and each row alone if that fails. Raises `RedisError`: others then do the chunk."""
    try:
        return _score_rows(runtime, job, rows, first_row)
    except RedisError:
        raise
    except Exception:
        if len(rows) > 1:
            log.exception("chunk of job %s failed; scoring each row alone", job.job_id)
            parts = [_score_all(runtime, job, [row], first_row + i) for i, row in enumerate(rows)]
            return [result for results, _ in parts for result in results], sum(failed for _, failed in parts)
        log.exception("row %d of job %s cannot be scored", first_row, job.job_id)
        failure = ScoringFailed("This row could not be scored.")
        return [_row_error(first_row, rows[0], failure)], 1


def _score_rows(runtime: Runtime, job: Job, rows: Sequence[Any], first_row: int) -> tuple[list[bytes], int]:
    """One JSON result a row, in order, and how many of them are errors."""
    arrived = datetime.fromtimestamp(job.created_at, UTC)
    results: dict[int, bytes] = {}
    readings: dict[int, Reading] = {}
    for index, row in enumerate(rows):
        try:
            readings[index] = parse_reading(row, now=arrived)
        except InvalidReading as error:
            results[index] = _row_error(first_row + index, row, error)
    failed = len(results)
    scoring = list(readings.values())
    past = runtime.history.of(scoring, [job.tenant] * len(scoring))
    scored = [score_kind(runtime, kind, scoring, past, door="batch") for kind in job.kinds]
    stored: list[tuple[Kind, dict[str, Any], bytes]] = []
    for (index, reading), *verdicts in zip(readings.items(), *scored, strict=True):
        dressed: dict[str, dict[str, Any]] = {}
        fingerprint = reading.fingerprint()
        for kind, verdict in zip(job.kinds, verdicts, strict=True):
            if isinstance(verdict, ServiceError):
                failed += 1
                results[index] = _row_error(first_row + index, rows[index], verdict)
                break
            dressed[kind] = dress(verdict, job.tenant, fingerprint=fingerprint)
        else:
            place = {"row": first_row + index, "charger_id": reading.charger_id}
            results[index] = orjson.dumps(place | (dressed if job.kind == "all" else dressed[job.kind]))
            if job.store:
                stored += [(kind, dressed[kind], orjson.dumps(dressed[kind])) for kind in job.kinds]
    _store(runtime, job, stored)
    return [results[index] for index in range(len(rows))], failed


def _store(runtime: Runtime, job: Job, stored: Sequence[tuple[Kind, dict[str, Any], bytes]]) -> None:
    runtime.cache.put_all([(kind, job.tenant, verdict, body) for kind, verdict, body in stored])
    pipeline = runtime.redis.pipeline(transaction=False)
    predictions = [(job.tenant, verdict, body) for kind, verdict, body in stored if kind == "failure"]
    runtime.fleet.put(pipeline, predictions)
    pipeline.execute()


def _row_error(row_number: int, row: Any, error: ServiceError) -> bytes:
    charger_id = row.get("charger_id") if isinstance(row, dict) else None
    problem: dict[str, Any] = {"code": error.code, "detail": str(error)}
    if isinstance(error, InvalidReading):
        problem["errors"] = [{"pointer": e.pointer, "detail": e.detail, "code": e.code} for e in error.errors]
    return orjson.dumps({"row": row_number, "charger_id": charger_id, "error": problem})
