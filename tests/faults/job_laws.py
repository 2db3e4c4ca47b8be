"""The laws of jobs: one result for each row of an accepted job, and one job for each `Idempotency-Key`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.history import Line
from tests.faults.laws import Law

# A job's tenant and key.
Key = tuple[str, str]
CONFLICT: Final = 409


@dataclass
class Accepted:
    """An accepted job that has not ended: its line, its rows, and how often each has a result."""

    key: Key
    line: Line
    rows: list[Any]
    seen: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.seen = bytearray(len(self.rows))


class OneResult(Law):
    """Each accepted job ends with one result for each row, of its own reading. No refused job is there."""

    title = "one result for each row of each accepted job"

    def __init__(self) -> None:
        super().__init__()
        self._submitted: dict[Key, Line] = {}
        self._unclear: set[Key] = set()
        self._known: set[Key] = set()
        self._open: dict[str, Accepted] = {}
        self._tenants: dict[str, str] = {}
        self._released: set[str] = set()
        self._losing = False

    def on_submit(self, line: Line) -> None:
        """Keep the rows until the job has ended."""
        self._submitted[_key(line)] = line

    def on_accept(self, line: Line) -> None:
        """An accepted job owes its results. Without an answer, a job may have been made."""
        event, key = line.event, _key(line)
        job, submitted = event["job"], self._submitted.get(key)
        if job is None:
            if event["status"] in (0, CONFLICT) or event["status"] >= 500:
                self._unclear.add(key)
            else:
                self.notes["jobs refused"] += 1
            return
        self._unclear.discard(key)
        if job in self._tenants:
            return
        self._tenants[job] = key[0]
        if key in self._known:
            return  # `SameJob` judges it
        self._known.add(key)
        if submitted is None or submitted.event["wrong"]:
            self.violated("a job that must be refused was accepted", submitted, line)
            return
        self.notes["jobs"] += 1
        self._open[job] = Accepted(key, line, self._submitted.pop(key).event["rows"])

    def on_rows(self, line: Line) -> None:
        """Compare each result with its row."""
        job = self._open.get(line.event["job"])
        if job is None:
            if line.event["job"] not in self._released:
                self.violated("results of a job that is not open", line)
            return
        for number, *said in line.event["rows"]:
            if not 0 <= number < len(job.rows):
                self.violated(f"a result of row {number}, which was not sent", job.line)
                continue
            job.seen[number] = min(255, job.seen[number] + 1)
            charger, timestamp, fingerprint = job.rows[number]
            is_wrong = fingerprint is None
            own = [None, charger, None, None] if is_wrong else [job.key[0], charger, timestamp, fingerprint]
            if job.seen[number] > 1:
                self.violated(f"a second result of row {number}: {said}", job.line)
            elif said == own:
                self.proved += 1
                self.notes["errors of wrong rows"] += is_wrong
            else:
                self.violated(f"the result of row {number} is {said}, not of {own}", job.line)

    def on_ended(self, line: Line) -> None:
        """All rows must have had their result."""
        job = self._open.pop(line.event["job"], None)
        if job is None:
            return
        if self._losing:
            self.notes["jobs lost on purpose"] += 1
            return
        if line.event["status"] != "SUCCEEDED":
            self.violated("an accepted job did not succeed", job.line, line)
        elif missing := job.seen.count(0):
            self.violated(f"{missing} rows of an accepted job have no result", job.line, line)

    def on_losing(self, _: Line) -> None:
        """No job from before owes anything, and none until the data are lost."""
        self._losing = True
        self._release()

    def on_lost(self, _: Line) -> None:
        """Jobs owe their results again."""
        self._losing = False
        self._release()

    def _release(self) -> None:
        self.notes["jobs lost on purpose"] += len(self._open)
        self._released |= self._open.keys()
        self._open.clear()

    def on_jobs(self, line: Line) -> None:
        """A tenant is shown its own jobs. One more may be there for each submission without an answer."""
        tenant = line.event["tenant"]
        strangers = [job for job in line.event["jobs"] if self._tenants.get(job) != tenant]
        unclear = sum(key[0] == tenant for key in self._unclear)
        if any(job in self._tenants for job in strangers):
            self.violated("a tenant is shown the job of another", line)
        elif len(strangers) > unclear:
            self.violated(
                f"{len(strangers)} jobs are there, of {unclear} submissions without an answer", line
            )
        doubled = [job for job, times in Counter(line.event["jobs"]).items() if times > 1]
        if doubled:
            self.violated(f"jobs are listed twice: {doubled}", line)

    def finish(self) -> None:
        """Every accepted job must have ended."""
        for job in self._open.values():
            self.violated("an accepted job has not ended", job.line)


class SameJob(Law):
    """A submission with the same `Idempotency-Key` is the same job, and that of no other key or tenant."""

    title = "one job for each Idempotency-Key of a tenant"

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[Key, Line] = {}
        self._keys: dict[str, Line] = {}

    def on_accept(self, line: Line) -> None:
        """Compare with the job before."""
        job = line.event["job"]
        if job is None:
            return
        first = self._jobs.setdefault(_key(line), line)
        owner = self._keys.setdefault(job, line)
        if first.event["job"] != job:
            self.violated("two jobs of one Idempotency-Key", first, line)
        elif _key(owner) != _key(line):
            self.violated("one job of two Idempotency-Keys", owner, line)
        elif first is not line:
            self.proved += 1

    def on_lost(self, _: Line) -> None:
        """Keys are forgotten with their jobs."""
        self._jobs.clear()


def _key(line: Line) -> Key:
    return line.event["tenant"], line.event["key"]
