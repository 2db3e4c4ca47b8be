"""What a look of a dead letter has of its record."""

from __future__ import annotations

import orjson
import pytest

from consumers.kafka.noted_dead_letters import MAX_DECODED_BYTES, look_of
from consumers.kafka.offsets import PendingRecord
from consumers.kafka.record_processor import send_to_dead_letter
from consumers.kafka.records import Received, shortened
from errors import ScoringFailed
from tasks.storage.dead_letter_looks import MAX_TEXT_BYTES

SECRET = b"Bearer abc"


def refused(value: bytes | None = b"{bad", *, key: bytes | None = b"EVZ-1") -> PendingRecord:
    headers = [("authorization", SECRET), ("x-error-code", b"mine")]
    entry = PendingRecord(Received("in", 3, 17, key, value, headers))
    send_to_dead_letter(entry, ScoringFailed("no"), attempts=2, topic="dlq")
    return entry


def test_a_look_tells_source_reason_and_text_and_has_no_headers() -> None:
    look = look_of(refused())
    assert (look.origin, look.code, look.reason, look.attempts) == ("in:3:17", "scoring_failed", "no", 2)
    assert (look.key, look.text, look.size_bytes, look.tenant) == ("EVZ-1", "{bad", 4, None)
    assert SECRET.decode() not in repr(look)


def test_a_look_has_the_beginning_as_text_whatever_the_bytes_are() -> None:
    look = look_of(refused(b"\xff" * 100_000, key=b"\xfe" * 10_000))
    assert look.text == "\ufffd" * MAX_TEXT_BYTES
    assert (look.size_bytes, len(look.key)) == (100_000, 256)
    assert (look_of(refused(None, key=None)).text, look_of(refused(None, key=None)).key) == ("", "")


def test_a_look_of_a_shortened_record_tells_its_whole_size() -> None:
    entry = refused(b"{" * 500_000)
    (letter,) = entry.outcomes or ()
    entry.outcomes = (shortened(letter),)
    entry.received = entry.received._replace(value=letter.value[:64] if letter.value else None)
    assert look_of(entry).size_bytes == 500_000


@pytest.mark.parametrize(
    ("document", "tenant"),
    [
        ({"tenant_id": "acme"}, "acme"),
        ({"operator_id": "acme"}, "acme"),
        ({"tenantId": "acme"}, "acme"),
        ({"tenant_id": "a b"}, None),
        ({"tenant_id": "a b", "operator_id": "acme"}, None),
        ({"tenant_id": None, "operator_id": "acme"}, "acme"),
        ({"tenant_id": 7}, None),
        (["acme"], None),
        ({"tenant_id": "acme", "x": "y" * MAX_DECODED_BYTES}, None),
    ],
)
def test_the_tenant_is_the_one_that_the_record_names(document: object, tenant: str | None) -> None:
    assert look_of(refused(orjson.dumps(document))).tenant == tenant


@pytest.mark.parametrize("value", [b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000, b"\x00", b'"\\ud800"'])
def test_hostile_values_have_no_tenant(value: bytes) -> None:
    assert look_of(refused(value)).tenant is None
