"""Decode each OCPP message into facts about a part of a charge point. Pure.

A part is "0" (the charge point as a whole), "1" (a connector of OCPP 1.6, an EVSE of 2.0.1) or "1.2" (a
connector of an EVSE). Sections are those of OCPP 1.6 edition 2; names are those of OCPP 2.0.1 part 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from consumers.ocpp.envelope import Event, InvalidEvent, number, text
from consumers.ocpp.meter import Meter, read_meter
from readings.parsing import real_codes
from readings.reading import MAX_ERROR_CODE_CHARS, status_of

WHOLE: Final = "0"
# Fields of a part. Energy in kWh, power in kW, temperature in degrees Celsius.
STATUS, CODES, CHARGING, TRANSACTION = "status", "codes", "charging", "transaction"
START, STOP, REGISTER, INTERVAL = "start", "stop", "register", "interval"
POWER, TEMPERATURE = "power", "temperature"
# Fields of the whole charge point: its last start, and a prefix with one field per problem.
BOOT, PROBLEM = "boot", "problem:"

# OCPP 2.0.1 ChargingStateEnumType, mapped to the contract's statuses. Idle: a transaction without a vehicle.
_CHARGING_STATES: Final = {
    "Charging": "CHARGING",
    "EVConnected": "OCCUPIED",
    "SuspendedEV": "FULLY_CHARGED",
    "SuspendedEVSE": "OCCUPIED",
    "Idle": "OCCUPIED",
}
_MAX_NAME_CHARS: Final = 200


class Fact(NamedTuple):
    """A new value of a field. `part` is None for the part of the message."""

    field: str
    value: Any
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The facts of a message. Without a `part`, the `transaction` may identify it."""

    part: str | None
    facts: tuple[Fact, ...]
    transaction: str | None = None

    @property
    def about_transaction_only(self) -> bool:
        """Whether the message contains no fact except its transaction."""
        return all(fact.field == TRANSACTION for fact in self.facts)


def read_message(event: Event) -> Told | None:
    """Decode an event; None for a message that readings do not use. Raises `InvalidEvent`."""
    reader = _READERS.get((event.version, event.action))
    return None if reader is None else reader(event, event.payload)


