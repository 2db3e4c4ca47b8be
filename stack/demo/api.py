"""HTTP parts of the demo that need more than one call of the client."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evzone_ml_client import MLClient, NotFound, RequestRejected, ServiceUnavailable
from evzone_ml_client import Settings as ClientSettings
from evzone_ml_client.schemas import Job, Reading, ServiceInfo
from settings import Settings
from stack.local_api import LocalApi

TENANT: Final = "demo"
LOOK_EVERY_S: Final = 0.2
NO_PROGRESS_AFTER_S: Final = 30.0


class DemoFailed(Exception):
    """Raised when a part of the demo cannot continue. The message is for the user."""


def client(settings: Settings, role: str, *, tenant: str | None = TENANT) -> MLClient:
    """A client of this machine's service, with a key of this role. Raises `DemoFailed` if there is none."""
    api = LocalApi(settings)
    for key in settings.api_keys:
        if role in key.roles:
            return MLClient(
                ClientSettings(url=api.url, api_key=key.key, tenant=tenant, timeout_s=60, ssl_context=api.tls)
            )
    raise DemoFailed(f"No key in ML_SERVICE_API_KEY (environment or .env) has the role {role}.")


def refuse_earlier_demo(ml: MLClient) -> None:
    """Raise `DemoFailed` if the tenant has chargers: counts and histories would mix with those of before."""
    if next(iter(ml.fleet()), None) is not None:
        raise DemoFailed(
            f"The tenant {TENANT} has chargers of an earlier demo. Remove them first: make demo-clean"
        )


def ready_service(ml: MLClient, settings: Settings) -> ServiceInfo:
    """Return the description of the service. Raises `DemoFailed` unless it is ready and accepts the key."""
    url = ml.settings.url
    try:
        ml.health_check()
    except ServiceUnavailable:
        raise DemoFailed(
            f"Nothing answers at {url}. Start the service first, in another terminal: make run"
        ) from None
    if problem := LocalApi(settings).problem("/health/ready"):
        raise DemoFailed(f"The service is not ready: it {problem}.")
    try:
        return ml.service_info()
    except NotFound:
        raise DemoFailed(f"The service at {url} is of an older release than this demo.") from None
    except RequestRejected:
        raise DemoFailed(
            f"What runs at {url} does not know the key in ML_SERVICE_API_KEY (environment or .env). Was it "
            "started from another folder, or before .env changed?"
        ) from None


def scored_as_job(
    ml: MLClient, readings: Sequence[Reading], console: Console
) -> tuple[list[dict[str, Any]], float]:
    """Score all readings for all three kinds as one job, with a progress bar. Blocks until the job ends.

    Returns the results in the order of the readings, and the seconds until the last was done. Raises
    `DemoFailed` and `MLClientError`.
    """
    began = time.monotonic()
    job = ml.submit_batch(readings, kind="all")
    columns = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=job["total"])
        moved_at = time.monotonic()
        while job["finished_at"] is None:
            time.sleep(LOOK_EVERY_S)
            before, job = job, ml.get_job(job["job_id"])
            progress.update(bar, completed=job["done"])
            if job["done"] > before["done"]:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > NO_PROGRESS_AFTER_S:
                at = f"{job['done']:,} of {job['total']:,} rows"
                raise DemoFailed(f"The job stands at {at}. Does the batch worker run?")
    seconds = time.monotonic() - began
    if job["status"] != "SUCCEEDED":
        raise DemoFailed(f"The job ended as {job['status']}.")
    results = list(ml.job_results(job["job_id"]))
    if len(results) != job["total"]:
        raise DemoFailed(f"The job has {job['total']:,} rows and gave {len(results):,} results.")
    return results, seconds


def erased(ml: MLClient, on_look: Callable[[Job], None]) -> dict[str, Any]:
    """Erase the tenant, and return the receipt. Calls `on_look` with the job while it runs. Blocks.

    Raises `DemoFailed` and `MLClientError`.
    """
    job = ml.erase_tenant(TENANT)
    while job["finished_at"] is None:
        time.sleep(LOOK_EVERY_S)
        job = ml.get_job(job["job_id"])
        on_look(job)
    if job["status"] != "SUCCEEDED":
        raise DemoFailed(f"The erasure ended as {job['status']}. Repeat it: make demo-clean")
    (receipt,) = ml.job_results(job["job_id"])
    return receipt
