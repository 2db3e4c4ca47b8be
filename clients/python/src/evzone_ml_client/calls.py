"""Requests of each API call, and parsers of their responses. `MLClient` documents the calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

import httpx

from evzone_ml_client.errors import JobNotFinished
from evzone_ml_client.exchange import ApiResponse, Request
from evzone_ml_client.formats import StrPath, upload_headers
from evzone_ml_client.schemas import (
    AlertPage,
    AlertWithStory,
    AnomalyVerdict,
    AttributeFile,
    Attributes,
    BatchResult,
    Charger,
    FailurePrediction,
    FleetPage,
    Health,
    Job,
    JobPage,
    MaintenanceSchedule,
    Models,
    OutcomeAccepted,
    OutcomePage,
    Page,
    Reading,
    ReportedOutcome,
    ServiceInfo,
    SitePage,
    StoredAttributes,
)
from evzone_ml_client.settings import Settings

T = TypeVar("T")
Kind: TypeAlias = Literal["failure", "maintenance", "anomaly", "all"]
AlertKind: TypeAlias = Literal["failure", "anomaly"]
AlertState: TypeAlias = Literal["open", "closed", "all"]
OutcomeKind: TypeAlias = Literal["failed", "repaired", "false_alarm"]
JobStatus: TypeAlias = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
# Part of a batch call's time-out that is reserved for transferring the results.
WAY_BACK_S: Final = 0.5
# The service's largest page.
PAGE_ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One API call. `read` parses a 2xx response and raises `ValueError` if it cannot.

    `request` is a function if each attempt needs its own request. `timeout_s` None: the client's. `guarded`:
    use the circuit and retries. `about`: the charger of a failure prediction, for the last-prediction cache.
    `absent`: the problem code of a 404 that means the result None.
    """

    name: str
    request: Request | Callable[[], Request]
    read: Callable[[ApiResponse], T]
    timeout_s: float | None = None
    guarded: bool = True
    about: str | None = None
    absent: str | None = None


def health_check() -> Call[Health]:
    """Read `/health`. Not guarded: one attempt, even in an open circuit."""
    return Call(name="health_check", request=_get("/health"), read=_document("status"), guarded=False)


def predict_failure(reading: Reading) -> Call[FailurePrediction]:
    """Score a reading for failure."""
    request = _prediction("failure", reading)
    return Call(name="predict_failure", request=request, read=_PREDICTION, about=reading["charger_id"])


def predict_maintenance(reading: Reading) -> Call[MaintenanceSchedule]:
    """Score a reading for maintenance."""
    return Call(
        name="predict_maintenance", request=_prediction("maintenance", reading), read=_document("urgency")
    )


def detect_anomaly(reading: Reading) -> Call[AnomalyVerdict]:
    """Score a reading for anomalies."""
    return Call(name="detect_anomaly", request=_prediction("anomaly", reading), read=_document("is_anomaly"))


def get_cached_prediction(charger_id: str) -> Call[FailurePrediction | None]:
    """Read a charger's cached failure prediction. The result is None for 404 `unknown_charger`."""
    return Call(
        name="get_cached_prediction",
        request=_get(_path("predictions", charger_id)),
        read=_PREDICTION,
        about=charger_id,
        absent="unknown_charger",
    )


def invalidate_cache(charger_id: str) -> Call[None]:
    """Delete a charger's cached predictions."""
    request = Request(method="DELETE", path=_path("predictions", charger_id))
    return Call(name="invalidate_cache", request=request, read=lambda _answer: None, about=charger_id)


def batch_predictions(
    readings: Iterable[Reading], *, kind: Kind, store: bool | None, wait_s: int | None, settings: Settings
) -> Call[BatchResult]:
    """Score readings as a job, with `Prefer: wait` (RFC 7240).

    The default wait is the time-out less `WAY_BACK_S`, in whole seconds. Raises `JobNotFinished` for a 202.
    """
    timeout_s = settings.timeout_s + (wait_s or 0)
    wait_s = max(0, int(timeout_s - WAY_BACK_S)) if wait_s is None else wait_s
    headers = {"Content-Type": JSON, "Idempotency-Key": uuid4().hex, "Prefer": f"wait={wait_s}"}
    request = _batch(_readings(readings), headers, kind, store)
    return Call(name="batch_predictions", request=request, read=_batch_result, timeout_s=timeout_s)