def _status_1(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 1.6 section 6.47, StatusNotification. An error ends with the first notification without it."""
    codes = [payload.get("errorCode"), payload.get("vendorErrorCode")]
    if not all(code is None or isinstance(code, str) for code in codes):
        raise InvalidEvent("/payload/errorCode", "Must be a string.")
    named = real_codes(code[:MAX_ERROR_CODE_CHARS] for code in codes if code)
    return Told(_connector(event), (_status(payload, "status"), Fact(CODES, named)))


def _status_2(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 2.0.1 StatusNotificationRequest. Errors come in NotifyEvent."""
    evse = _evse(event, payload)
    connector = number(payload, "connectorId", "/payload")
    part = evse if evse in (None, WHOLE) or connector is None else f"{evse}.{connector}"
    return Told(part, (_status(payload, "connectorStatus"),))


def _meter_1(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 1.6 section 6.31, MeterValues."""
    meter = read_meter(payload.get("meterValue"), "/payload/meterValue")
    transaction = _transaction(payload)
    known = () if transaction is None else (Fact(TRANSACTION, transaction),)
    return Told(_connector(event), (*_measured(meter), *known), transaction)


def _meter_2(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 2.0.1 MeterValuesRequest."""
    meter = read_meter(payload.get("meterValue"), "/payload/meterValue")
    return Told(_evse(event, payload), tuple(_measured(meter)))


def _start_1(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 1.6 section 6.45, StartTransaction. The backend assigns the transaction id; some add it here."""
    begin_kwh = _register_wh(payload, "meterStart")
    facts = [Fact(START, begin_kwh), Fact(REGISTER, begin_kwh)]
    transaction = _transaction(payload)
    if transaction is not None:
        facts.append(Fact(TRANSACTION, transaction))
    return Told(_connector(event), tuple(facts))


def _stop_1(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 1.6 section 6.49, StopTransaction. It has no connector, but most envelopes have."""
    meter = read_meter(payload.get("transactionData"), "/payload/transactionData")
    measured = [fact for fact in _measured(meter) if fact.field == TEMPERATURE]
    stop = Fact(STOP, _register_wh(payload, "meterStop"))
    return Told(_connector(event), (stop, *measured), _transaction(payload))


def _transaction_2(event: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 2.0.1 TransactionEventRequest. Only one event of a transaction has to contain the EVSE."""
    kind = text(payload, "eventType", "/payload")
    info = payload.get("transactionInfo")
    if kind not in ("Started", "Updated", "Ended") or not isinstance(info, Mapping):
        raise InvalidEvent("/payload", "Must have an eventType of OCPP 2.0.1 and transactionInfo.")
    transaction = text(info, "transactionId", "/payload/transactionInfo")[:_MAX_NAME_CHARS]
    meter = read_meter(payload.get("meterValue"), "/payload/meterValue")
    facts = [Fact(TRANSACTION, transaction), *_measured(meter)]
    if kind == "Started":
        facts.append(Fact(START, meter.register_kwh if meter.begin_kwh is None else meter.begin_kwh))
    if kind == "Ended":
        facts.append(Fact(STOP, meter.register_kwh if meter.end_kwh is None else meter.end_kwh))
        facts.append(Fact(CHARGING, None))
    elif info.get("chargingState") is not None:
        word = _CHARGING_STATES.get(text(info, "chargingState", "/payload/transactionInfo"))
        if word is None:
            raise InvalidEvent("/payload/transactionInfo/chargingState", "Is no state of OCPP 2.0.1.")
        facts.append(Fact(CHARGING, word))
    return Told(_evse(event, payload), tuple(facts), transaction)


def _event_2(_: Event, payload: Mapping[str, Any]) -> Told:
    """OCPP 2.0.1 NotifyEventRequest: problems, and the availability of chargers that report it this way."""
    events = payload.get("eventData")
    if not isinstance(events, list):
        raise InvalidEvent("/payload/eventData", "Must be a list.")
    facts: list[Fact] = []
    for index, each in enumerate(events):
        pointer = f"/payload/eventData/{index}"
        if not isinstance(each, Mapping):
            raise InvalidEvent(pointer, "Must be a JSON object.")
        facts.extend(_reported(each, pointer))
    return Told(WHOLE, tuple(facts))


def _reported(event: Mapping[str, Any], pointer: str) -> Iterator[Fact]:
    """The facts of one event about one variable of a component.

    A problem is a true variable `Problem`, or any alert of a monitor. It ends when it is cleared. Its code is
    the component's own `techCode` if present.
    """
    component, variable = event.get("component"), event.get("variable")
    if not isinstance(component, Mapping) or not isinstance(variable, Mapping):
        raise InvalidEvent(pointer, "Must have a component and a variable.")
    name = text(component, "name", f"{pointer}/component")
    about = text(variable, "name", f"{pointer}/variable")
    part = _part_of(component, pointer)
    value = str(event.get("actualValue", "")).strip()
    if about == "AvailabilityState":
        word = status_of(value)
        if word is None:
            raise InvalidEvent(f"{pointer}/actualValue", "Is no connector status.")
        yield Fact(STATUS, word, part)
    elif about == "Problem" or event.get("trigger") == "Alerting":
        is_over = event.get("cleared") is True or (about == "Problem" and value.lower() != "true")
        own = event.get("techCode")
        code = own.strip() if isinstance(own, str) and own.strip() else f"{name}.{about}"
        instance = component.get("instance") or ""
        key = f"{PROBLEM}{part}/{name}/{instance}/{about}"[:_MAX_NAME_CHARS]
        yield Fact(key, None if is_over else code[:MAX_ERROR_CODE_CHARS], WHOLE)


def _boot(_: Event, __: Mapping[str, Any]) -> Told:
    """OCPP 1.6 section 6.3 and OCPP 2.0.1, BootNotification: the charge point has started."""
    return Told(WHOLE, (Fact(BOOT, True),))


def _measured(meter: Meter) -> Iterator[Fact]:
    for field, value in (
        (REGISTER, meter.register_kwh),
        (INTERVAL, meter.interval_kwh),
        (POWER, meter.power_kw),
        (TEMPERATURE, meter.temperature_c),
    ):
        if value is not None:
            yield Fact(field, value)


def _status(payload: Mapping[str, Any], name: str) -> Fact:
    word = status_of(text(payload, name, "/payload"))
    if word is None:
        raise InvalidEvent(f"/payload/{name}", "Is no connector status.")
    return Fact(STATUS, word)


def _connector(event: Event) -> str | None:
    connector = number(event.payload, "connectorId", "/payload")
    found = event.connector if connector is None else connector
    return None if found is None else str(found)


def _evse(event: Event, payload: Mapping[str, Any]) -> str | None:
    """The message's EVSE, otherwise the envelope's connector; None if both are missing."""
    evse = number(payload, "evseId", "/payload")
    if evse is None and isinstance(payload.get("evse"), Mapping):
        evse = number(payload["evse"], "id", "/payload/evse")
    found = event.connector if evse is None else evse
    return None if found is None else str(found)


def _part_of(component: Mapping[str, Any], pointer: str) -> str:
    evse = component.get("evse")
    if not isinstance(evse, Mapping):
        return WHOLE
    number_of_evse = number(evse, "id", f"{pointer}/component/evse")
    connector = number(evse, "connectorId", f"{pointer}/component/evse")
    if not number_of_evse:
        return WHOLE
    return str(number_of_evse) if connector is None else f"{number_of_evse}.{connector}"


def _transaction(payload: Mapping[str, Any]) -> str | None:
    found = payload.get("transactionId")
    return None if found is None else str(found)[:_MAX_NAME_CHARS]


def _register_wh(payload: Mapping[str, Any], name: str) -> float:
    found = payload.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1e12:
        raise InvalidEvent(f"/payload/{name}", "Must be a number of Wh.")
    return found / 1000


_READERS: Final[dict[tuple[int, str], Callable[[Event, Mapping[str, Any]], Told]]] = {
    (1, "statusnotification"): _status_1,
    (1, "metervalues"): _meter_1,
    (1, "starttransaction"): _start_1,
    (1, "stoptransaction"): _stop_1,
    (1, "bootnotification"): _boot,
    (2, "statusnotification"): _status_2,
    (2, "metervalues"): _meter_2,
    (2, "transactionevent"): _transaction_2,
    (2, "notifyevent"): _event_2,
    (2, "bootnotification"): _boot,
}
