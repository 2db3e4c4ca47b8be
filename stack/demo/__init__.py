"""`make demo`: show the running service at work, through its public interfaces only."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Final, cast

from rich.console import Console

from consumers.replay.session_log import Session
from evzone_ml_client import MLClient, MLClientError
from evzone_ml_client import Settings as ClientSettings
from evzone_ml_client.schemas import KafkaInfo, Reading
from settings import Settings, load_or_exit
from stack.demo import show
from stack.demo.api import DemoFailed, ready_service, scored_as_job
from stack.demo.stream import through_kafka
from stack.local_api import LocalApi
from stack.sample.sessions import load_chargers, load_sessions

SINGLES: Final = 5
STREAMED: Final = 500
AT_RISK: Final = 10
PLAIN_WIDTH: Final = 120  # columns, where output is no terminal


def demo() -> int:
    """Run and show every part. Blocks. Returns 0 only if all parts worked."""
    settings = load_or_exit()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    began = time.monotonic()
    api = LocalApi(settings)
    url = api.url
    key = next((entry.key for entry in settings.api_keys if {"predict", "read"} <= entry.roles), "")
    try:
        with MLClient(ClientSettings(url=url, api_key=key, timeout_s=60, ssl_context=api.tls)) as ml:
            service = ready_service(ml, settings)
            show.service(console, service, url)
            failures = _parts(ml, settings, service["kafka"], console)
    except (DemoFailed, MLClientError) as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    show.end(console, url, seconds=time.monotonic() - began, failures=failures)
    return 1 if failures else 0


def _parts(ml: MLClient, settings: Settings, kafka: KafkaInfo, console: Console) -> int:
    """Run the four parts. A failed one does not stop the others. Returns the number of failures."""
    chargers = load_chargers()
    sessions = sorted(load_sessions(), key=lambda session: session.ended_at)
    show.beginning(console, chargers, sessions)

    def singles() -> None:
        newest = _newest_of_each(sessions)[-SINGLES:]
        show.singles(console, chargers, [(session, _predicted(ml, session)) for session in newest])
        last = newest[-1]
        schedule = ml.predict_maintenance(_reading(last))
        verdict = ml.detect_anomaly(_reading(last))
        show.schedule_and_anomaly(console, last.charger_id, schedule, verdict)

    def batch() -> None:
        results, seconds = scored_as_job(ml, [_reading(session) for session in sessions], console)
        show.batch(console, results, seconds)

    def stream() -> None:
        newest = sessions[-STREAMED:]
        arrivals = through_kafka(settings, kafka, [session.reading() for session in newest])
        show.stream(console, kafka, chargers, arrivals)

    def fleet() -> None:
        show.fleet(console, chargers, list(islice(ml.fleet(), AT_RISK)))

    parts: dict[str, Callable[[], None]] = {
        f"(a) {SINGLES} chargers, one request each (REST)": singles,
        f"(b) {len(sessions):,} readings as one batch job (REST)": batch,
        f"(c) {STREAMED} readings through Kafka": stream,
        f"(d) The {AT_RISK} chargers most likely to fail, and why": fleet,
    }
    failures = 0
    for title, part in parts.items():
        console.rule(f"[bold]{title}[/]", align="left")
        try:
            part()
        except (DemoFailed, MLClientError) as failure:
            failures += 1
            console.print(str(failure), style="red", markup=False)
    return failures


def _reading(session: Session) -> Reading:
    return cast(Reading, session.reading())


def _predicted(ml: MLClient, session: Session) -> show.Answered:
    began = time.monotonic()
    prediction = ml.predict_failure(_reading(session))
    return show.Answered(prediction, time.monotonic() - began)


def _newest_of_each(sessions: list[Session]) -> list[Session]:
    """Return the last session of each charger, in order of time."""
    newest = {session.charger_id: session for session in sessions}
    return sorted(newest.values(), key=lambda session: session.ended_at)
