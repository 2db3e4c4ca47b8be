"""A law that a history is held against, and the laws of answers and of newest readings."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from tests.faults.history import Line

SHOWN: Final = 5
# A shorter time than the verdict stays in the cache (`ML_CACHE_TTL_FAILURE`).
CACHED_S: Final = 3000.0
OK: Final = 200


class Law:
    """A law, the number of cases over which it holds, and the first violations with their lines.

    A law has a method for each event that it looks at, called after it: `on_send`.
    """

    title = ""

    def __init__(self) -> None:
        self.proved = 0
        self.broken = 0
        self.violations: list[str] = []
        self.notes: Counter[str] = Counter()

    def violated(self, reason: str, *lines: Line | None) -> None:
        """Count a violation, and keep it with its lines if it is among the first."""
        self.broken += 1
        if len(self.violations) < SHOWN:
            shown = [f"\n      {str(line)[:600]}" for line in lines if line is not None]
            self.violations.append(reason + "".join(shown))

    def finish(self) -> None:
        """Judge the cases that wait for an event that has not come."""


class AnswersMatch(Law):
    """Each answer is that to its own request, and no tenant sees the data of another."""

    title = "every answer is its own request's"

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, Line] = {}

    def on_send(self, line: Line) -> None:
        """Wait for the answer."""
        self._open[line.event["request"]] = line

    def on_answer(self, line: Line) -> None:
        """Compare the answer with its request."""
        event = line.event
        sent = self._open.pop(event["request"], None)
        if sent is None:
            self.violated("an answer without a request", line)
        elif event["echo"] not in (None, event["request"]):
            self.violated("an answer with the id of another request", sent, line)
        elif event["status"] == OK and not names(event["said"], sent.event["reading"], event["degraded"]):
            self.violated("an answer about another reading", sent, line)
        elif event["status"] != 0:
            self.proved += 1

    def on_peek(self, line: Line) -> None:
        """A job of another tenant must not be there. An outage shows nothing either."""
        status = line.event["status"]
        if status != 0 and status < 500 and status != 404:
            self.violated("a tenant was shown the job of another", line)
        elif status == 404:
            self.proved += 1
            self.notes["jobs hidden from other tenants"] += 1

    def finish(self) -> None:
        """All calls must have ended."""
        for sent in self._open.values():
            self.violated("a call without an end", sent)


def names(said: list[Any] | None, sent: list[Any], degraded: bool) -> bool:
    """Whether an answer names the reading that was sent. A degraded answer has no fingerprint."""
    return said == ([*sent[:3], None] if degraded else sent)


class NewestWins(Law):
    """Fleet and cache have each charger's newest reading among those that had to be stored by then.

    A reading that may have been stored, for its answer was lost, may be there instead if it is newer.
    """

    title = "the newest reading is in fleet and cache"

    def __init__(self) -> None:
        super().__init__()
        # By tenant and charger: the newest that must be stored, and newer ones that may be, with their lines.
        self._must: dict[tuple[str, str], tuple[list[Any], Line]] = {}
        self._may: dict[tuple[str, str], dict[str, list[Any]]] = {}
        self._shown: set[tuple[str, str, str]] = set()
        # By id of a look: the newest of its charger that must be stored when it is asked for.
        self._looks: dict[str, tuple[list[Any], Line] | None] = {}
        self._losing = False
        # The cache may lack what was stored before this moment.
        self._cached_since = 0.0

    def on_send(self, line: Line) -> None:
        """The reading may be stored."""
        self._can_be(line.event["reading"])

    def on_submit(self, line: Line) -> None:
        """The rows may be stored."""
        for row in line.event["rows"]:
            if row[2] is not None:
                self._can_be([line.event["tenant"], *row])

    def on_record(self, line: Line) -> None:
        """The reading may be stored."""
        if not line.event["wrong"]:
            self._can_be(line.event["reading"])

    def on_answer(self, line: Line) -> None:
        """Workers store a verdict before its answer. Degraded answers are not stored."""
        if line.event["status"] == OK and not line.event["degraded"]:
            self._must_be(line.event["said"], line)

    def on_outcome(self, line: Line) -> None:
        """Workers store a verdict before the consumer has it."""
        if line.event["kind"] == "prediction":
            self._must_be(line.event["said"], line)

    def on_rows(self, line: Line) -> None:
        """Workers store the verdicts of a chunk before its results."""
        for _, *said in line.event["rows"]:
            if said[2] is not None:
                self._must_be(said, line)

    def on_losing(self, _: Line) -> None:
        """Nothing must be stored any more."""
        self._must.clear()
        self._looks.clear()
        self._losing = True

    def on_lost(self, _: Line) -> None:
        """From now on verdicts must be stored."""
        self._losing = False

    def on_switch(self, line: Line) -> None:
        """Cached verdicts of another model version are not shown. While it lasts, no verdict need be."""
        self._cached_since = line.event["at"] if line.event["phase"] == "ends" else math.inf

    def on_look(self, line: Line) -> None:
        """The answer must show at least the newest reading of this moment."""
        self._looks[line.event["look"]] = self._must.get((line.event["tenant"], line.event["charger"]))

    def on_newest(self, line: Line) -> None:
        """Judge the reading that is shown."""
        event = line.event
        key = event["tenant"], event["charger"]
        look = event["look"]
        must, why = (self._must.get(key) if look is None else self._looks.pop(look, None)) or (None, None)
        if look is None:
            self._shown.add((event["store"], *key))
        said = event["said"]
        if said is None:
            is_gone = event["store"] == "cache" and why is not None and why.event["at"] < self._cached_since
            if why is not None and not is_gone and event["at"] - why.event["at"] < CACHED_S:
                self.violated(f"nothing is in the {event['store']}", why, line)
        elif must is not None and said[2] < must[2]:
            self.violated(f"an older reading is in the {event['store']}", why, line)
        elif not self._is_own(said, key, must, while_running=look is not None):
            self.violated(f"a reading that was not sent is in the {event['store']}", why, line)
        else:
            self.proved += 1
            self.notes[f"{event['store']} while it ran" if look else f"{event['store']} at the end"] += 1

    def on_settled(self, line: Line) -> None:
        """Each charger must have been looked for."""
        for key, (_, why) in self._must.items():
            for store in ("fleet", "cache"):
                if (store, *key) not in self._shown:
                    self.violated(f"the charger is not in the {store}", why, line)

    def _is_own(
        self, said: list[Any], key: tuple[str, str], must: list[Any] | None, *, while_running: bool
    ) -> bool:
        """Whether a shown reading is one that was sent.

        While the traffic runs, a record may be scored before its acknowledgement is in the history.
        """
        if said == must:
            return True
        if while_running:
            return tuple(said[:2]) == key and (must is None or said[2] > must[2])
        return said == self._may.get(key, {}).get(said[2])

    def _can_be(self, reading: list[Any]) -> None:
        key = reading[0], reading[1]
        if key not in self._must or self._must[key][0][2] < reading[2]:
            self._may.setdefault(key, {})[reading[2]] = reading

    def _must_be(self, said: list[Any], line: Line) -> None:
        key = said[0], said[1]
        if self._losing or (key in self._must and said[2] <= self._must[key][0][2]):
            return
        self._must[key] = said, line
        self._may[key] = {at: other for at, other in self._may.get(key, {}).items() if at > said[2]}
