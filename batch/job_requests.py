"""The service's HTTP calls about jobs, each repeated until it is answered or patience ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import httpx

from batch.formats import MEDIA_TYPES, InputFormat
from batch.outcome import NotSucceeded, Refused, Unreachable

JOBS: Final = "/api/v1/jobs"
SUBMIT: Final = "/api/v1/predictions/batch"
READ_BYTES: Final = 262_144
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
# A comment comes every 10 s.
EVENTS_SILENT_S: Final = 30.0
# So long an upload that was cut may still be on its way into a job. Later it never will: its process died.
ACCEPTING_S: Final = 30.0
STRANGE_CHARS: Final = 100
CONFLICT: Final = 409
# The upload stopped midway; shed load.
MAY_PASS: Final = (408, 429)

Job = dict[str, Any]
Result = TypeVar("Result")


class Again(Exception):
    """Raised where the same call may succeed later; `pause_s` is the service's own wish, if it has one."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        self.pause_s = pause_s
        super().__init__(reason)


class UploadLost(Exception):
    """Raised when an earlier upload with the same key has been under way for longer than it can be."""


class Service:
    """Every method blocks until it is answered.

    They raise `Refused` for what will never be answered otherwise, and `Unreachable` once nothing has been
    answered for `patience_s`. `say` is told of each outage.
    """

    def __init__(self, client: httpx.Client, patience_s: float, say: Callable[[str], None]) -> None:
        self._client = client
        self._patience_s = patience_s
        self._say = say

    def submit(
        self,
        file: Path,
        format_: InputFormat,
        *,
        kind: str,
        key: str,
        on_sent: Callable[[int], None],
    ) -> Job:
        """Upload a file as a job; `on_sent` is told of each number of bytes that has been sent.

        Raises `UploadLost` when `key` is held by an upload that will never become a job.
        """
        headers = {
            **format_.headers(),
            "Content-Length": str(file.stat().st_size),
            "Idempotency-Key": key,
        }
        since = time.monotonic()

        def once() -> Job:
            with file.open("rb") as opened:
                answer = self._client.post(
                    SUBMIT, params={"kind": kind}, headers=headers, content=_pieces(opened, on_sent)
                )
            if answer.status_code == CONFLICT:
                if time.monotonic() - since > ACCEPTING_S:
                    raise UploadLost
                raise Again("an earlier upload is still being accepted", 2.0)
            return _job(answer)

        return self._patiently(once)

    def job(self, job_id: str) -> Job | None:
        """The job's document; None where it is not known (any more)."""

        def once() -> Job | None:
            answer = self._client.get(f"{JOBS}/{job_id}")
            return None if answer.status_code == httpx.codes.NOT_FOUND else _job(answer)

        return self._patiently(once)

    def cancel(self, job_id: str) -> bool:
        """Whether the job is cancelled. Tries once: somebody wants to leave."""
        try:
            return self._client.delete(f"{JOBS}/{job_id}").is_success
        except httpx.TransportError:
            return False

    def progress(self, job_id: str) -> Iterator[Job]:
        """The job's document each time that it has changed; the last one is of an ended job.

        Raises `NotSucceeded` where the job is not known any more.
        """
        while True:
            job = self.job(job_id)
            if job is None:
                raise _forgotten(job_id)
            yield job
            if job["finished_at"] is not None:
                return
            try:
                yield from self._events(job_id)
            except (httpx.TransportError, Again):
                time.sleep(FIRST_PAUSE_S)

    def _events(self, job_id: str) -> Iterator[Job]:
        timeout = httpx.Timeout(10.0, read=EVENTS_SILENT_S)
        with self._client.stream("GET", f"{JOBS}/{job_id}/events", timeout=timeout) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Again("no events now")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def results(self, job_id: str, format_: str, *, cursor: int, limit: int, into: IO[bytes]) -> None:
        """One attempt at the results of `limit` rows from row `cursor` on.

        Raises `Again` when it was cut, and `into` may then hold a part; `NotSucceeded` for an unknown job.
        """
        with (
            self._cuts(),
            self._client.stream(
                "GET",
                f"{JOBS}/{job_id}/results",
                params={"cursor": cursor, "limit": limit},
                headers={"Accept": MEDIA_TYPES[format_]},
            ) as answer,
        ):
            if answer.status_code == httpx.codes.NOT_FOUND:
                raise _forgotten(job_id)
            if answer.status_code != httpx.codes.OK:
                answer.read()
            _checked(answer)
            for piece in answer.iter_bytes():
                into.write(piece)

    def _patiently(self, once: Callable[[], Result]) -> Result:
        outage = Outage(self._patience_s, self._say)
        while True:
            try:
                with self._cuts():
                    return once()
            except Again as again:
                outage.wait(again)

    @contextmanager
    def _cuts(self) -> Iterator[None]:
        """Lost connections as `Again`."""
        try:
            yield
        except (httpx.TransportError, httpx.DecodingError) as error:
            why = str(error) or type(error).__name__
            raise Again(f"{self._client.base_url} cannot be reached ({why})") from None


class Outage:
    """Failures one after another without an answer in between."""

    def __init__(self, patience_s: float, say: Callable[[str], None]) -> None:
        self._patience_s = patience_s
        self._say = say
        self._began: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def over(self) -> None:
        self._began, self._pause_s = None, FIRST_PAUSE_S

    def wait(self, again: Again) -> None:
        """Pause before the next attempt. Raises `Unreachable` when patience has ended."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
            self._say(f"{again}; trying again for {self._patience_s:g} s")
        if now - self._began >= self._patience_s:
            raise Unreachable(f"Given up after {self._patience_s:g} s: {again}.")
        pause_s = min(max(self._pause_s, again.pause_s or 0.0), LONGEST_PAUSE_S)
        time.sleep(min(pause_s, max(0.0, self._began + self._patience_s - now)))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer if it is one. Raises `Again` for what may pass, `Refused` for other problems."""
    if answer.is_success:
        return answer
    problem = _problem(answer)
    if answer.status_code == httpx.codes.UNAUTHORIZED and problem is not None:
        problem += " It is taken from ML_SERVICE_API_KEY (environment or .env)."
    said = _strange(answer) if problem is None else f"the service answers {answer.status_code}: {problem}"
    if answer.is_server_error or answer.status_code in MAY_PASS:
        wish = answer.headers.get("Retry-After", "")
        raise Again(said, float(wish) if wish.isdigit() else None)
    raise _refused(said)


def _job(answer: httpx.Response) -> Job:
    """The job of an answer. Raises what `_checked` raises."""
    try:
        document = _checked(answer).json()
    except ValueError:
        document = None
    if isinstance(document, dict) and "job_id" in document:
        return document
    raise _refused(_strange(answer))


def _strange(answer: httpx.Response) -> str:
    began = " ".join(answer.text.split())[:STRANGE_CHARS]
    return f"what answers at {answer.url} is not the service: {answer.status_code} {began}"


def _refused(said: str) -> Refused:
    return Refused(said[0].upper() + said[1:])


def _forgotten(job_id: str) -> NotSucceeded:
    return NotSucceeded(f"The service does not know job {job_id} any more.")


def _problem(answer: httpx.Response) -> str | None:
    """Each field error of a problem document, or its detail where it has none; None for another answer."""
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        document = answer.json()
        errors = [f"{each['pointer'] or 'body'}: {each['detail']}" for each in document.get("errors", [])]
        return "\n  ".join(errors if len(errors) < 2 else ["", *errors]) or str(document["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _pieces(file: IO[bytes], on_sent: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    while piece := file.read(READ_BYTES):
        yield piece
        sent += len(piece)
        on_sent(sent)
