"""A plain model of jobs and chunks: the promises of `tasks/jobs`, on dicts instead of Redis."""

from __future__ import annotations

from typing import Any, Final, cast

from tasks.jobs.chunks import ERRORS_SHOWN, LARGE_ROWS, LEASE_S, MISSED_S, SENT_S
from tasks.jobs.job_keys import OPEN_KEY, JobKeys, index_key, pack
from tests.integration.lua_models import ComparedWithRedis, Scores

RETENTION_S: Final = 3_600


class JobModel(ComparedWithRedis):
    """The keys of all jobs. Each method does one step of a job, and returns its answer."""

    def record(self, keys: JobKeys) -> dict[str, Any]:
        """The fields of a job; none if it has expired."""
        return cast(dict[str, Any], self.model.get(keys.record, {}))

    def is_open(self, keys: JobKeys) -> bool:
        """Whether a job waits or runs."""
        return self.record(keys).get("status") in ("PENDING", "RUNNING")

    def held(self, key: str, empty: type = dict) -> Any:
        """The value of a key, which begins as an empty one."""
        return self.model.setdefault(key, empty())

    def accepted(self, keys: JobKeys, tenant: str | None, chunks: int, rows: int) -> None:
        """A job of chunks with `rows` rows each."""
        self.model[keys.record] = {
            "tenant": tenant or "",
            "kind": "failure",
            "store": 0,
            "remember": 0,
            "encoding": "ndjson",
            "status": "PENDING",
            "done": 0,
            "failed": 0,
            "chunk_rows": rows,
            "created_at": self.now,
            "next": 0,
            "total": chunks * rows,
            "chunks": chunks,
            "input_bytes": chunks * len(pack(b"{}")),
        }
        self.model[keys.input] = {str(chunk): pack(b"{}") for chunk in range(chunks)}
        self.model[OPEN_KEY] = self.model.get(OPEN_KEY, frozenset()) | {keys.job_id}
        index = self.held(index_key(tenant), Scores)
        index[keys.job_id] = self.now
        for old in [old for old, at in index.items() if at <= self.now - 2 * RETENTION_S]:
            del index[old]
        self.expire(keys.record, RETENTION_S)
        self.expire(keys.input, RETENTION_S)
        self.expire(index_key(tenant), 2 * RETENTION_S)

    def fed(self, tenant: str, given: list[JobKeys], processes: int) -> list[tuple[str, int]]:
        """The chunks that a tenant's jobs send, in turns, while fewer than enough are sent or leased."""
        prefix = f"ml:tenant:{tenant}:" if tenant else "ml:"
        names = [f"{prefix}jobs:turns", f"{prefix}jobs:turns:large"]
        turns = [self.held(name, Scores) for name in names]
        active = set(self.model.get(f"{prefix}jobs:active", ()))

        def last() -> float:
            return float(max([0.0, *turns[0].values(), *turns[1].values()]))

        def is_large(keys: JobKeys) -> bool:
            return bool(self.record(keys).get("total", 0) > LARGE_ROWS)

        def is_waiting(keys: JobKeys) -> bool:
            return self.is_open(keys) and self.record(keys)["next"] < self.record(keys)["chunks"]

        for keys in given:
            if is_waiting(keys):
                turns[is_large(keys)].setdefault(keys.job_id, last() + 1)
            active.add(keys.job_id)
        out = [0, 0]
        for job_id in list(active):
            keys = JobKeys(job_id)
            count = len(self.model.get(keys.sent, ())) + len(self.model.get(keys.held, ()))
            out[is_large(keys)] += count
            if not count:
                active.remove(job_id)
        enough, enough_of_large = 2 * processes, 2 if processes == 1 else processes - 1
        taken = []
        while sum(out) < enough:
            sizes = [size for size in (0, 1)[: 2 if out[1] < enough_of_large else 1] if turns[size]]
            if not sizes:
                break
            size = min(sizes, key=lambda size: min(turns[size].values()))
            # Redis orders members of the same score by their bytes.
            job_id = min(turns[size], key=lambda job_id: (turns[size][job_id], job_id))
            keys, job = JobKeys(job_id), self.record(JobKeys(job_id))
            if is_waiting(keys):
                taken.append((job_id, job["next"]))
                self.held(keys.sent, Scores)[str(job["next"])] = self.now + SENT_S
                self.expire(keys.sent, RETENTION_S)
                job["next"] += 1
                active.add(job_id)
                out[size] += 1
            if is_waiting(keys):
                turns[size][job_id] = last() + 1
            else:
                del turns[size][job_id]
        self.model[f"{prefix}jobs:active"] = frozenset(active)
        for name in (*names, f"{prefix}jobs:active"):
            self.expire(name, 2 * RETENTION_S)
        return taken

    def lost(self, keys: JobKeys, tasks_wait: bool) -> list[str]:
        """The chunks whose task or worker is taken as lost; they are sent again."""
        sent, leased = self.held(keys.sent, Scores), self.held(keys.held, Scores)
        until = self.now if tasks_wait else self.now + SENT_S - MISSED_S
        lost = [chunk for chunk, at in sent.items() if at <= until]
        dead = [chunk for chunk, at in leased.items() if at <= self.now]
        for chunk in dead:
            del leased[chunk]
        for chunk in lost + dead:
            sent[chunk] = self.now + SENT_S
        self.expire(keys.sent, RETENTION_S)
        return lost + dead

    def begun(self, keys: JobKeys, chunk: str, token: str, dead_task: str) -> int:
        """The number of the attempt that begins, or 0 if the chunk must not be scored."""
        if not self.is_open(keys) or chunk in self.model.get(keys.results, {}):
            return 0
        attempts, leased = self.held(keys.attempts), self.held(keys.held, Scores)
        holder = str(attempts.get(f"{chunk}:holder", ""))
        if leased.get(chunk, 0.0) > self.now:
            if holder == token:
                return int(attempts[chunk])
            if not dead_task or holder.partition(":")[0] != dead_task:
                return 0
        if self.record(keys)["status"] == "PENDING":
            self.record(keys).update(status="RUNNING", started_at=self.now)
        self.held(keys.sent, Scores).pop(chunk, None)
        leased[chunk] = self.now + LEASE_S
        attempts.update({f"{chunk}:holder": token, chunk: attempts.get(chunk, 0) + 1})
        self.expire(keys.held, RETENTION_S)
        self.expire(keys.attempts, RETENTION_S)
        return int(attempts[chunk])

    def finished(
        self, keys: JobKeys, chunk: str, results: list[bytes], failed: int, errors: list[Any]
    ) -> int:
        """Whether the results of a chunk count: 0 if not, 2 if they are the last ones."""
        for key in (keys.sent, keys.held):
            self.held(key, Scores).pop(chunk, None)
        if not self.is_open(keys) or chunk in self.held(keys.results):
            return 0
        job, packed, rows = self.record(keys), pack(b"\n".join(results)), len(results)
        self.model[keys.results][chunk] = packed
        self.held(keys.input).pop(chunk, None)
        job["result_bytes"] = job.get("result_bytes", 0) + len(packed)
        job["done"] += rows
        job["failed"] += failed
        shown = self.held(keys.errors, list)
        shown += [b'{"row":%d}' % each["row"] for each in errors][: ERRORS_SHOWN - len(shown)]
        for key in keys.all:
            self.expire(key, RETENTION_S)
        if job["done"] < job["total"]:
            self.pace(job, rows)
            return 1
        job.update(finished_at=self.now, status="FAILED" if job["failed"] == job["total"] else "SUCCEEDED")
        self.drop(keys.sent, keys.held, keys.attempts)
        self.model[OPEN_KEY] -= {keys.job_id}
        return 2

    def pace(self, job: dict[str, Any], rows: int) -> None:
        """The rows of the last 10 seconds of work. A pause counts as usual work."""
        if "pace_at" in job:
            took, usual = self.now - job["pace_at"], rows * job["pace_s"] / job["pace_rows"]
            took = usual if took > max(5, 5 * usual) else took
            counted, seconds = job["pace_rows"] + rows, job["pace_s"] + took
        else:
            counted, seconds = job["done"], self.now - job.get("started_at", self.now)
        if seconds > 10:
            counted, seconds = counted * 10 / seconds, 10
        job.update(pace_rows=counted, pace_s=seconds, pace_at=self.now)

    def cancelled(self, keys: JobKeys) -> bool:
        """Whether a job was open, and is cancelled now."""
        if not self.is_open(keys):
            return False
        self.record(keys).update(status="CANCELLED", finished_at=self.now)
        self.drop(keys.input, keys.sent, keys.held, keys.attempts)
        self.model[OPEN_KEY] -= {keys.job_id}
        return True
