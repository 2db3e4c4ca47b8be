"""Whether two verdicts say the same."""

from __future__ import annotations

import math
from typing import Any, Final

TOLERANCE: Final = 1e-6


def unlike(one: Any, other: Any, place: str = "", *, more_fields: bool = False) -> str | None:
    """Where two JSON values differ, by more than the tolerance where they are numbers; None if nowhere.

    With `more_fields`, objects of `other` may have fields that those of `one` have not.
    """
    if one == other:
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() == other.keys() or (more_fields and one.keys() <= other.keys()):
            pairs = [(name, one[name], other[name]) for name in one]
            return _first(pairs, place, more_fields)
        return f"{place}: {sorted(one)} is not {sorted(other)}"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _first(list(zip(range(len(one)), one, other, strict=True)), place, more_fields)
    numbers = isinstance(one, float | int) and isinstance(other, float | int)
    if numbers and math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE):
        return None
    return f"{place}: {one!r} is not {other!r}"


def _first(pairs: list[tuple[Any, Any, Any]], place: str, more_fields: bool) -> str | None:
    found = (unlike(one, other, f"{place}/{name}", more_fields=more_fields) for name, one, other in pairs)
    return next(filter(None, found), None)
