"""How the service stands at the end of a run: fleet, cache and jobs of each tenant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx

from tests.faults.callers import CHARGERS, TENANTS, said_by
from tests.faults.history import History
from tests.processes import wait_until

PAGE: Final = 100
PATIENCE_S: Final = 30.0


def write_final_state(url: str, history: History) -> None:
    """Write it as the last events. Blocks; raises `AssertionError` if the service does not answer in 30 s."""
    for tenant, key in TENANTS.items():
        headers = {"X-API-Key": key, "X-Tenant-ID": tenant}
        with httpx.Client(base_url=url, headers=headers, timeout=10) as client:
            history.write("jobs", tenant=tenant, jobs=[job["job_id"] for job in _all(client, "/api/v1/jobs")])
            for verdict in _all(client, "/api/v1/chargers"):
                history.write(
                    "newest",
                    store="fleet",
                    tenant=tenant,
                    charger=verdict["charger_id"],
                    said=said_by(verdict),
                    look=None,
                )
            for number in range(CHARGERS):
                charger = f"EVZ-{number:03d}"
                answer = _get(client, f"/api/v1/predictions/{charger}", 200, 404)
                said = said_by(answer.json()) if answer.status_code == 200 else None
                history.write("newest", store="cache", tenant=tenant, charger=charger, said=said, look=None)
    history.write("settled")


def _all(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """The items of all pages."""
    query = f"limit={PAGE}"
    while True:
        page = _get(client, f"{path}?{query}", 200).json()
        yield from page["items"]
        if page["next"] is None:
            return
        query = f"limit={PAGE}&cursor={page['next']}"


def _get(client: httpx.Client, path: str, *expected: int) -> httpx.Response:
    def answered() -> httpx.Response | None:
        try:
            answer = client.get(path)
        except httpx.HTTPError:
            return None
        return answer if answer.status_code in expected else None

    found = wait_until(answered, what=path, timeout_s=PATIENCE_S)
    assert found is not None
    return found
