"""OCPP events, and what `python -m consumers ocpp` makes of them."""

from __future__ import annotations

from typing import Any, Final

from tests.golden.kafka_scenes import WAIT_S, Topics, last_by_key, shown
from tests.processes import wait_until

Document = dict[str, Any]
EVENTS: Final = "golden.ocpp"
READINGS: Final = "golden.ocpp.readings"
DEAD_LETTERS: Final = "golden.ocpp.dlq"
STATE: Final = "golden.ocpp.state"
SETTINGS: Final = {
    "KAFKA_TOPIC_OCPP": EVENTS,
    "KAFKA_TOPIC_METRICS": READINGS,
    "KAFKA_TOPIC_DEAD_LETTERS": DEAD_LETTERS,
    "KAFKA_TOPIC_OCPP_STATE": STATE,
    "KAFKA_GROUP_ID": "golden-ocpp",
}


def event(minute: int, event_type: str, payload: Document, **changes: Any) -> Document:
    """An event of charge point CP-1 in its envelope."""
    return {
        "eventId": f"event-{minute}",
        "eventType": event_type,
        "source": "csms",
        "occurredAt": f"2024-03-01T08:{minute:02d}:00Z",
        "stationId": "SITE-7",
        "tenantId": "acme",
        "chargePointId": "CP-1",
        "connectorId": 1,
        "ocppVersion": "1.6",
        "payload": payload,
        **changes,
    }


def meter(minute: int, *samples: Document) -> Document:
    values = [{"timestamp": f"2024-03-01T08:{minute:02d}:00Z", "sampledValue": list(samples)}]
    return event(minute, "MeterValues", {"connectorId": 1, "meterValue": values})


STATUS: Final = {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}
FAULTED: Final = {
    "connectorId": 2,
    "status": "Faulted",
    "errorCode": "OtherError",
    "vendorErrorCode": "ACME-17",
}
STATION_2: Final = {"chargePointId": "CP-2", "ocppVersion": "2.0.1", "connectorId": None}
TOLD: Final = [
    event(0, "BootNotification", {"chargePointModel": "M", "chargePointVendor": "V"}),
    event(1, "StatusNotification", STATUS),
    event(
        2,
        "StartTransaction",
        {"connectorId": 1, "idTag": "T", "meterStart": 1000, "timestamp": "2024-03-01T08:02:00Z"},
    ),
    meter(
        3,
        {"value": "7400", "measurand": "Power.Active.Import", "unit": "W"},
        {"value": "104", "measurand": "Temperature", "unit": "Fahrenheit"},
    ),
    meter(4, {"value": "5000"}),
    event(5, "StatusNotification", FAULTED, connectorId=2),
    event(
        6, "StopTransaction", {"meterStop": 9000, "timestamp": "2024-03-01T08:06:00Z", "transactionId": 41}
    ),
    event(
        7,
        "StatusNotification",
        {"timestamp": "2024-03-01T08:07:00Z", "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1},
        **STATION_2,
    ),
    event(
        8,
        "TransactionEvent",
        {
            "eventType": "Started",
            "timestamp": "2024-03-01T08:08:00Z",
            "triggerReason": "CablePluggedIn",
            "seqNo": 1,
            "transactionInfo": {"transactionId": "T-1", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1},
        },
        **STATION_2,
    ),
    event(
        9,
        "NotifyEvent",
        {
            "generatedAt": "2024-03-01T08:09:00Z",
            "seqNo": 0,
            "eventData": [
                {
                    "eventId": 1,
                    "timestamp": "2024-03-01T08:09:00Z",
                    "trigger": "Delta",
                    "actualValue": "true",
                    "eventNotificationType": "HardWiredNotification",
                    "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
                    "variable": {"name": "Problem"},
                }
            ],
        },
        **STATION_2,
    ),
]
# Each of these gives no reading, for another reason.
IGNORED: Final = [
    event(10, "Heartbeat", {}),
    event(1, "StatusNotification", STATUS),  # repeated
    event(1, "StatusNotification", {**STATUS, "status": "Available"}, eventId="late"),
    meter(11, {"value": "230", "measurand": "Voltage"}),
    event(
        12,
        "StatusNotification",
        {**STATUS, "connectorId": 0, "status": "Available"},
        chargePointId=None,
        tenantId=None,
    ),
]
WRONG: Final[list[Any]] = [
    event(20, "StatusNotification", {**STATUS, "status": "Burning"}),
    event(21, "StatusNotification", STATUS, occurredAt="never"),
    event(22, "StatusNotification", STATUS, chargePointId="CP 1"),
    event(23, "MeterValues", {"connectorId": 1, "meterValue": 7}),
    {},
    b"{bad",  # the last one is surely a dead letter
]


def scenes(topics: Topics) -> Document:
    """All events, then what has been written."""
    for told in (*TOLD, *IGNORED, *WRONG):
        last = topics.send(EVENTS, told, key=b"CP-1", headers=[("trace", b"abc")])
    origin = ("x-origin-offset", str(last).encode())
    wait_until(
        lambda: any(origin in record.headers for record in topics.read(DEAD_LETTERS)),
        what="the last event's outcome",
        timeout_s=WAIT_S,
    )
    return {
        "readings": [shown(record) for record in topics.read(READINGS)],
        "dead_letters": [shown(record) for record in topics.read(DEAD_LETTERS)],
        "state": last_by_key(topics.read(STATE)),
    }
