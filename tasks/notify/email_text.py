"""The text of e-mails, in plain words. Pure.

Ids, names and reasons come from others. Line breaks and characters that change the direction or the look of a
text become blanks, and the body is plain text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote

import orjson

from readings.reading import epoch_rfc3339
from settings.smtp import Smtp

MAX_CHARS: Final = 200
TO_DO: Final = {
    "IMMEDIATE": "send a technician today",
    "WITHIN_7_DAYS": "plan a visit within 7 days",
    "WITHIN_30_DAYS": "plan a visit within 30 days",
    "NONE": "no visit of its own",
}
# The standard's policy moves a long subject to a line of its own, and readers then keep a blank before it.
_UNFOLDED: Final = SMTP.clone(max_line_length=900)
_URGENCIES: Final = tuple(TO_DO)
_REPEATS: Final = "An e-mail may come twice after a failure. It then has the same Message-ID."


def email_of(event_id: str, body: bytes, smtp: Smtp) -> bytes:
    """The e-mail of an event or a digest, without recipients in its header. It is ASCII.

    A repeat has the same `Message-ID`. Raises `ValueError` and others for a body of another release.
    """
    document = orjson.loads(body)
    subject, text = _digest(document) if "news" in document else _alone(document)
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = smtp.sender
    # The recipients need not know of each other.
    message["To"] = smtp.sender
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{plain(event_id)}@{smtp.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from people who are away
    message.set_content(text, cte="quoted-printable")
    return message.as_bytes(policy=_UNFOLDED)


def plain(value: object) -> str:
    """A value of others in one line of printable text, at most 200 characters."""
    text = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in str(value))
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"


def _alone(document: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and text of one urgent news."""
    facts = _facts(document)
    lines = [f"{name + ':':<14}{value}" for name, value in facts.items()]
    whose = facts["Charger"] + (f" (tenant {facts['Tenant']})" if "Tenant" in facts else "")
    return f"{_to_do(document).capitalize()}: charger {whose}", "\n".join([*lines, "", _REPEATS, ""])


def _digest(document: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and text of a digest: what to do today, other new alerts, closed alerts."""
    news = [orjson.loads(each["body"]) for each in document["news"]]
    closed = [each for each in news if each["type"] == "alert.closed"]
    opened = sorted((each for each in news if each["type"] != "alert.closed"), key=_rank)
    urgent = [each for each in opened if _action(each) == "IMMEDIATE"]
    others = [each for each in opened if _action(each) != "IMMEDIATE"]
    left_out = int(document["left_out"])
    counts = [f"to do today: {len(urgent)}", f"other new alerts: {len(others)}", f"closed: {len(closed)}"]
    lines = [f"News since {_moment(epoch_rfc3339(document['since']))}.", ""]
    if left_out:
        counts.append(f"left out: {left_out}")
        lines += [
            f"{left_out} more are left out of this e-mail, because it has no room for them.",
            "GET /api/v1/alerts has all open alerts.",
            "",
        ]
    for title, some in (("To do today", urgent), ("Other new alerts", others), ("Closed alerts", closed)):
        lines += _section(title, some)
    return f"Alerts, {', '.join(counts)}", "\n".join([*lines, _REPEATS, ""])


def _section(title: str, news: Sequence[Mapping[str, Any]]) -> list[str]:
    if not news:
        return []
    lines = [f"{title} ({len(news)})", ""]
    for each in news:
        facts = _facts(each)
        lines += [f"- {facts.pop('Charger')}", *(f"    {name}: {value}" for name, value in facts.items())]
    return [*lines, ""]


def _facts(document: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a news by their names. Absent ones are left out."""
    data, verdict = document["data"], _verdict(document)
    facts: dict[str, object] = {"Charger": data["charger_id"], "Tenant": document.get("tenantid")}
    is_closed = document["type"] == "alert.closed"
    if data.get("alert") == "anomaly":
        facts["Anomaly"] = verdict.get("anomaly_type") or "unusual readings"
    elif not is_closed:
        facts["To do"] = _to_do(document)
        facts["Probability"] = _probability(verdict)
    facts["Why"] = verdict.get("top_factor")
    facts["Since"] = _moment(data.get("opened_at") or verdict.get("reading_timestamp"))
    facts["Closed"] = _moment(data.get("closed_at"))
    if "alert_id" in data:
        facts["Details"] = f"GET /api/v1/alerts/{quote(str(data['alert_id']), safe='')}"
    else:
        facts["Details"] = f"GET /api/v1/alerts?charger_id={quote(str(data['charger_id']), safe='')}"
    return {name: plain(value) for name, value in facts.items() if value is not None}


def _verdict(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The verdict of an alert; an action that has changed has its fields in the event itself."""
    data: Mapping[str, Any] = document["data"]
    found: Mapping[str, Any] = data.get("verdict") or {} if "alert_id" in data else data
    return found


def _moment(text: object) -> str | None:
    """A time as people read it. A text that is no time stays as it is; None for none."""
    if not text:
        return None
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return plain(text)


def _action(document: Mapping[str, Any]) -> str:
    return str(_verdict(document).get("recommended_action", ""))


def _to_do(document: Mapping[str, Any]) -> str:
    return TO_DO.get(_action(document), "look at the charger")


def _probability(verdict: Mapping[str, Any]) -> str | None:
    if verdict.get("in_failure"):
        return "the charger has failed"
    probability = verdict.get("failure_probability")
    if not isinstance(probability, int | float):
        return None
    return f"{probability:.0%} that it fails within 30 days"


def _rank(document: Mapping[str, Any]) -> tuple[int, float, str]:
    """Urgent ones first, then by probability."""
    action, probability = _action(document), _verdict(document).get("failure_probability")
    rank = _URGENCIES.index(action) if action in _URGENCIES else len(_URGENCIES)
    number = probability if isinstance(probability, int | float) else 0.0
    return rank, -number, str(document["data"]["charger_id"])
