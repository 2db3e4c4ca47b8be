"""The laws of the stream: one outcome for each record, and the order of a charger's outcomes."""

from __future__ import annotations

from typing import Any, Final

from tests.faults.history import Line
from tests.faults.laws import Law

# Of the byte of an offset: that it was acknowledged, and the number of its outcomes.
_ACKNOWLEDGED: Final = 128
_MOST: Final = 127


class Offsets:
    """A byte for each offset of each partition."""

    def __init__(self) -> None:
        self.partitions: dict[int, bytearray] = {}

    def of(self, event: dict[str, Any]) -> tuple[bytearray, int]:
        """The bytes of the partition of an event, and the offset, which is within them."""
        held, offset = self.partitions.setdefault(event["partition"], bytearray()), event["offset"]
        if len(held) <= offset:
            held.extend(bytes(offset + 1 - len(held)))
        return held, offset


class OneOutcome(Law):
    """Each acknowledged record has exactly one outcome, its own.

    Without transactions the same outcome may come again.
    """

    title = "one outcome for each acknowledged record"

    def __init__(self) -> None:
        super().__init__()
        self._exact = True
        self._offsets = Offsets()
        # Until both are there, by partition and offset.
        self._records: dict[tuple[int, int], Line] = {}
        self._outcomes: dict[tuple[int, int], Line] = {}

    def on_run(self, line: Line) -> None:
        """Note whether outcomes may be repeated."""
        self._exact = line.event["transactions"]

    def on_record(self, line: Line) -> None:
        """Wait for the outcome, which may have been seen before the acknowledgement."""
        if line.event["offset"] is None:
            self.notes["records without an acknowledgement"] += 1
            return
        held, offset = self._offsets.of(line.event)
        held[offset] |= _ACKNOWLEDGED
        place = line.event["partition"], offset
        if place in self._outcomes:
            self._compare(line, self._outcomes.pop(place))
        else:
            self._records[place] = line

    def on_outcome(self, line: Line) -> None:
        """Compare the outcome with its record, once."""
        held, offset = self._offsets.of(line.event)
        place = line.event["partition"], offset
        count = held[offset] & _MOST
        held[offset] = held[offset] & _ACKNOWLEDGED | min(_MOST, count + 1)
        if count:
            self.notes["outcomes repeated"] += 1
            if self._exact:
                self.violated("a second outcome of a record", line)
        elif place in self._records:
            self._compare(self._records.pop(place), line)
        else:
            self._outcomes[place] = line

    def finish(self) -> None:
        """Every acknowledged record must have its outcome."""
        for record in self._records.values():
            self.violated("a record without an outcome", record)
        if self._outcomes:
            self.notes["outcomes of records whose acknowledgement was lost"] += len(self._outcomes)

    def _compare(self, record: Line, outcome: Line) -> None:
        sent, got = record.event, outcome.event
        if got["kind"] == "dead_letter":
            self.notes["dead letters"] += 1
            if not sent["wrong"]:
                self.notes["dead letters of good readings"] += 1
            self.proved += 1
        elif sent["wrong"]:
            self.violated("a prediction for a record that cannot be read", record, outcome)
        elif got["said"] != sent["reading"]:
            self.violated("an outcome about another reading", record, outcome)
        else:
            self.proved += 1


class OrderOfCharger(Law):
    """Predictions of a charger are published in the order of its records. Repeats do not count."""

    title = "predictions in the order of each charger's records"

    def __init__(self) -> None:
        super().__init__()
        self._offsets = Offsets()
        self._newest: dict[str, Line] = {}

    def on_outcome(self, line: Line) -> None:
        """Compare with the outcome before, of the same charger."""
        event = line.event
        if event["kind"] != "prediction":
            return
        held, offset = self._offsets.of(event)
        if held[offset]:
            return
        held[offset] = 1
        charger = event["said"][1]
        before = self._newest.get(charger)
        if before is not None:
            if before.event["placed"][0] != event["placed"][0]:
                self.violated("predictions of a charger in two partitions", before, line)
            elif _place(before) > _place(line) or before.event["placed"] > event["placed"]:
                self.violated("a prediction before one of an earlier record", before, line)
                return
            else:
                self.proved += 1
        self._newest[charger] = line


def _place(line: Line) -> tuple[int, int]:
    return line.event["partition"], line.event["offset"]