def submit_batch(
    batch: Iterable[Reading] | StrPath,
    *,
    kind: Kind,
    store: bool | None,
    idempotency_key: str | None,
    file_format: str | None,
    on_sent: Callable[[int], None] | None,
    timeout_s: float | None,
    settings: Settings,
) -> Call[Job]:
    """Submit a job. Raises `ValueError` for an unknown file format, `OSError` for an unreadable file."""
    headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
    content: bytes | Path
    if isinstance(batch, str) and not Path(batch).exists():
        raise TypeError(f"batch: there is no file {batch!r}; give the path of a file, or readings")
    if isinstance(batch, str | PathLike):
        content = Path(batch)
        headers |= upload_headers(content, file_format) | {"Content-Length": str(content.stat().st_size)}
        timeout_s = timeout_s or settings.upload_timeout_s
    else:
        content = _readings(batch)
        headers["Content-Type"] = JSON
    request = _batch(content, headers, kind, store, on_sent)
    return Call(name="submit_batch", request=request, read=_JOB, timeout_s=timeout_s)


def get_job(job_id: str) -> Call[Job]:
    """Read a job."""
    return Call(name="get_job", request=_get(_path("jobs", job_id)), read=_JOB)


def cancel_job(job_id: str) -> Call[Job]:
    """Cancel a job."""
    return Call(name="cancel_job", request=Request(method="DELETE", path=_path("jobs", job_id)), read=_JOB)


def job_results(job_id: str, cursor: str) -> Call[Page]:
    """Read a page of a job's rows, from row `cursor` on."""
    params = {"cursor": cursor, "limit": str(PAGE_ROWS)}
    return Call(name="job_results", request=_get(results_path(job_id), params), read=_PAGE)


def list_jobs(
    cursor: str, *, status: JobStatus | None, kind: Kind | None, created_after: datetime | str | None
) -> Call[JobPage]:
    """Read a page of the jobs. Raises `ValueError` for a `created_after` without a time zone."""
    params = {"cursor": cursor, "limit": str(PAGE_ROWS)}
    if status is not None:
        params["status"] = status
    if kind is not None:
        params["kind"] = kind
    if created_after is not None:
        params["created_after"] = _moment("created_after", created_after)
    return Call(name="list_jobs", request=_get(_path("jobs"), params), read=_PAGE)


def job_events(job_id: str) -> Call[httpx.Response]:
    """Open a job's event stream, for the caller to read and close.

    Not guarded: one attempt. The caller reads the job instead if the stream fails.
    """
    headers = {"Accept": EVENTS, "Cache-Control": "no-store"}
    path = _path("jobs", job_id, "events")
    request = Request(method="GET", path=path, headers=headers, streamed=EVENTS)
    return Call(name="stream_job", request=request, read=_stream, guarded=False)


def results_path(job_id: str) -> str:
    """Path of a job's results."""
    return _path("jobs", job_id, "results")


class FleetFilters(TypedDict, total=False):
    """Filters of the fleet. Of several values any counts. `q` is part of the id, the name or the site.

    `scored` selects chargers with a prediction, or those of which only attributes are known.
    """

    site: str | Sequence[str]
    vendor: str | Sequence[str]
    model: str | Sequence[str]
    firmware: str | Sequence[str]
    status: str | Sequence[str]
    action: str | Sequence[str]
    min_risk: float
    scored: bool
    q: str


def fleet(cursor: str, *, sort: str, filters: FleetFilters | None) -> Call[FleetPage]:
    """Read a page of the newest verdict of each charger that the filters let pass."""
    params: dict[str, str | Sequence[str]] = {"sort": sort, "cursor": cursor, "limit": str(PAGE_ROWS)}
    for name, value in (filters or {}).items():
        if isinstance(value, bool):
            params[name] = str(value).lower()
        else:
            params[name] = str(value) if isinstance(value, str | float | int) else cast(Sequence[str], value)
    return Call(name="fleet", request=_get(_path("chargers"), params), read=_PAGE)


def sites(cursor: str, *, sort: str) -> Call[SitePage]:
    """Read a page of the sites."""
    params = {"sort": sort, "cursor": cursor, "limit": str(PAGE_ROWS)}
    return Call(name="sites", request=_get(_path("sites"), params), read=_PAGE)


def get_charger(charger_id: str) -> Call[Charger]:
    """Read a charger."""
    request = _get(_path("chargers", charger_id))
    return Call(name="get_charger", request=request, read=_document("charger_id", "attributes", "failure"))


def put_attributes(charger_id: str, attributes: Attributes) -> Call[StoredAttributes]:
    """Replace the attributes of a charger. Safe to retry."""
    request = replace(_post(_path("chargers", charger_id), attributes), method="PUT")
    return Call(name="put_attributes", request=request, read=_document("charger_id", "attributes"))


