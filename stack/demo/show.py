"""The demo's results as lines and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from consumers.replay.recording import Recording
from evzone_ml_client.schemas import (
    AnomalyVerdict,
    FailurePrediction,
    KafkaInfo,
    MaintenanceSchedule,
    ServiceInfo,
)
from stack.demo.api import TENANT
from stack.demo.stream import Replay

REASONS: Final = 2
SITE_WIDTH: Final = 26
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
    """Print the service that is shown, its brokers, and the tenant."""
    console.print(
        f"{info['service']} {info['version']} at {url}, with Kafka at {brokers(info['kafka'])}.\n"
        f"All data of this demo belong to the tenant {TENANT}. Other traffic does not see them.\n",
        markup=False,
    )


def brokers(kafka: KafkaInfo) -> str:
    """Return the brokers that the service names, as text."""
    return ", ".join(kafka["bootstrap_servers"])


def real_sessions(console: Console, recording: Recording) -> None:
    """Print the origin of the sessions, and the fields that they lack."""
    chargers, until = len(recording.attributes), f"{recording.times[-1]:%Y-%m-%d}"
    console.print(
        f"{len(recording):,} real sessions of {chargers} public chargers in Perth & Kinross, Scotland, up to "
        f"{until} (Perth & Kinross Council, Open Government Licence v3.0). Their times are moved up to now. "
        "They have no temperature, error codes or uptime, so the models expect hardly any failure.",
        markup=False,
    )


def simulated_fleet(console: Console, recording: Recording, days: int) -> None:
    """Print the size of the simulated fleet, and that it is simulated."""
    attributes = recording.attributes.values()
    sites, vendors = ({each[name] for each in attributes} for name in ("site_id", "vendor"))
    console.print(
        f"{len(recording):,} readings of {len(attributes)} simulated chargers at {len(sites)} sites, of "
        f"{len(vendors)} invented vendors: the {days} days up to now. Most are healthy. Some wear out, "
        "break and are repaired.",
        markup=False,
    )


def progress(replay: Replay, *, with_days: bool) -> str:
    """Return how far a replay is, in a line."""
    day = f"day {replay.day} of {replay.days}   " if with_days else ""
    opened, closed = replay.alerts("failure")
    newest = f"   newest: {replay.newest_alert}" if replay.newest_alert else ""
    return (
        f"{day}{replay.ended:,} of {replay.total:,} readings answered   {replay.seconds:.0f} s   "
        f"failure alerts: {opened - closed} open, {closed} closed{newest}"
    )


def replayed(console: Console, kafka: KafkaInfo, replay: Replay) -> None:
    """Print the counts of a replay that has ended."""
    topics = kafka["topics"]
    opened, closed = replay.alerts("failure")
    odd_opened, odd_closed = replay.alerts("anomaly")
    console.print(
        f"{replay.sent:,} readings sent to {topics['readings']}, {len(replay.predicted):,} predictions read "
        f"from {topics['predictions']}, {len(replay.refused):,} dead letters, in {replay.seconds:.0f} s.\n"
        f"Failure alerts: {opened} opened, {closed} closed. "
        f"Anomaly alerts: {odd_opened} opened, {odd_closed} closed.\n"
    )


def singles(console: Console, answers: Sequence[tuple[Mapping[str, Any], Answered]]) -> None:
    """Print single predictions for chargers of the fleet, with their response times."""
    table = _table()
    for name in ("Charger", "Site", "Vendor and model"):
        table.add_column(name, no_wrap=True, max_width=SITE_WIDTH)
    table.add_column("Fails in 7 d", justify="right")
    table.add_column("30 d", justify="right")
    table.add_column("Recommended", no_wrap=True)
    table.add_column("Answer", justify="right")
    for charger, answer in answers:
        body, attributes = answer.body, charger["attributes"]
        table.add_row(
            charger["charger_id"],
            attributes.get("site_id", ""),
            f"{attributes.get('vendor', '')} {attributes.get('model', '')}".strip(),
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
    worthwhile = sum(result["maintenance"]["worthwhile"] for result in good)
    unusual = sum(result["anomaly"]["is_anomaly"] for result in good)
    console.print(
        f"{len(results):,} readings in {seconds:.1f} s, {len(results) - len(good):,} failed. Planned work is "
        f"expected to save money at {worthwhile} chargers. {unusual} behave unusually.\n"
    )


def fleet(console: Console, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Print the chargers most at risk by their newest reading, with the main reasons."""
    table = _table()
    table.add_column("", justify="right")
    table.add_column("Charger", no_wrap=True)
    table.add_column("Site", no_wrap=True, max_width=SITE_WIDTH)
    table.add_column("Status", no_wrap=True)
    table.add_column("In 30 d", justify="right")
    table.add_column("Recommended", no_wrap=True)
    table.add_column("Main reasons")
    for rank, verdict in enumerate(verdicts, start=1):
        table.add_row(
            str(rank),
            verdict["charger_id"],
            verdict["attributes"].get("site_id", ""),
            verdict["connector_status"],
            _percent(verdict["failure_probability"]),
            _action(verdict),
            _reasons(verdict),
        )
    console.print(table)


