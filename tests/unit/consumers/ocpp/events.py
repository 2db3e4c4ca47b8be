"""OCPP messages in their envelope, as a backend publishes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from consumers.ocpp.charge_point import ChargePoint
from consumers.ocpp.envelope import Event, read_event
from consumers.ocpp.translation import translate

START: Final = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
NOW: Final = START + timedelta(days=30)
Document = dict[str, Any]


def at(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat()


def envelope(minutes: float, event_type: str, payload: Document, **changes: Any) -> Document:
    """`minutes` after START. The event id is made of time and type, unless `eventId` is given."""
    return {
        "eventId": f"{event_type}-{minutes}-{payload.get('connectorId', payload.get('evseId', ''))}",
        "eventType": event_type,
        "source": "ocpp-gateway",
        "occurredAt": at(minutes),
        "stationId": "SITE-7",
        "tenantId": "acme",
        "chargePointId": "CP-1",
        "connectorId": None,
        "ocppVersion": "1.6",
        "payload": payload,
        **changes,
    }


def status(minutes: float, word: str, connector: int = 1, **payload: Any) -> Document:
    return envelope(
        minutes,
        "StatusNotification",
        {"connectorId": connector, "errorCode": "NoError", "status": word, **payload},
    )


def sampled(value: Any, measurand: str | None = None, **fields: Any) -> Document:
    named = {} if measurand is None else {"measurand": measurand}
    return {"value": value, **named, **fields}


def meter_values(minutes: float, *samples: Document, connector: int = 1, **payload: Any) -> Document:
    values = [{"timestamp": at(minutes), "sampledValue": list(samples)}]
    return envelope(minutes, "MeterValues", {"connectorId": connector, "meterValue": values, **payload})


def power(minutes: float, watts: float, connector: int = 1) -> Document:
    return meter_values(minutes, sampled(str(watts), "Power.Active.Import"), connector=connector)


def register(minutes: float, wh: float, connector: int = 1) -> Document:
    return meter_values(minutes, sampled(str(wh)), connector=connector)


def start(minutes: float, wh: int, connector: int = 1) -> Document:
    payload = {"connectorId": connector, "idTag": "TAG", "meterStart": wh, "timestamp": at(minutes)}
    return envelope(minutes, "StartTransaction", payload)


def stop(minutes: float, wh: int, connector: int | None = 1, **payload: Any) -> Document:
    message = {"meterStop": wh, "timestamp": at(minutes), "transactionId": 41, **payload}
    return envelope(minutes, "StopTransaction", message, connectorId=connector)


def version_2(minutes: float, event_type: str, payload: Document, **changes: Any) -> Document:
    return envelope(minutes, event_type, payload, **{"ocppVersion": "2.0.1", **changes})


def status_2(minutes: float, word: str, evse: int = 1, connector: int = 1) -> Document:
    payload = {"timestamp": at(minutes), "connectorStatus": word, "evseId": evse, "connectorId": connector}
    return version_2(minutes, "StatusNotification", payload)


def transaction(
    minutes: float, kind: str, *samples: Document, state: str | None = None, evse: int | None = 1
) -> Document:
    payload: Document = {
        "eventType": kind,
        "timestamp": at(minutes),
        "triggerReason": "MeterValuePeriodic",
        "seqNo": round(minutes),
        "transactionInfo": {"transactionId": "T-1"} | ({} if state is None else {"chargingState": state}),
    }
    if samples:
        payload["meterValue"] = [{"timestamp": at(minutes), "sampledValue": list(samples)}]
    if evse is not None:
        payload["evse"] = {"id": evse, "connectorId": 1}
    return version_2(minutes, "TransactionEvent", payload)


def notify(minutes: float, **data: Any) -> Document:
    event = {
        "eventId": 1,
        "timestamp": at(minutes),
        "trigger": "Delta",
        "actualValue": "true",
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
        "variable": {"name": "Problem"},
        **data,
    }
    payload = {"generatedAt": at(minutes), "seqNo": 0, "eventData": [event]}
    return version_2(minutes, "NotifyEvent", payload)


def read(document: Document) -> Event:
    return read_event(orjson.dumps(document), now=NOW)


def hear(*documents: Document, known: ChargePoint | None = None) -> tuple[ChargePoint, list[Document | str]]:
    """What is known after events in this order, and what each gave."""
    known = known or ChargePoint()
    given: list[Document | str] = []
    for document in documents:
        known, found = translate(read(document), known)
        given.append(found)
    return known, given


def reading(*documents: Document, known: ChargePoint | None = None) -> Document:
    """The reading that the last of these events gives."""
    found = hear(*documents, known=known)[1][-1]
    assert isinstance(found, dict), found
    return found


BEGIN, END = {"context": "Transaction.Begin"}, {"context": "Transaction.End"}

SESSION_1 = (
    envelope(0, "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}, connectorId=0),
    status(1, "Available"),
    status(2, "Preparing"),
    start(3, 100_000),
    status(4, "Charging"),
    meter_values(
        10,
        sampled("101500"),
        sampled("7400", "Power.Active.Import"),
        sampled("38", "Temperature", unit="Celsius"),
        transactionId=41,
    ),
    stop(60, 107_000),
    status(61, "Finishing"),
    status(62, "Available"),
)
SESSION_2 = (
    status_2(0, "Available"),
    status_2(1, "Occupied"),
    transaction(2, "Started", sampled(50_000, **BEGIN), state="EVConnected"),
    transaction(3, "Updated", state="Charging"),
    transaction(
        8,
        "Updated",
        sampled(51_000),
        sampled(11, "Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 3}),
    ),
    transaction(30, "Updated", state="SuspendedEV"),
    transaction(40, "Ended", sampled(58_500, **END)),
    status_2(41, "Available"),
)
