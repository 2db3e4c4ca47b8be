"""The task that scores one chunk of a batch job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import orjson
from redis import RedisError, ResponseError

import metrics
from errors import FieldError, InvalidReading, ScoringFailed, ServiceError
from models.features.columns import Entries
from readings import rows
from readings.reading import Kind, Reading
from readings.refused import Refused
from tasks.jobs.chunks import ERRORS_SHOWN, MAX_ATTEMPTS, Counted
from tasks.jobs.job_store import Encoding, Job
from tasks.messaging.messages import check_version
from tasks.messaging.names import TaskNames
from tasks.worker.app import app, current
from tasks.worker.runtime import Runtime
from tasks.worker.scoring import score_kinds, stamp

log = logging.getLogger(__name__)

DECODERS: Final[dict[Encoding, Callable[..., list[Reading | Refused]]]] = {
    "ndjson": rows.from_ndjson,
    "csv": rows.from_csv,
    "arrow": rows.from_arrow,
}


# Bounds what is alive at once, and what is done again row by row if it fails.
SCORED_TOGETHER: Final = 256

_GIVEN_UP: Final = f"Given up after {MAX_ATTEMPTS} attempts: none of them came to its end."


class Row(NamedTuple):
    """A reading of the chunk and its number in the job."""

    number: int
    reading: Reading


class Results:
    """One JSON a row, by its number in the job, and what is wrong with those that failed."""

    def __init__(self) -> None:
        self.lines: dict[int, bytes] = {}
        self.problems: dict[int, list[dict[str, Any]]] = {}

    def refuse(self, number: int, charger_id: str | None, error: ServiceError) -> None:
        problem: dict[str, Any] = {"code": error.code, "detail": str(error)}
        found = [FieldError("", str(error), error.code)]
        if isinstance(error, InvalidReading):
            found = error.errors
            problem["errors"] = [asdict(each) for each in found]
        self.lines[number] = orjson.dumps({"row": number, "charger_id": charger_id, "error": problem})
        self.problems[number] = [{"row": number, **asdict(each)} for each in found]

    def in_order(self) -> list[bytes]:
        return [self.lines[number] for number in sorted(self.lines)]

    def first_problems(self) -> list[dict[str, Any]]:
        rows = [self.problems[number] for number in sorted(self.problems)[:ERRORS_SHOWN]]
        return [problem for row in rows for problem in row]


@app.task(name=TaskNames.SCORE_CHUNK, ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def score_chunk(raw: dict[str, Any]) -> None:
    """Score one chunk of a job: `{v, job_id, chunk}`. Its rows are in Redis, its results go there."""
    check_version(raw)
    runtime = current()
    chunks = runtime.chunks
    job_id, chunk = str(raw["job_id"]), int(raw["chunk"])
    request = score_chunk.request
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    runtime.scorer  # noqa: B018  # raises where there are no models: the chunk is another worker's, or waits
    with chunks.begun(job_id, chunk, task_id=request.id or "", redelivered=redelivered) as attempt:
        job = runtime.jobs.find(job_id) if attempt else None
        if job is None:
            return  # done before, cancelled, expired or in other hands
        started = time.perf_counter()
        results = _results(runtime, job, chunk, chunks.input(job_id, chunk), attempt)
        counted = chunks.finish(
            job_id,
            chunk,
            results.in_order(),
            failed=len(results.problems),
            errors=results.first_problems(),
        )
    seconds = time.perf_counter() - started
    if counted is not Counted.NOT:
        metrics.JOB_ROWS.labels(result="failed").inc(len(results.problems))
        metrics.JOB_ROWS.labels(result="scored").inc(len(results.lines) - len(results.problems))
    if counted is Counted.LAST:
        metrics.JOBS.labels(status="ended").inc()
    else:
        chunks.feed(job_id)
    runtime.pace.note(job.kind, len(results.lines), seconds)


def _results(runtime: Runtime, job: Job, chunk: int, data: bytes | None, attempt: int) -> Results:
    results = Results()
    first = chunk * job.chunk_rows
    if data is None or attempt > MAX_ATTEMPTS + 1:
        # A job ends, whatever is wrong: here even to find out whose rows these are has killed a worker.
        lost = ScoringFailed(_GIVEN_UP if data else "The input of this row is gone.")
        for number in range(first, min(first + job.chunk_rows, job.total)):
            results.refuse(number, None, lost)
        return results
    arrived = datetime.fromtimestamp(job.created_at, UTC)
    readings: list[Row] = []
    for number, row in enumerate(DECODERS[job.encoding](data, now=arrived), start=first):
        if isinstance(row, Refused):
            results.refuse(number, row.charger_id, row.error)
        else:
            readings.append(Row(number, row))
    if attempt > MAX_ATTEMPTS:
        for number, reading in readings:
            results.refuse(number, reading.charger_id, ScoringFailed(_GIVEN_UP))
        return results
    past = runtime.history.of([row.reading for row in readings], [job.tenant] * len(readings))
    for start in range(0, len(readings), SCORED_TOGETHER):
        some = slice(start, start + SCORED_TOGETHER)
        _score_all(runtime, job, readings[some], past[some], results)
    return results


def _score_all(
    runtime: Runtime,
    job: Job,
    readings: Sequence[Row],
    past: Sequence[Entries],
    results: Results,
) -> None:
    """`_score`, and each row alone if that fails. Raises `RedisError`: others then do the chunk."""
    try:
        _score(runtime, job, readings, past, results)
    except RedisError:
        raise
    except Exception:
        if len(readings) > 1:
            log.exception("chunk of job %s failed; scoring each row alone", job.job_id)
            for row, entries in zip(readings, past, strict=True):
                _score_all(runtime, job, [row], [entries], results)
            return
        log.exception("row %d of job %s cannot be scored", readings[0].number, job.job_id)
        failure = ScoringFailed("This row could not be scored.")
        results.refuse(readings[0].number, readings[0].reading.charger_id, failure)


def _score(
    runtime: Runtime,
    job: Job,
    readings: Sequence[Row],
    past: Sequence[Entries],
    results: Results,
) -> None:
    scoring = [reading for _, reading in readings]
    scored = score_kinds(runtime, job.kinds, scoring, past, door="batch")
    common = stamp(job.tenant)
    stamped = orjson.dumps(common)[1:-1]
    stored: list[tuple[Kind, dict[str, Any], bytes]] = []
    for (number, reading), *answers in zip(readings, *scored, strict=True):
        failures = [answer for answer in answers if isinstance(answer, ServiceError)]
        if failures:
            results.refuse(number, reading.charger_id, failures[0])
            continue
        verdicts = cast(list[dict[str, Any]], answers)
        fingerprint = reading.fingerprint()
        # What is added is added to the text: a copy of each verdict would cost twice what encoding it does.
        end = b',%b,"fingerprint":"%b"}' % (stamped, fingerprint.encode())
        bodies = [orjson.dumps(verdict)[:-1] + end for verdict in verdicts]
        if job.kind == "all":
            named = b",".join(
                b'"%b":%b' % (kind.encode(), body) for kind, body in zip(job.kinds, bodies, strict=True)
            )
            body = b'{"charger_id":%b,%b}' % (orjson.dumps(reading.charger_id), named)
        else:
            (body,) = bodies
        results.lines[number] = b'{"row":%d,%b' % (number, body[1:])
        if job.store:
            added = {**common, "fingerprint": fingerprint}
            stored += [
                (kind, {**verdict, **added}, body)
                for kind, verdict, body in zip(job.kinds, verdicts, bodies, strict=True)
            ]
    if stored:
        _store(runtime, job, stored)


def _store(runtime: Runtime, job: Job, stored: Sequence[tuple[Kind, dict[str, Any], bytes]]) -> None:
    runtime.cache.put_all([(kind, job.tenant, verdict, body) for kind, verdict, body in stored])
    predictions = [(job.tenant, verdict, body) for kind, verdict, body in stored if kind == "failure"]
    try:
        runtime.line.ask(*runtime.fleet.to_store(predictions))
    except ResponseError:  # a key of another type: no reason to score the chunk again, to the same end
        log.exception("verdicts of job %s could not be stored in the fleet", job.job_id)
