"""The service's HTTP calls that the demo makes, as a caller who knows only the contract would make them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

POLL_EVERY_S: Final = 0.2
NO_PROGRESS_AFTER_S: Final = 30.0
PAGE: Final = 1000


class DemoFailed(Exception):
    """Raised when a part of the demo cannot go on; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded body, and how long it took, seconds."""

    body: dict[str, Any]
    seconds: float


class Api:
    """Each method raises `DemoFailed`, which says what the service answered instead."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def must_be_ready(self) -> None:
        """Raises `DemoFailed` unless predictions can be served now, and to us."""
        ready = self._send("GET", "/health/ready", accepted=(200, 503))
        if ready.status_code == 503:
            missing = [
                f"{name} {check['status']} ({check['detail']})"
                for name, check in ready.json()["checks"].items()
                if check["status"] != "ok"
            ]
            raise DemoFailed(f"The service is not ready: {', '.join(missing)}.")
        if self._send("GET", "/api/v1/models", accepted=(200, 401, 403)).status_code != 200:
            raise DemoFailed(
                f"What runs at {self._client.base_url} does not know the key in ML_SERVICE_API_KEY "
                "(environment or .env). Was it started from another folder, or before .env changed?"
            )

    def failure(self, reading: dict[str, Any]) -> Answer:
        return self._predict("failure", reading)

    def maintenance(self, reading: dict[str, Any]) -> Answer:
        return self._predict("maintenance", reading)

    def anomaly(self, reading: dict[str, Any]) -> Answer:
        return self._predict("anomaly", reading)

    def batch(
        self, readings: Sequence[dict[str, Any]], console: Console
    ) -> tuple[list[dict[str, Any]], float]:
        """Score all readings as one job, with a progress bar.

        Returns the results in the order of the readings, and the seconds until the last was done.
        """
        began = time.monotonic()
        job = self._json("POST", "/api/v1/predictions/batch", json={"chargers": readings}, accepted=(202,))
        columns = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("", total=job["total"])
            moved_at = time.monotonic()
            while job["status"] in ("PENDING", "RUNNING"):
                time.sleep(POLL_EVERY_S)
                before, job = job, self._json("GET", f"/api/v1/jobs/{job['job_id']}")
                progress.update(bar, completed=job["done"])
                if job["done"] > before["done"]:
                    moved_at = time.monotonic()
                elif time.monotonic() - moved_at > NO_PROGRESS_AFTER_S:
                    at = f"{job['done']:,} of {job['total']:,} rows"
                    raise DemoFailed(f"The job stands at {at}. Does the batch worker run?")
        seconds = time.monotonic() - began
        if job["status"] != "SUCCEEDED":
            raise DemoFailed(f"The job ended as {job['status']}.")
        return self._results(job["job_id"], job["total"]), seconds

    def at_risk(self, limit: int) -> list[dict[str, Any]]:
        """The newest verdicts of the chargers with the highest failure probability."""
        page = self._json("GET", "/api/v1/chargers", params={"sort": "risk", "limit": limit})
        items: list[dict[str, Any]] = page["items"]
        return items

    def _predict(self, kind: str, reading: dict[str, Any]) -> Answer:
        began = time.monotonic()
        request = {"charger_id": reading["charger_id"], "metrics": reading}
        body = self._json("POST", f"/api/v1/predictions/{kind}", json=request)
        return Answer(body, time.monotonic() - began)

    def _results(self, job_id: str, total: int) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        cursor: str | None = "0"
        while cursor is not None and len(results) < total:
            page = self._json(
                "GET", f"/api/v1/jobs/{job_id}/results", params={"limit": PAGE, "cursor": cursor}
            )
            results.extend(page["items"])
            cursor = page["next"]
        if len(results) != total:
            raise DemoFailed(f"The job has {total:,} rows and gave {len(results):,} results.")
        return results

    def _json(
        self, method: str, path: str, *, accepted: Sequence[int] = (200,), **kwargs: Any
    ) -> dict[str, Any]:
        body: dict[str, Any] = self._send(method, path, accepted=accepted, **kwargs).json()
        return body

    def _send(self, method: str, path: str, *, accepted: Sequence[int], **kwargs: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **kwargs)
        except httpx.ConnectError:
            raise DemoFailed(
                f"Nothing answers at {self._client.base_url}. Start the service first, in another terminal: "
                "make run"
            ) from None
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {error or type(error).__name__}") from None
        if response.status_code not in accepted:
            raise DemoFailed(f"{method} {path} answered {response.status_code}: {_detail(response)}")
        return response


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
