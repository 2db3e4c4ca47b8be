"""Compare two recordings, and overlay the changes that are meant."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

TOLERANCE: Final = 1e-6
TIME_TOLERANCE_S: Final = 1.0
ABSENT: Final = "(absent)"
# Keys whose values are sentences for people. They are recorded apart.
PROSE: Final = frozenset(
    {
        *("detail", "title", "description", "summary", "help", "problem", "reason", "x-error-reason"),
        *("factor", "text", "rationale", "recommended_actions", "stdout", "stderr"),
    }
)
REPLACED: Final = "(prose)"
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs; `ABSENT` stands for no value. `path` is an RFC 6901 pointer."""

    path: str
    recorded: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.path}\n    recorded {_short(self.recorded)}\n    now      {_short(self.now)}"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference that is meant. `path` may have `*` for every member; `now` may be `ABSENT`."""

    area: str
    path: str
    now: Any
    because: str


def split_prose(value: Any, path: str = "", key: str = "") -> tuple[Any, dict[str, str]]:
    """The value without its prose, and the prose by its path."""
    if isinstance(value, str) and key in PROSE:
        return REPLACED, {path: value}
    prose: dict[str, str] = {}
    if isinstance(value, dict):
        members = {}
        for name, member in value.items():
            members[name], found = split_prose(member, f"{path}/{escaped(name)}", name)
            prose |= found
        return members, prose
    if isinstance(value, list):
        items = []
        for place, item in enumerate(value):
            plain, found = split_prose(item, f"{path}/{place}", key)
            items.append(plain)
            prose |= found
        return items, prose
    return value, prose


def differences(recorded: Any, now: Any, path: str = "") -> Iterator[Difference]:
    """Every value that differs between two recordings, in the order of their paths."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for name in sorted({*recorded, *now}):
            here = f"{path}/{escaped(name)}"
            yield from _member(recorded.get(name, ABSENT), now.get(name, ABSENT), here)
    elif isinstance(recorded, list) and isinstance(now, list):
        for place in range(max(len(recorded), len(now))):
            yield from _member(_item(recorded, place), _item(now, place), f"{path}/{place}")
    elif not _same(recorded, now):
        yield Difference(path, recorded, now)


def overlaid(recorded: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """The recording as it should be now. Raises `ValueError` for a change that changes nothing."""
    expected: dict[str, Any] = copy.deepcopy(dict(recorded))
    for change in changes:
        if not _put(expected, [unescaped(step) for step in change.path.split("/")[1:]], change.now):
            raise ValueError(f"{change.area}{change.path}: the change in changed.json changes nothing")
    return expected


def report(area: str, found: Sequence[Difference]) -> str:
    """The differences for a person, and what to do about them."""
    lines = [f"{len(found)} values of {area} differ from what is recorded:"]
    lines += [f"  {difference}" for difference in found[:40]]
    if len(found) > 40:
        lines.append(f"  … and {len(found) - 40} more")
    return "\n".join(lines)


def escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _member(recorded: Any, now: Any, path: str) -> Iterator[Difference]:
    if recorded is ABSENT or now is ABSENT:
        yield Difference(path, recorded, now)
    else:
        yield from differences(recorded, now, path)


def _item(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else ABSENT


def _same(recorded: Any, now: Any) -> bool:
    if isinstance(recorded, bool) or isinstance(now, bool):
        return recorded is now
    if isinstance(recorded, int | float) and isinstance(now, int | float):
        if math.isnan(recorded) or math.isnan(now):
            return math.isnan(recorded) and math.isnan(now)
        return math.isclose(recorded, now, rel_tol=TOLERANCE, abs_tol=1.001 * TOLERANCE)
    if isinstance(recorded, str) and isinstance(now, str) and len(recorded) == len(now):
        return recorded == now or _close_in_time(recorded, now)
    return bool(type(recorded) is type(now) and recorded == now)


def _close_in_time(recorded: str, now: str) -> bool:
    """Whether two moments differ as little as the probabilities that they are computed from."""
    if not (_MOMENT.fullmatch(recorded) and _MOMENT.fullmatch(now)):
        return False
    apart = datetime.fromisoformat(recorded) - datetime.fromisoformat(now)
    return abs(apart.total_seconds()) <= TIME_TOLERANCE_S


def _put(node: Any, steps: list[str], value: Any) -> bool:
    """Set a value at every place that the steps lead to; whether that changed anything."""
    step, rest = steps[0], steps[1:]
    if isinstance(node, list):
        places = range(len(node)) if step == "*" else [int(step)]
        if rest:
            return _any(_put(node[place], rest, value) for place in places if place < len(node))
        return _put_in_list(node, list(places), value)
    if not isinstance(node, dict):
        return False
    names = list(node) if step == "*" else [step]
    if rest:
        return _any(_put(node[name], rest, value) for name in names if name in node)
    changed = False
    for name in names:
        before = node.get(name, ABSENT)
        if value == ABSENT:
            node.pop(name, None)
        else:
            node[name] = copy.deepcopy(value)
        changed |= before is ABSENT or value == ABSENT or not _same(before, value)
        changed &= not (before is ABSENT and value == ABSENT)
    return changed


def _any(results: Iterator[bool]) -> bool:
    """Whether one is true. All are evaluated."""
    return sum(results) > 0


def _put_in_list(items: list[Any], places: list[int], value: Any) -> bool:
    changed = False
    for place in sorted(places, reverse=True):
        if value == ABSENT:
            del items[place : place + 1]
            changed = True
        elif place < len(items):
            changed |= not _same(items[place], value)
            items[place] = copy.deepcopy(value)
        else:
            items.append(copy.deepcopy(value))
            changed = True
    return changed


def _short(value: Any) -> str:
    text = value if value is ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"
