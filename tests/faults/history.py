"""The history of a run: every send, acknowledgement, answer and outcome, one JSON object a line.

Each event has `event`, its name, and `at`, a moment in `time.monotonic()` seconds. A reading is a list
`[tenant, charger, timestamp, fingerprint]`. Events and their other fields:

    run      transactions: whether each record is promised one committed outcome, or at least one
    send     request (its id), url, caller (API key), reading: a single prediction is asked for
    answer   request, status (0: none), echo (the request id in the answer), connection (the caller's port),
             said (the reading that a 200 names), degraded, cached
    record   partition, offset (null: not acknowledged), reading, wrong (whether it cannot be read)
    outcome  kind (prediction, dead_letter), partition, offset (of the record), placed (partition and offset
             of the outcome), said
    submit   tenant, key (Idempotency-Key), rows ([charger, timestamp, fingerprint], fingerprint null: a wrong
             row), wrong (whether all of it must be refused)
    accept   tenant, key, status (0: none), job (its id, null: not accepted)
    rows     job, rows ([row, tenant, charger, timestamp, fingerprint], timestamp null: an error)
    ended    job, status, total
    jobs     tenant, jobs: the ids that the tenant is shown at the end
    peek     tenant, job, status: a tenant asks for the job of another
    look     look (its id): a caller asks for the newest reading of a charger while the traffic runs
    newest   store (fleet, cache), tenant, charger, said (null: nothing is stored), look (null at the end)
    losing   data are about to be lost on purpose
    lost     they are: Redis came back empty
    switch   phase (begins, ends): model versions change; cached verdicts of other versions are not shown
    fault    name, phase (begins, ends)
    settled  the last event of a run that was read to its end
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import orjson

BUFFER_BYTES: Final = 1 << 18


class History:
    """A file that grows by one line an event. Thread-safe. A line is on disk after `close` at the latest."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._file = path.open("ab", buffering=BUFFER_BYTES)
        self._lock = threading.Lock()

    def write(self, event: str, **fields: Any) -> None:
        """Append an event. Its moment is now."""
        with self._lock:
            self._file.write(
                orjson.dumps({"event": event, "at": round(time.monotonic(), 4), **fields}) + b"\n"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class Line(NamedTuple):
    """An event, and the number of its line from 1."""

    number: int
    event: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.number}: {orjson.dumps(self.event).decode()}"


def read(path: Path) -> Iterator[Line]:
    """The events of a file, in order, without holding them. Raises `ValueError` at a line that is no JSON."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            yield Line(number, orjson.loads(raw))
