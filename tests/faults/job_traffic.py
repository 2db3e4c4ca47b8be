"""Callers that submit jobs, submit some of them again, ask for those of others, and read the results."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from typing import Any, Final, Protocol

import httpx
import orjson

from tests.faults.callers import TENANTS, Chargers, said_by
from tests.faults.history import History

BATCH: Final = "/api/v1/predictions/batch"
JOBS: Final = "/api/v1/jobs"
JSON: Final = {"Content-Type": "application/json"}
ROWS: Final = 500
PAGE: Final = 1000
RETRY_AFTER_S: Final = 0.5
ATTEMPTS: Final = 20
POLL_S: Final = 1.0
# After the end of the traffic.
SETTLED_WITHIN_S: Final = 90.0
# One job in so many is refused as a whole.
WRONG_EACH: Final = 6
GONE: Final = "GONE"
# Chargers of a job that are looked for after it.
LOOKS: Final = 20


class Rate(Protocol):
    """How often a job is submitted."""

    job_every_s: float


class Jobs:
    """Jobs of all tenants through one client. `accepted` counts them."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        urls: list[str],
        history: History,
        chargers: Chargers,
        chance: random.Random,
    ) -> None:
        self.accepted = 0
        self._client = client
        self._urls = itertools.cycle(urls)
        self._history = history
        self._chargers = chargers
        self._chance = chance
        self._deadline: float | None = None

    def stop(self) -> None:
        """Give up on jobs that have not ended 90 s from now."""
        self._deadline = time.monotonic() + SETTLED_WITHIN_S

    async def submit_for_ever(self, group: asyncio.TaskGroup, rate: Rate) -> None:
        """Submit jobs, and have each followed to its end in `group`. Ends when it is cancelled."""
        for number in itertools.count():
            # The tenants use the same keys.
            key = f"{number // len(TENANTS)}-of-all"
            tenant = list(TENANTS)[number % len(TENANTS)]
            group.create_task(self._run(tenant, key, is_wrong=number % WRONG_EACH == WRONG_EACH - 1))
            await asyncio.sleep(rate.job_every_s)

    async def _run(self, tenant: str, key: str, *, is_wrong: bool) -> None:
        sent = [self._chargers.reading(tenant) for _ in range(ROWS)]
        rows: list[list[str | None]] = [[one.charger, one.timestamp, one.fingerprint] for one in sent]
        bodies = [one.body for one in sent]
        wrong_row = self._chance.randrange(ROWS)
        bodies[wrong_row] = bodies[wrong_row] | {"temperature": "warm"}
        rows[wrong_row][2] = None
        body = orjson.dumps({"chargers": bodies})
        if is_wrong:
            body, rows = body[: len(body) // 2], []
        self._history.write("submit", tenant=tenant, key=key, rows=rows, wrong=is_wrong)
        job = await self._accepted(tenant, key, body)
        if job is None:
            return
        self.accepted += 1
        await self._accepted(tenant, key, body)
        await self._peek(tenant, job)
        if await self._follow(tenant, job):
            chargers = self._chance.sample([one.charger for one in sent], LOOKS)
            await asyncio.gather(*(self._look(tenant, charger) for charger in chargers))

    async def _accepted(self, tenant: str, key: str, body: bytes) -> str | None:
        """Submit a job, again and again while the service cannot take it; its id."""
        for _ in range(ATTEMPTS):
            answer = await self._ask("POST", tenant, BATCH, content=body, key=key)
            status = 0 if answer is None else answer.status_code
            job = str(answer.json()["job_id"]) if answer is not None and status in (200, 202) else None
            self._history.write("accept", tenant=tenant, key=key, status=status, job=job)
            if job is not None or (400 <= status < 500 and status not in (409, 429)):
                return job
            await asyncio.sleep(RETRY_AFTER_S)
        return None

    async def _peek(self, owner: str, job: str) -> None:
        """Ask for a job as another tenant."""
        other = self._chance.choice([tenant for tenant in TENANTS if tenant != owner])
        answer = await self._ask("GET", other, f"{JOBS}/{job}")
        status = 0 if answer is None else answer.status_code
        self._history.write("peek", tenant=other, job=job, status=status)

    async def _look(self, tenant: str, charger: str) -> None:
        """Ask for the newest prediction of a charger. It is at least as new as that of the job."""
        look = uuid.uuid4().hex
        self._history.write("look", look=look, tenant=tenant, charger=charger)
        answer = await self._ask("GET", tenant, f"/api/v1/predictions/{charger}")
        if answer is not None and answer.status_code in (200, 404):
            said = said_by(answer.json()) if answer.status_code == 200 else None
            self._history.write("newest", store="cache", tenant=tenant, charger=charger, said=said, look=look)

    async def _follow(self, tenant: str, job: str) -> bool:
        """Wait for the end of a job and read its results; whether they were all read."""
        state: dict[str, Any] = {"status": "PENDING", "total": None, "finished_at": None}
        is_read = False
        while self._deadline is None or time.monotonic() < self._deadline:
            answer = await self._ask("GET", tenant, f"{JOBS}/{job}")
            if answer is not None and answer.status_code == 404:
                state["status"] = GONE
                break
            if answer is not None and answer.status_code == 200:
                state = answer.json()
                if state["finished_at"] and await self._read(tenant, job):
                    is_read = True
                    break
            await asyncio.sleep(POLL_S)
        self._history.write("ended", job=job, status=state["status"], total=state["total"])
        return is_read

    async def _read(self, tenant: str, job: str) -> bool:
        """Write all results of a job that has ended; False if a page could not be read."""
        rows: list[list[Any]] = []
        cursor: str | None = "0"
        while cursor is not None:
            answer = await self._ask("GET", tenant, f"{JOBS}/{job}/results?limit={PAGE}&cursor={cursor}")
            if answer is None or answer.status_code != 200:
                return False
            page = answer.json()
            rows += [_result(item) for item in page["items"]]
            cursor = page["next"] if page["items"] else None
        self._history.write("rows", job=job, rows=rows)
        return True

    async def _ask(
        self, method: str, tenant: str, path: str, *, content: bytes | None = None, key: str | None = None
    ) -> httpx.Response | None:
        """The answer; None without one."""
        headers = {"X-API-Key": TENANTS[tenant], "X-Tenant-ID": tenant, "X-Request-ID": uuid.uuid4().hex}
        if key is not None:
            headers |= JSON | {"Idempotency-Key": key}
        try:
            return await self._client.request(
                method, next(self._urls) + path, content=content, headers=headers
            )
        except httpx.HTTPError:
            return None


def _result(item: dict[str, Any]) -> list[Any]:
    """A result as in the history. An error names its charger alone."""
    if "error" in item:
        return [item["row"], None, item["charger_id"], None, None]
    return [item["row"], *said_by(item)]