def upload_attributes(file: StrPath, *, timeout_s: float | None, settings: Settings) -> Call[AttributeFile]:
    """Send a CSV file of attributes. Safe to retry.

    Raises `ValueError` for another file format, `OSError` for an unreadable file.
    """
    content = Path(file)
    headers = upload_headers(content)
    if headers["Content-Type"] != "text/csv":
        raise ValueError(f"{content.name}: must end in .csv or .csv.gz")
    headers["Content-Length"] = str(content.stat().st_size)
    request = Request(method="POST", path=_path("chargers"), headers=headers, content=content)
    timeout_s = timeout_s or settings.upload_timeout_s
    read = _document("stored", "failed", "errors")
    return Call(name="upload_attributes", request=request, read=read, timeout_s=timeout_s)


def list_models() -> Call[Models]:
    """Read the models loaded by the workers."""
    return Call(name="list_models", request=_get(_path("models")), read=_document("models"))


def service_info() -> Call[ServiceInfo]:
    """Read the version of the service, and its brokers and topics."""
    return Call(name="service_info", request=_get(_path("service")), read=_document("service", "kafka"))


def post_outcome(charger_id: str, outcome: OutcomeKind, occurred_at: datetime | str) -> Call[OutcomeAccepted]:
    """Report an outcome. Safe to retry: the service stores the same outcome once.

    Raises `ValueError` for an `occurred_at` without a time zone.
    """
    moment = _moment("occurred_at", occurred_at)
    body = {"charger_id": charger_id, "outcome": outcome, "occurred_at": moment}
    return Call(name="post_outcome", request=_post(_path("outcomes"), body), read=_document("verdict_known"))


def list_outcomes(cursor: str, *, charger_id: str | None) -> Call[OutcomePage]:
    """Read a page of the reported outcomes."""
    params = {"cursor": cursor, "limit": str(PAGE_ROWS)}
    if charger_id is not None:
        params["charger_id"] = charger_id
    return Call(name="list_outcomes", request=_get(_path("outcomes"), params), read=_PAGE)


def correct_outcome(
    outcome_id: str, *, outcome: OutcomeKind | None, occurred_at: datetime | str | None
) -> Call[ReportedOutcome]:
    """Correct an outcome. Raises `ValueError` without a change, and for a time without a time zone."""
    body: dict[str, str] = {} if outcome is None else {"outcome": outcome}
    if occurred_at is not None:
        body["occurred_at"] = _moment("occurred_at", occurred_at)
    if not body:
        raise ValueError("give outcome, occurred_at, or both")
    request = replace(_post(_path("outcomes", outcome_id), body), method="PUT")
    return Call(name="correct_outcome", request=request, read=_document("outcome_id", "alerted"))


def delete_outcome(outcome_id: str) -> Call[None]:
    """Delete an outcome."""
    request = Request(method="DELETE", path=_path("outcomes", outcome_id))
    return Call(name="delete_outcome", request=request, read=lambda _answer: None)


def list_alerts(
    cursor: str | None,
    *,
    state: AlertState,
    kind: AlertKind | None,
    charger_id: str | None,
    acknowledged: bool | None,
    assigned_to: str | None,
    muted: bool | None,
) -> Call[AlertPage]:
    """Read a page of alerts."""
    texts = {"cursor": cursor, "kind": kind, "charger_id": charger_id, "assigned_to": assigned_to}
    flags = {"acknowledged": acknowledged, "muted": muted}
    params = {name: value for name, value in texts.items() if value is not None}
    params |= {name: str(value).lower() for name, value in flags.items() if value is not None}
    request = _get(_path("alerts"), {"state": state, "limit": str(PAGE_ROWS)} | params)
    return Call(name="list_alerts", request=request, read=_PAGE)


def get_alert(alert_id: str) -> Call[AlertWithStory]:
    """Read an alert."""
    return Call(name="get_alert", request=_get(_path("alerts", alert_id)), read=_document("story"))


def acknowledge_alert(alert_id: str, *, note: str | None) -> Call[AlertWithStory]:
    """Acknowledge an alert. Safe to retry: a repeat changes nothing."""
    return _changed_alert(
        "acknowledge_alert", alert_id, "acknowledge", {} if note is None else {"note": note}
    )


def assign_alert(alert_id: str, to: str | None) -> Call[AlertWithStory]:
    """Assign an alert, or end that."""
    return _changed_alert("assign_alert", alert_id, "assign", {"to": to})


