"""Write values for people: the filters of the console's templates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from flask import Flask
from markupsafe import Markup

from readings.reading import epoch_rfc3339

ACTION_LABELS: Final = {
    "IMMEDIATE": "Go now",
    "WITHIN_7_DAYS": "Within 7 days",
    "WITHIN_30_DAYS": "Within 30 days",
    "NONE": "No visit",
}
MISSING: Final = "–"
_HOUR_S: Final = 3_600
_UNITS: Final = (("day", 86_400), ("hour", _HOUR_S), ("minute", 60), ("second", 1))


def register(app: Flask) -> None:
    """Add the filters to the templates of `app`."""
    filters = app.jinja_env.filters
    filters["percent"] = percent
    filters["money"] = money
    filters["moment"] = moment
    filters["action"] = action_label
    filters["class_name"] = class_name
    filters["words"] = in_words
    filters["costs"] = costs
    filters["number"] = number
    filters["duration"] = duration
    filters["size"] = size
    filters["sentence"] = sentence
    filters["odds"] = odds


def percent(share: float | None) -> str:
    """A share from 0 to 1 as percent, with one decimal below 10 %."""
    if share is None:
        return MISSING
    return f"{share * 100:.1f} %" if share < 0.0995 else f"{share * 100:.0f} %"


def money(amount: float | None, currency: str | None) -> str:
    """An amount with its currency, without decimals."""
    return MISSING if amount is None else f"{amount:,.0f} {currency or ''}".rstrip()


def costs(sums: Mapping[str | None, float], currency: str) -> str:
    """Sums by currency, without those of 0. A sum without a currency is in `currency`."""
    shown = {currency: sums.get(None, 0.0)}
    for its_currency, amount in sums.items():
        if its_currency is not None:
            shown[its_currency] = shown.get(its_currency, 0.0) + amount
    found = [money(amount, its_currency) for its_currency, amount in shown.items() if amount]
    return " and ".join(found) or money(0, currency)


def number(value: float | None) -> str:
    """A number with separators for thousands, and at most two decimals."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def odds(weight: float) -> str:
    """The factor by which a contribution to the log-odds multiplies the odds."""
    factor = math.exp(max(-20.0, min(weight, 20.0)))
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2f}"


def moment(at: str | float | None, shown_as: str = "full") -> Markup | str:
    """A time as `<time>`: RFC 3339 text or epoch seconds. `shown_as`: `full`, `date` or `ago`.

    Without a script the text is in UTC; `console.js` writes it in the viewer's zone.
    """
    text = at if at is None or isinstance(at, str) else epoch_rfc3339(at)
    if text is None:
        return MISSING
    plain = text[:10] if shown_as == "date" else f"{text[:16].replace('T', ' ')} UTC"
    return Markup('<time datetime="{}" data-as="{}">{}</time>').format(text, shown_as, plain)


def action_label(action: str | None) -> str:
    """A recommended action in words."""
    return MISSING if action is None else ACTION_LABELS.get(action, in_words(action))


def class_name(value: str | None) -> str:
    """The class of the styles for a value of an enumeration, like `within-7-days`."""
    return (value or "none").lower().replace("_", "-")


def in_words(name: str | None) -> str:
    """A value of an enumeration as text: `FULLY_CHARGED` is `fully charged`."""
    return MISSING if name is None else name.replace("_", " ").lower()


def sentence(text: str) -> str:
    """Text with a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def duration(seconds: float | None) -> str:
    """A duration like `3 minutes`, from an hour on like `3 hours 20 minutes`, and `less than a second`."""
    if seconds is None:
        return MISSING
    if seconds < 1:
        return "less than a second"
    place, (unit, length) = next(each for each in enumerate(_UNITS) if seconds >= each[1][1])
    parts = [(int(seconds // length), unit)]
    if length >= _HOUR_S:
        smaller, its_length = _UNITS[place + 1]
        parts.append((int(seconds % length // its_length), smaller))
    return " ".join(f"{count:,} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def size(size_bytes: float) -> str:
    """A size in bytes, with a decimal unit: 1 MB is a million bytes."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= length:
            return f"{size_bytes / length:.1f} {unit}"
    return f"{size_bytes:.0f} bytes"