def shares(console: Console, real: Replay, simulated: Replay, actions: Sequence[str]) -> None:
    """Print the share of readings by `recommended_action`. `actions` are those of each charger now."""
    table = _table()
    table.add_column("recommended_action", no_wrap=True)
    columns = {
        "Real sessions": real.actions,
        "Simulated fleet": simulated.actions,
        "All readings": real.actions + simulated.actions,
        "Chargers now": Counter(actions),
    }
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for action, words in ACTIONS.items():
        cells = (_count_and_share(counted[action], counted.total()) for counted in columns.values())
        table.add_row(f"{action} ({words})", *cells)
    console.print(table)


def totals(console: Console, real: Replay, simulated: Replay) -> None:
    """Print the counts of both replays together."""
    replays = (real, simulated)
    opened, closed = (len(real.opened) + len(simulated.opened), len(real.closed) + len(simulated.closed))
    console.print(
        f"{sum(each.sent for each in replays):,} readings sent, "
        f"{sum(len(each.predicted) for each in replays):,} predictions received, "
        f"{sum(len(each.refused) for each in replays):,} dead letters. "
        f"{opened} alerts opened, {closed} closed, {opened - closed} are open.\n"
    )


def console_address(console: Console, address: str) -> None:
    """Print the address of the console, with a link that logs in."""
    console.print(f"Watch it in the console:\n  {address}\n", markup=False, soft_wrap=True)


def end(console: Console, url: str, *, seconds: float) -> None:
    """Print the time that the demo took, and the next steps."""
    console.print(f"Every part worked, in {seconds:.0f} s.\n", style="green")
    get = f"curl -s -H \"X-API-Key: $KEY\" -H 'X-Tenant-ID: {TENANT}' '{url}/api/v1"
    console.print(
        f"Look at it in the console, {url}/, or by calls:\n"
        "  KEY=$(grep ^ML_SERVICE_API_KEY .env | cut -d= -f2)\n"
        f"  {get}/chargers?sort=risk&limit=5'\n"
        f"  {get}/sites'\n"
        f"  {get}/alerts?kind=failure'\n"
        f"  {get}/jobs'\n"
        f"API documentation: {url}/docs\n"
        "Remove it: make demo-clean\n\n"
        "The models have learnt from a simulated fleet. Until they are trained on your own history, their "
        "probabilities are a demonstration.",
        markup=False,
        soft_wrap=True,
    )


def receipt(console: Console, found: Mapping[str, Any]) -> None:
    """Print the receipt of an erasure."""
    erased = ", ".join(f"{name} {number:,}" for name, number in found["erased"].items() if number)
    console.print(
        f"Erased of the tenant {TENANT}: {erased or 'nothing, for there was nothing'}. "
        f"Open alerts in the consumer's memory: {found['state']['alerts']}.\n"
        f"The receipt names {len(found['remains'])} kinds of data that remain for a time, as in Kafka and "
        "in logs: docs/operations.md, Erasure.",
        markup=False,
    )


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _count_and_share(count: int, total: int) -> str:
    return f"{count:,}  {_percent(count / max(total, 1)):>7}"


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
