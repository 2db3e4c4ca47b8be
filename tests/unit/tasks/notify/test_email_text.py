"""The text of e-mails: plain words, and nothing of others but text."""

from __future__ import annotations

import email
import email.policy
import re
from typing import Any

import orjson
import pytest

from settings.smtp import Smtp
from tasks.notify.cloud_events import Event, action_changed, alert_closed, alert_opened
from tasks.notify.email_text import MAX_CHARS, email_of, plain

SENDER = Smtp(host="mail", sender="ml@example.com", recipients=("a@example.com",))
OPENED_AT, CLOSED_AT = "2026-11-30T10:00:00.000Z", "2026-11-30T12:00:00.000Z"
VERDICT = {
    "reading_timestamp": OPENED_AT,
    "failure_probability": 0.834,
    "in_failure": False,
    "recommended_action": "IMMEDIATE",
    "top_factor": "Temperature is 20 °C above its usual level",
}


def opened(
    charger: str = "CP-1", *, kind: str = "failure", tenant: str | None = "acme", **verdict: Any
) -> Event:
    data = {"alert": kind, "opened_at": OPENED_AT, "closed_at": None, "verdict": {**VERDICT, **verdict}}
    return alert_opened("a" * 24, charger, data, tenant=tenant, at=1.0)


def closed(charger: str) -> Event:
    data = {"alert": "failure", "opened_at": OPENED_AT, "closed_at": CLOSED_AT, "verdict": None}
    return alert_closed("b" * 24, charger, data, tenant=None, at=1.0)


def sent(event_id: str, body: bytes) -> Any:
    """The e-mail as a mail program reads it."""
    raw = email_of(event_id, body, SENDER)
    assert raw.isascii()
    assert not re.search(rb"^[\w-]+:\s*$", raw.partition(b"\r\n\r\n")[0], re.MULTILINE)
    assert max(map(len, raw.splitlines())) < 998
    return email.message_from_bytes(raw, policy=email.policy.default)


def text_of(message: Any) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


def digest(*events: Event, left_out: int = 0) -> bytes:
    """As the script stores it."""
    news = [orjson.loads(each.stored()) for each in events]
    return orjson.dumps({"at": 2.0, "since": 1_796_036_400.0, "left_out": left_out, "news": news})


def test_an_urgent_alert_says_what_to_do_and_why() -> None:
    event = opened()
    message = sent(event.event_id, event.document())
    assert message["Subject"] == "Send a technician today: charger CP-1 (tenant acme)"
    assert (message["From"], message["To"]) == ("ml@example.com", "ml@example.com")
    assert message["Message-ID"] == f"<{event.event_id}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert text_of(message).splitlines()[:8] == [
        "Charger:      CP-1",
        "Tenant:       acme",
        "To do:        send a technician today",
        "Probability:  83% that it fails within 30 days",
        "Why:          Temperature is 20 °C above its usual level",
        "Since:        2026-11-30 10:00 UTC",
        f"Details:      GET /api/v1/alerts/{'a' * 24}",
        "",
    ]


def test_an_action_that_has_become_urgent_says_so_too() -> None:
    data = {"reading_timestamp": OPENED_AT, "failure_probability": 0.9, "in_failure": True}
    event = action_changed("CP 1&x=|", "IMMEDIATE", "NONE", data, tenant=None, at=1.0)
    message = sent(event.event_id, event.document())
    assert message["Subject"] == "Send a technician today: charger CP 1&x=|"
    assert "Probability:  the charger has failed\n" in text_of(message)
    assert "GET /api/v1/alerts?charger_id=CP%201%26x%3D%7C\n" in text_of(message)


def test_a_digest_begins_with_what_is_urgent_and_counts_what_it_leaves_out() -> None:
    body = digest(
        closed("CP-1"),
        opened("CP-2", kind="anomaly", recommended_action=None, anomaly_type="overheating"),
        opened("CP-3", recommended_action="WITHIN_7_DAYS", failure_probability=0.7),
        opened("CP-4", recommended_action="WITHIN_7_DAYS", failure_probability=0.8),
        opened("CP-5"),
        left_out=7,
    )
    message = sent("digest_1", body)
    assert message["Subject"] == "Alerts, to do today: 1, other new alerts: 3, closed: 1, left out: 7"
    text = text_of(message)
    assert "7 more are left out of this e-mail" in text
    chargers = [line for line in text.splitlines() if line.startswith("- ")]
    assert chargers == ["- CP-5", "- CP-4", "- CP-3", "- CP-2", "- CP-1"]
    assert "    Anomaly: overheating" in text
    assert "    Closed: 2026-11-30 12:00 UTC" in text
    again = sent("digest_1", body)
    assert (again["Message-ID"], text_of(again)) == (message["Message-ID"], text)


def test_a_long_subject_begins_in_its_own_line() -> None:
    event = opened("C" * 128, tenant="t" * 64)
    message = sent(event.event_id, event.document())
    assert message["Subject"] == f"Send a technician today: charger {'C' * 128} (tenant {'t' * 64})"
    assert sent("digest_1", digest(left_out=123_456_789))["Subject"].startswith("Alerts, to do today: 0")


@pytest.mark.owasp("API10", "line breaks and markup in ids and reasons are text in e-mails, and no headers")
@pytest.mark.parametrize(
    "bad",
    [
        "CP\r\nBcc: x@example.com\r\n\r\n<script>",
        "CP\n.\nMAIL FROM:<x@example.com>",
        "CP\u2028Bcc: x\u0085y\x00\x1b[31m\u202egnp.exe",
        "\ud7ff=?utf-8?q?Bcc=3A_x?= ,;:<>\"'&",
        "x" * 5_000,
    ],
)
def test_what_others_write_is_text(bad: str) -> None:
    hostile = opened(bad, tenant=bad, top_factor=bad, anomaly_type=bad, recommended_action="IMMEDIATE")
    for body in (hostile.document(), digest(hostile, opened(bad, kind="anomaly", anomaly_type=bad))):
        message = sent("digest_1", body)
        assert sorted(message.keys()) == sorted(
            [
                *("Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"),
                *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
            ]
        )
        assert (message["To"], message.get_content_type()) == ("ml@example.com", "text/plain")
        assert not [each for each in text_of(message).replace("\n", "") if not each.isprintable()]
        starts = ("Bcc", "MAIL", ".", "<script>")
        assert not [line for line in text_of(message).splitlines() if line.startswith(starts)]
    assert len(plain(bad)) <= MAX_CHARS


def test_an_event_without_a_verdict_has_a_text() -> None:
    event = opened()
    bare = {**event.data, "verdict": None}
    made = alert_opened("a" * 24, "CP-1", bare, tenant=None, at=1.0)
    assert "look at the charger" in text_of(sent(made.event_id, made.document()))
