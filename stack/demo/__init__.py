"""`make demo`: show the running service at work, through its public interfaces only.

All data belong to a tenant of their own, which `make demo-clean` erases.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from typing import Final

import orjson
from rich.console import Console

from consumers.replay.arguments import INTERRUPTED
from consumers.replay.recording import Recording
from evzone_ml_client import MLClient, MLClientError
from evzone_ml_client.schemas import FleetCharger, Job, Reading
from settings import load_or_exit
from stack.console import LiveLine
from stack.demo import show
from stack.demo.api import (
    TENANT,
    DemoFailed,
    client,
    erased,
    ready_service,
    refuse_earlier_demo,
    scored_as_job,
)
from stack.demo.recordings import real_sessions, simulated_fleet
from stack.demo.stream import Replay, Traffic, traffic
from stack.login_link import tenant_line

SINGLES: Final = 5
AT_RISK: Final = 10
PLAIN_WIDTH: Final = 120  # columns, where output is no terminal


def run(arguments: argparse.Namespace) -> int:
    """Run and show every part. Blocks. Returns 0 only if all parts worked; a failed part ends the demo."""
    console, settings = _console(), load_or_exit()
    began = time.monotonic()
    try:
        with client(settings, "predict") as ml:
            service = ready_service(ml, settings)
            refuse_earlier_demo(ml)
            show.service(console, service, ml.settings.url)
            show.console_address(console, tenant_line(settings, _local(ml.settings.url), TENANT))
            with traffic(settings, service["kafka"]) as kafka:
                _title(console, "(a) Real charging sessions through Kafka")
                recording = real_sessions(arguments.sessions)
                show.real_sessions(console, recording)
                real = _replay(console, kafka, recording, seconds=0)
                show.replayed(console, service["kafka"], real)

                _title(console, "(b) A simulated fleet through Kafka, at speed")
                recording = simulated_fleet(arguments.chargers, arguments.days)
                show.simulated_fleet(console, recording, arguments.days)
                simulated = _replay(console, kafka, recording, seconds=arguments.seconds)
                show.replayed(console, service["kafka"], simulated)

            riskiest = list(islice(ml.fleet(), AT_RISK))
            _title(console, f"(c) The {AT_RISK} chargers most likely to fail, and why")
            show.fleet(console, riskiest)
            _title(console, f"(d) {SINGLES} of them, one request each (REST)")
            newest = {
                charger: orjson.loads(value or b"")
                for charger, value in (real.newest | simulated.newest).items()
            }
            known = [(each, newest[each["charger_id"]]) for each in riskiest if each["charger_id"] in newest]
            _singles(console, ml, known[:SINGLES])
            _title(console, "(e) The newest reading of each charger, as one batch job (REST)")
            show.batch(console, *scored_as_job(ml, list(newest.values()), console))

            _title(console, "Summary")
            actions = [action for each in ml.fleet() if (action := each["recommended_action"])]
            show.shares(console, real, simulated, actions)
            show.totals(console, real, simulated)
            show.end(console, _local(ml.settings.url), seconds=time.monotonic() - began)
    except (DemoFailed, MLClientError) as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. What has been sent stays until: make demo-clean", markup=False)
        return INTERRUPTED
    return 0


def clean() -> int:
    """Erase the demo's tenant, and show the receipt. Blocks. Returns 0 only if it is erased."""
    console, settings, line = _console(), load_or_exit(), LiveLine()
    try:
        # Without a tenant of its own, so that the receipt is not erased with the tenant's jobs.
        with client(settings, "admin", tenant=None) as ml:
            ready_service(ml, settings)
            receipt = erased(ml, lambda job: line.show(f"Erasing {TENANT}: {_wait_of(job)}"))
            line.clear()
            show.receipt(console, receipt)
    except (DemoFailed, MLClientError) as failure:
        line.clear()
        console.print(str(failure), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        line.clear()
        console.print("Interrupted. The erasure goes on without this command.", markup=False)
        return INTERRUPTED
    return 0


def _wait_of(job: Job) -> str:
    waiting_for = job.get("waiting_for")
    return f"waiting for {waiting_for}" if waiting_for else job["status"].lower()


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def _local(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


def _title(console: Console, text: str) -> None:
    console.rule(f"[bold]{text}[/]", align="left")


def _replay(console: Console, kafka: Traffic, recording: Recording, *, seconds: float) -> Replay:
    """Replay a recording with a line of its progress."""
    line = LiveLine()
    try:
        return kafka.replay(
            recording,
            seconds=seconds,
            on_progress=lambda replay: line.show(show.progress(replay, with_days=seconds > 0)),
        )
    finally:
        line.clear()


def _singles(console: Console, ml: MLClient, asked: list[tuple[FleetCharger, Reading]]) -> None:
    """Show a prediction for each of these readings, and the schedule and anomaly verdict of the first."""
    answers = []
    for charger, reading in asked:
        began = time.monotonic()
        prediction = ml.predict_failure(reading)
        answers.append((charger, show.Answered(prediction, time.monotonic() - began)))
    show.singles(console, answers)
    charger, reading = asked[0]
    schedule, verdict = ml.predict_maintenance(reading), ml.detect_anomaly(reading)
    show.schedule_and_anomaly(console, charger["charger_id"], schedule, verdict)
