"""The demo's results as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from consumers.replay.session_log import Session
from evzone_ml_client.schemas import (
    AnomalyVerdict,
    FailurePrediction,
    KafkaInfo,
    MaintenanceSchedule,
    ServiceInfo,
)
from stack.demo.stream import Arrival
from stack.sample.sessions import Charger

REASONS: Final = 2
STREAM_ROWS: Final = 5
SITE_WIDTH: Final = 30
# Values of `recommended_action` by urgency, with their text.
ACTIONS: Final = {
    "IMMEDIATE": "act today",
    "WITHIN_7_DAYS": "within 7 days",
    "WITHIN_30_DAYS": "within 30 days",
    "NONE": "no visit",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction, and the seconds until its response."""

    body: FailurePrediction
    seconds: float


def service(console: Console, info: ServiceInfo, url: str) -> None:
    """Print the service that is shown, and its brokers."""
    console.print(
        f"{info['service']} {info['version']} at {url}, with Kafka at {brokers(info['kafka'])}.", markup=False
    )


def brokers(kafka: KafkaInfo) -> str:
    """Return the brokers that the service names, as text."""
    return ", ".join(kafka["bootstrap_servers"])


def beginning(console: Console, chargers: Mapping[str, Charger], sessions: Sequence[Session]) -> None:
    """Print the origin of the sessions, and the fields that they lack."""
    console.print(
        f"{len(sessions):,} real sessions of {len(chargers)} public chargers in Perth & Kinross, Scotland, "
        f"up to {sessions[-1].ended_at[:10]}\n(Perth & Kinross Council, Open Government Licence v3.0). "
        "The records hold no temperature, error codes,\nuptime or maintenance: those fields are left out, "
        "and the models do without.\n"
    )


def singles(
    console: Console, chargers: Mapping[str, Charger], answers: Sequence[tuple[Session, Answered]]
) -> None:
    """Print single predictions with their response times."""
    table = _table()
    table.add_column("Charger", no_wrap=True)
    table.add_column("Site", no_wrap=True)
    table.add_column("kWh", justify="right")
    table.add_column("kW", justify="right")
    table.add_column("Fails in 7 d", justify="right")
    table.add_column("30 d", justify="right")
    table.add_column("Recommended", no_wrap=True)
    table.add_column("Answer", justify="right")
    for session, answer in answers:
        body = answer.body
        table.add_row(
            session.charger_id,
            _site(chargers, session.charger_id),
            f"{session.kwh:.1f}",
            f"{session.mean_kw:.1f}",
            _percent(body["horizons"]["7d"]),
            _percent(body["failure_probability"]),
            _action(body),
            f"{'cached, ' if body['cached'] else ''}{answer.seconds * 1000:.0f} ms",
        )
    console.print(table)


def schedule_and_anomaly(
    console: Console, charger_id: str, schedule: MaintenanceSchedule, verdict: AnomalyVerdict
) -> None:
    """Print the maintenance schedule and the anomaly verdict of one charger, a sentence each."""
    cost = schedule["cost_benefit"]
    currency = cost["currency"]
    day, urgency = schedule["recommended_date"][:10], schedule["urgency"]
    if schedule["worthwhile"]:
        console.print(
            f"{charger_id}: maintenance best on {day}, urgency {urgency}; planned work costs "
            f"{cost['preventive_maintenance_cost']:,.0f} {currency} and is expected to save "
            f"{cost['net_savings']:,.0f} {currency}."
        )
    else:
        visit = "ordinary service" if urgency == "LOW" else "visit"
        console.print(
            f"{charger_id}: {visit} on {day}, urgency {urgency}; planned work would cost "
            f"{-cost['net_savings']:,.0f} {currency} more than it is expected to save."
        )
    unusual = f"unusual ({verdict['anomaly_type']})" if verdict["is_anomaly"] else "nothing unusual"
    console.print(f"{charger_id}: {unusual}, anomaly score {verdict['anomaly_score']:.0f} of 100.\n")


