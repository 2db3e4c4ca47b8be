"""Whatever validation accepts can be encoded, queued, scored, stored and published; the rest it names.

Hypothesis writes any JSON into every field (tests/raw_readings.py). `SEED=…` repeats a run; `make fuzz` is
the long form, in rounds of `ROUND` examples with seeds that follow each other.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any, Final, cast

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from pyarrow import parquet
from redis._parsers import Encoder

from consumers.kafka import records
from consumers.kafka.records import Received
from errors import InvalidReading, MalformedBody, ScoringFailed, ServiceError
from models.scorer import Scorer
from readings import rows
from readings.flat_or_envelope import parse_flat_or_enveloped
from readings.parsing import decode_json
from readings.reading import BOUNDS, Kind, Reading, is_encodable
from readings.refused import Refused
from settings import load_or_exit
from tasks.jobs.job_record import JOB_KINDS, Job, JobKind
from tasks.messaging.messages import ScoreMessage, ScoreRequest, decode_reply, encode_reply
from tasks.messaging.task_publisher import TaskPublisher
from tasks.storage.fleet import FleetStore
from tasks.storage.reading_history import NO_ENTRIES, RecentHistory
from tasks.storage.redis_connection import Command
from tasks.storage.verdict_cache import VerdictCache
from tests.raw_readings import RawReading, raw_readings
from web.downloads.result_files import WRITERS
from web.http.errors import problem_of
from web.uploads import chunking
from web.uploads.upload import Upload

ROUND: Final = 5_000
EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0")) or ROUND
SEED: Final = int(os.environ.get("SEED", "0")) or random.randrange(1, 10**6)
ROUNDS: Final = math.ceil(EXAMPLES / ROUND)
NOW: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS_ASKED: Final[tuple[Kind, Kind]] = ("failure", "anomaly")
TEXTS: Final = frozenset({"charger_id", "connector_status", "last_maintenance", "timestamp"})
SOME_ROWS: Final = 500
GOOD: Final = b'{"charger_id":"GOOD","connector_status":"CHARGING","power":7.5}'
# JSON may be sent here as it is.
ENCODER: Final = cast(Any, Encoder)("utf-8", "strict", False)  # untyped there

# A reading, or the pointers of the fields that are wrong; None for bytes that are not JSON.
Outcome = Reading | set[str] | None


@dataclass
class Worker:
    """Stands in for `tasks.worker.runtime.Runtime`: real models and real commands, of which none is sent."""

    scorer: Scorer
    cache: VerdictCache
    fleet: FleetStore
    history: Any
    store: RecentHistory
    commands: list[Command] = field(default_factory=list)
    alert_thresholds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.observer = SimpleNamespace(see=lambda kind, readings, past: None)
        self.connection = SimpleNamespace(execute=lambda *commands: self.commands.extend(commands))


@dataclass
class Path:
    """The code under test, and what it needs to run."""

    worker: Worker
    publisher: TaskPublisher
    chunk: ModuleType
    score: ModuleType
    # Result rows by the kind of their job.
    lines: dict[JobKind, list[bytes]] = field(default_factory=lambda: {kind: [] for kind in JOB_KINDS})


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_SERVICE_API_KEY", "k" * 20)
        from tasks.worker import score, score_chunk  # they read the settings

        chosen = load_or_exit()
        cache = VerdictCache(chosen)
        worker = Worker(
            scorer=Scorer.load(chosen.model_dir, chosen.costs),
            cache=cache,
            fleet=FleetStore(chosen),
            history=SimpleNamespace(of=lambda readings, tenants, **_: [NO_ENTRIES] * len(readings)),
            store=RecentHistory(cast(Any, None)),
        )
        patch.setattr(cache, "put_all", lambda verdicts: worker.commands.extend(cache.to_store(verdicts)))
        yield Path(worker, TaskPublisher(chosen), score_chunk, score)


@pytest.mark.timeout(0)
# Not by the seed: workers of pytest-xdist must collect the same names.
@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_is_accepted_goes_the_whole_way_and_what_is_not_is_refused_by_name(
    path: Path, number: int
) -> None:
    seed = SEED + number
    print(f"SEED={seed} repeats this")  # noqa: T201 - the report of the run
    left = EXAMPLES - number * ROUND
    bounded = settings(
        max_examples=min(ROUND, left),
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    @seeded(seed)
    @bounded
    @given(raw_readings())
    def goes_the_whole_way(raw: RawReading) -> None:
        whole_path(path, raw)

    began_s = time.process_time()
    goes_the_whole_way()
    for kind, lines in path.lines.items():
        while lines:
            some, lines[:] = lines[:SOME_ROWS], lines[SOME_ROWS:]
            published_as_files(some, kind)
    print(f"{min(ROUND, left)} examples took {time.process_time() - began_s:.0f} CPU-seconds")  # noqa: T201 - likewise


def whole_path(path: Path, raw: RawReading) -> None:
    document = raw.document
    at_the_doors = judged_alone(raw)
    for name, outcome in in_batches(raw, document, at_the_doors is None):
        assert alike(outcome) == alike(at_the_doors), name
    received = Received("charger.metrics", 0, 7, b"EVZ-1", document, [("source", b"\xff")], NOW.timestamp())
    # Costs are what the schedule reads.
    kind: JobKind = "maintenance" if b'"costs"' in document else JOB_KINDS[len(document) % len(JOB_KINDS)]
    lines = chunk_results(path, document, kind)
    path.lines[kind].append(lines[1])
    outcome, error = from_kafka(received)
    assert alike(outcome) == alike(at_the_doors)
    if error is not None:
        assert_is_told(error)
        assert_is_dead_letter(received, error)
        row = orjson.loads(lines[1])
        assert row["row"] == 1
        if isinstance(error, InvalidReading):
            assert {strip(each["pointer"]) for each in row["error"]["errors"]} == outcome
    else:
        assert isinstance(outcome, Reading)
        assert "error" not in orjson.loads(lines[1])
        predicted(path, received, outcome)


def judged_alone(raw: RawReading) -> Outcome:
    """Both ways call `parse_flat_or_enveloped(decode_json(…, for_schema=True))`."""
    body = b'{"charger_id":%b,"metrics":%b}' % (raw.last["charger_id"].encode(), raw.document)
    try:
        return parse_flat_or_enveloped(decode_json(body, for_schema=True), now=datetime.now(UTC))
    except InvalidReading as error:
        assert_is_told(error)
        return {strip(each.pointer.removeprefix("/metrics")) for each in error.errors}
    except MalformedBody:
        return None


def from_kafka(received: Received) -> tuple[Outcome, ServiceError | None]:
    try:
        return records.read(received, now=NOW)[0], None
    except InvalidReading as error:
        return {strip(each.pointer) for each in error.errors}, error
    except MalformedBody as error:
        return None, error


def strip(pointer: str) -> str:
    """The field of a pointer."""
    name = "/".join(pointer.split("/")[:2])
    assert name.startswith("/")
    return name


def alike(outcome: Outcome) -> Any:
    """What has to be the same wherever the reading comes in; the moment of arrival is not."""
    if isinstance(outcome, Reading):
        return outcome if outcome.stated_at else outcome._replace(timestamp=NOW), outcome.fingerprint()
    return outcome


def in_batches(raw: RawReading, document: bytes, broken: bool) -> Iterator[tuple[str, Outcome]]:
    """What comes of the reading in each format that can express it, between two that are in order."""
    enveloped = b'{"metrics":%b}' % document
    for name, row in (("", document), (" in envelopes", enveloped)):
        data = b"\n".join([GOOD, row, GOOD])
        yield f"ndjson{name}", of_file(data, "application/x-ndjson", rows.from_ndjson)
    if not broken:  # otherwise the whole document is
        for name, row in (("", document), (" in envelopes", enveloped)):
            listed = b'{"chargers":[%b,%b,%b]}' % (GOOD, row, GOOD)
            yield f"json{name}", of_file(listed, "application/json", rows.from_ndjson)
        values = decode_json(document, for_schema=True)
        # One of the two, of two in three examples: they cost as much as everything else.
        match len(document) % 3:
            case 0 if (cells := csv_cells(raw, values)) is not None:
                yield "csv", of_file(csv_file(cells), "text/csv", rows.from_csv)
            case 1 if (columns := arrow_columns(raw, values)) is not None:
                sink = io.BytesIO()
                parquet.write_table(pa.table(columns), sink)
                yield "parquet", of_file(sink.getvalue(), "application/vnd.apache.parquet", rows.from_arrow)


def of_file(data: bytes, media_type: str, read: Any) -> Outcome:
    (chunk,) = chunking.cut(Upload(io.BytesIO(data), len(data), ""), media_type, 10)
    orjson.dumps(chunk[0])
    first, found, last = read(chunk[1], now=NOW)
    assert isinstance(first, Reading)
    assert first == last
    assert first.charger_id == "GOOD"
    if isinstance(found, Refused):
        if isinstance(found.error, InvalidReading):
            return {strip(each.pointer.removeprefix("/metrics")) for each in found.error.errors}
        return None
    return cast(Reading, found)


def csv_cells(raw: RawReading, values: dict[str, Any]) -> dict[str, str] | None:
    """A cell for each value; None where CSV would say something else."""
    cells = {}
    for name, value in values.items():
        text = raw.last[name]
        if value is None:
            continue
        if name == "metadata" or (name == "error_codes" and text.startswith("[")):
            cells[name] = text
        elif name in BOUNDS and isinstance(value, int | float) and not isinstance(value, bool):
            cells[name] = str(value)
        elif name in TEXTS:
            if not isinstance(value, str) or not _is_plain(value):
                return None
            cells[name] = value
        elif name != "firmware":
            return None
    if any(len(cell) > 400_000 for cell in cells.values()):
        return None
    return cells


def _is_plain(text: str) -> bool:
    return is_encodable(text) and text != "" and text == text.strip() and not text.replace(".", "").isdigit()


def csv_file(cells: dict[str, str]) -> bytes:
    names = list(dict.fromkeys(["charger_id", "connector_status", "power", *cells]))
    good = {"charger_id": "GOOD", "connector_status": "CHARGING", "power": "7.5"}
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows([good, cells, good])
    return file.getvalue().encode()


def arrow_columns(raw: RawReading, values: dict[str, Any]) -> dict[str, pa.Array] | None:
    """Columns of types that say the same; None where there are none."""
    columns = {
        "charger_id": pa.array(["GOOD", None, "GOOD"]),
        "connector_status": pa.array(["CHARGING", None, "CHARGING"]),
        "power": pa.array([7.5, None, 7.5]),
    }
    for name, value in values.items():
        good = columns[name][0].as_py() if name in columns else None
        if value is None or name == "firmware":
            continue
        if name == "metadata":
            columns[name] = pa.array([None, raw.last[name], None])
        elif name in BOUNDS and isinstance(value, float):
            columns[name] = pa.array([good, value, good], pa.float64())
        elif name in BOUNDS and type(value) is int and abs(value) < 2**63 and name != "power":
            columns[name] = pa.array([good, value, good], pa.int64())
        elif name == "error_codes" and isinstance(value, list):
            if not all(isinstance(code, str) and is_encodable(code) for code in value):
                return None
            columns[name] = pa.array([None, value, None], pa.list_(pa.string()))
        elif name in TEXTS and isinstance(value, str) and _is_plain(value):
            columns[name] = pa.array([good, value, good], pa.string())
        else:
            return None
    return columns


def assert_is_told(error: ServiceError) -> None:
    """A caller is told, in a document of a modest size."""
    problem = problem_of(error)
    assert len(problem.body("request-1")) < 100_000


def assert_is_dead_letter(received: Received, error: ServiceError) -> None:
    letter = records.dead_letter(received, error, attempts=1, topic="dlq")
    assert (letter.key, letter.value) == (received.key, received.value)
    assert all(is_encodable(name) and isinstance(value, bytes) for name, value in letter.headers)
    assert dict(letter.headers)["x-error-code"] == error.code.encode()


def chunk_results(path: Path, document: bytes, kind: JobKind) -> list[bytes]:
    """The result rows of a chunk in which the reading stands between two that are in order."""
    job = Job("0" * 32, "t", kind, True, "ndjson", "RUNNING", 3, 0, 0, 10, NOW.timestamp())
    path.worker.commands.clear()
    results = path.chunk._results(path.worker, job, 0, b"\n".join([GOOD, document, GOOD]), 1)
    assert_can_be_sent(path.worker.commands)
    lines = results.in_order()
    orjson.dumps(results.first_problems())
    assert [orjson.loads(line)["row"] for line in lines] == [0, 1, 2]
    assert "error" not in orjson.loads(lines[0])
    return cast(list[bytes], lines)


def published_as_files(lines: Sequence[bytes], kind: JobKind) -> None:
    """Together, after the examples: alone each would cost more than all the rest of its way."""
    ids = [orjson.loads(line)["charger_id"] for line in lines]
    rows_of = {}
    for media_type, write in WRITERS.items():
        rows_of[media_type] = b"".join(write(iter([list(lines)]), kind))
    assert list(map(orjson.loads, rows_of["application/x-ndjson"].splitlines())) == list(
        map(orjson.loads, lines)
    )
    table = parquet.read_table(io.BytesIO(rows_of["application/vnd.apache.parquet"]))
    assert table["charger_id"].to_pylist() == ids
    read = csv.DictReader(io.StringIO(rows_of["text/csv"].decode(), newline=""))
    assert [row["charger_id"] for row in read] == [said or "" for said in ids]


def predicted(path: Path, received: Received, reading: Reading) -> None:
    """Both task messages, the worker's answer, the commands that store it, and the published records."""
    fingerprint = reading.fingerprint()
    assert len(bytes.fromhex(fingerprint)) == 16
    score_requests = [ScoreRequest(kind, "t", reading, fingerprint, 4e9) for kind in KINDS_ASKED]
    message = ScoreMessage("b", "ml:reply:x", score_requests, source="kafka")
    for encoded in (message.encode(), message.encode_columns()):
        _, envelope, event = path.publisher._task("ml.score", encoded, "ml.single", 3.0, None)
        orjson.dumps(event)
        (sent,), _, _ = json.loads(base64.b64decode(json.loads(envelope)["body"]))
        assert ScoreMessage.decode(sent) == message
    worker = cast(Any, path.worker)
    answers, stored = path.score.answer_all(worker, message, path.score.asked_of(score_requests))
    _, answers = decode_reply(encode_reply("b", answers))
    assert [answer.error_code for answer in answers] == [None] * len(score_requests)
    verdicts = [verdict for _, verdict in stored]
    assert_can_be_sent(path.worker.cache.to_store(verdicts))
    assert_can_be_sent(path.worker.fleet.to_store(path.score.predictions(stored)))
    assert_can_be_sent(path.worker.store.to_store([("t", reading)]))
    record = records.prediction(received, records.scored(reading, "t", *answers), topic="out")
    assert orjson.loads(record.value or b"")["event_id"] == "charger.metrics:0:7"
    assert_is_dead_letter(received, ScoringFailed(f"No verdict on {reading.charger_id}."))


def assert_can_be_sent(commands: Sequence[Command]) -> None:
    for command in commands:
        for argument in command:
            ENCODER.encode(argument)