def mute_alert(
    alert_id: str, *, reason: str, until: datetime | str | None, hours: float | None
) -> Call[AlertWithStory]:
    """Mute an alert. Raises `ValueError` without exactly one end, and for a time without a time zone."""
    if (until is None) == (hours is None):
        raise ValueError("give until or hours")
    end = {"hours": hours} if until is None else {"until": _moment("until", until)}
    return _changed_alert("mute_alert", alert_id, "mute", {**end, "reason": reason})


def unmute_alert(alert_id: str) -> Call[AlertWithStory]:
    """End the muting of an alert."""
    request = Request(method="DELETE", path=_path("alerts", alert_id, "mute"))
    return Call(name="unmute_alert", request=request, read=_document("story"))


def _changed_alert(name: str, alert_id: str, action: str, body: object) -> Call[AlertWithStory]:
    return Call(name=name, request=_post(_path("alerts", alert_id, action), body), read=_document("story"))


def erase_charger(charger_id: str) -> Call[Job]:
    """Erase a charger, as a job."""
    request = Request(method="DELETE", path=_path("chargers", charger_id))
    return Call(name="erase_charger", request=request, read=_JOB)


def erase_tenant(tenant_id: str) -> Call[Job]:
    """Erase a tenant, as a job."""
    request = Request(method="DELETE", path=_path("tenants", tenant_id))
    return Call(name="erase_tenant", request=request, read=_JOB)


def _moment(name: str, moment: datetime | str) -> str:
    """A time as RFC 3339 text. Raises `ValueError` for text that is no time, and without a time zone."""
    if isinstance(moment, str):
        try:
            parsed = datetime.fromisoformat(moment.strip().upper())
        except ValueError:
            raise ValueError(f"{name} must be like 2026-11-20T08:30:00Z, not {moment!r}") from None
    else:
        parsed = moment
    if parsed.tzinfo is None:
        raise ValueError(f"{name} must say its time zone")
    return parsed.isoformat()


def _get(path: str, params: Mapping[str, str | Sequence[str]] | None = None) -> Request:
    return Request(method="GET", path=path, params=params or {})


def _post(path: str, body: object) -> Request:
    return Request(method="POST", path=path, headers={"Content-Type": JSON}, content=_encoded(body))


def _prediction(kind: str, reading: Reading) -> Request:
    return _post(_path("predictions", kind), {"charger_id": reading["charger_id"], "metrics": reading})


def _path(*parts: str) -> str:
    return "/".join(["/api/v1", *(quote(part, safe="") for part in parts)])


def _batch(
    content: bytes | Path,
    headers: dict[str, str],
    kind: Kind,
    store: bool | None,
    on_sent: Callable[[int], None] | None = None,
) -> Request:
    params = {"kind": kind} | ({} if store is None else {"store": str(store).lower()})
    path = _path("predictions", "batch")
    return Request(method="POST", path=path, params=params, headers=headers, content=content, on_sent=on_sent)


def _readings(readings: Iterable[Reading]) -> bytes:
    if isinstance(readings, str | bytes | bytearray | Mapping):
        raise TypeError(f"readings: must be a list of readings, not {type(readings).__name__}")
    return _encoded({"chargers": list(readings)})


def _encoded(body: object) -> bytes:
    text = json.dumps(
        body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_datetime_text
    )
    return text.encode()


def _datetime_text(value: object) -> str:
    """RFC 3339 text of a `datetime` in a reading. Raises `TypeError` for other types."""
    if isinstance(value, datetime):
        return _moment("a time in a reading", value)
    raise TypeError(f"a reading cannot hold a value of type {type(value).__name__}")


def _document(*fields: str) -> Callable[[ApiResponse], Any]:
    """Return a parser of a JSON object. It raises `ValueError` if one of `fields` is missing."""

    def read(answer: ApiResponse) -> Any:
        document = json.loads(answer.body)
        if not isinstance(document, dict) or not document.keys() >= set(fields):
            raise ValueError(f"a JSON document without {', '.join(fields)}")
        return document

    return read


_PREDICTION: Final = _document("failure_probability", "reading_timestamp")
_JOB: Final = _document("job_id", "status", "total", "done")
_PAGE: Final = _document("items", "next")
_BATCH_RESULT: Final = _document("job_id", "predictions")


def _stream(answer: ApiResponse) -> httpx.Response:
    if answer.stream is None:
        raise ValueError("no stream of events")
    return answer.stream


def _batch_result(answer: ApiResponse) -> BatchResult:
    if answer.status == httpx.codes.ACCEPTED:
        raise JobNotFinished(_JOB(answer))
    result: BatchResult = _BATCH_RESULT(answer)
    return result
