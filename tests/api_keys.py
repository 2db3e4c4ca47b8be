"""`python -m web.keys` as an operator runs it, and what a key may do, for tests."""

from __future__ import annotations

import subprocess
import sys

import httpx

from settings import ROOT
from tests.processes import Web, environment, wait_until
from tests.services import RunningServer

JOBS = "/api/v1/jobs"


def run(redis: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "web.keys", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(redis.url), capture_output=True, text=True, timeout=60, check=False
    )


def created(redis: RunningServer, *arguments: str) -> str:
    done = run(redis, "create", "--name", "a test", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(web: Web, key: str, path: str = JOBS, tenant: str | None = None, method: str = "GET") -> int:
    headers = {"X-API-Key": key} | ({} if tenant is None else {"X-Tenant-ID": tenant})
    return httpx.request(method, f"{web.url}{path}", headers=headers, timeout=30).status_code


def wait_for(web: Web, key: str, *expected: int) -> None:
    wait_until(lambda: status(web, key) in expected, what=f"status {expected}", timeout_s=10)