def batch(console: Console, results: Sequence[Mapping[str, Any]], seconds: float) -> None:
    """Print the counts of a job's results."""
    good = [result for result in results if "error" not in result]
    counts = Counter(result["recommended_action"] for result in good)
    distinct = len({result["failure_probability"] for result in good})
    console.print(
        f"{len(results):,} readings in {seconds:.1f} s, {len(results) / seconds:,.0f} a second; "
        f"{len(results) - len(good):,} failed; {distinct:,} different probabilities."
    )
    table = _table()
    table.add_column("Recommended")
    table.add_column("Readings", justify="right")
    table.add_column("Share", justify="right")
    for action, words in ACTIONS.items():
        table.add_row(words, f"{counts[action]:,}", _percent(counts[action] / max(len(good), 1)))
    console.print(table)


def stream(
    console: Console, kafka: KafkaInfo, chargers: Mapping[str, Charger], arrivals: Sequence[Arrival]
) -> None:
    """Print the delays of the streamed predictions, and the riskiest of them."""
    took = [arrival.seconds for arrival in arrivals]
    console.print(
        f"{len(arrivals):,} readings sent to {kafka['topics']['readings']} at {brokers(kafka)}, as many "
        f"predictions read from {kafka['topics']['predictions']}, each known by its event_id: all within "
        f"{max(took):.1f} s, half within {median(took):.1f} s. The riskiest:"
    )
    table = _table()
    table.add_column("event_id", no_wrap=True)
    table.add_column("Charger", no_wrap=True)
    table.add_column("Site", no_wrap=True)
    table.add_column("Fails in 30 d", justify="right")
    table.add_column("Recommended", no_wrap=True)
    riskiest = sorted(arrivals, key=lambda arrival: -arrival.prediction["failure_probability"])
    for arrival in riskiest[:STREAM_ROWS]:
        prediction = arrival.prediction
        table.add_row(
            prediction["event_id"],
            prediction["charger_id"],
            _site(chargers, prediction["charger_id"]),
            _percent(prediction["failure_probability"]),
            _action(prediction),
        )
    console.print(table)


def fleet(console: Console, chargers: Mapping[str, Charger], verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Print the chargers most at risk by their newest reading, with the main reasons."""
    table = _table()
    table.add_column("", justify="right")
    table.add_column("Charger", no_wrap=True)
    table.add_column("Site", no_wrap=True, max_width=SITE_WIDTH)
    table.add_column("In 30 d", justify="right")
    table.add_column("Recommended", no_wrap=True)
    table.add_column("Main reasons")
    for rank, verdict in enumerate(verdicts, start=1):
        table.add_row(
            str(rank),
            verdict["charger_id"],
            _site(chargers, verdict["charger_id"]),
            _percent(verdict["failure_probability"]),
            _action(verdict),
            _reasons(verdict),
        )
    console.print(table)


def end(console: Console, url: str, *, seconds: float, failures: int) -> None:
    """Print the number of failed parts and the next steps."""
    console.rule()
    if failures:
        console.print(f"{failures} of 4 parts failed, after {seconds:.0f} s.", style="red")
    else:
        console.print(f"All four parts worked, in {seconds:.0f} s.", style="green")
    local = url.replace("127.0.0.1", "localhost")
    console.print(
        f"API documentation: {local}/docs    Tasks and queues: Flower, at the address that make run shows\n"
        "The models have learnt from a simulated fleet: until they are trained on your own history, take\n"
        "these probabilities as a demonstration."
    )


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _site(chargers: Mapping[str, Charger], charger_id: str) -> str:
    charger = chargers.get(charger_id)
    return charger.site if charger else ""


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _action(verdict: Mapping[str, Any]) -> str:
    action: str = verdict["recommended_action"]
    return ACTIONS.get(action, action)


def _reasons(verdict: Mapping[str, Any]) -> str:
    """Return the factors that raise the probability, one per line, known values before missing ones."""
    raising = [f for f in verdict["top_contributing_factors"] if f["direction"] == "increases"]
    raising.sort(key=lambda factor: factor["value"] is None)  # stable: the order by weight is kept
    return "\n".join(_reason(factor) for factor in raising[:REASONS]) or "nothing stands out"


def _reason(factor: Mapping[str, Any]) -> str:
    if "text" in factor:
        return str(factor["text"])
    value = "not known" if factor["value"] is None else factor["value"]
    return f"{factor['factor']} {value}"
