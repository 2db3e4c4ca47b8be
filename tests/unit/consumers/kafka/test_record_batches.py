"""What comes out of a batch, whatever its producer has put into it."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from collections.abc import Iterator

import pytest
import snappy
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

import consumers.kafka.clients  # noqa: F401 - it installs the batches
from consumers.kafka.record_batches import MAX_UNPACKED_BYTES, SafeRecordBatch, Unreadable, limit_records
from consumers.kafka.records import KEPT_VALUE_BYTES, Received, RecordTooLarge, dead_letter

CODECS = range(5)
BASE_OFFSET = 70
# Where a batch of format 2 has its first offset, and where its records begin.
FIRST_RECORD = 61


def batch(*values: bytes, codec: int = 0, header: str = "trace") -> bytearray:
    """A batch whose first offset is `BASE_OFFSET`."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 10**9)
    for offset, value in enumerate(values):
        builder.append(offset, 1_000 + offset, b"key", value, [(header, b"1")])
    built = builder.build()
    built[:8] = BASE_OFFSET.to_bytes(8, "big")
    return built


def test_kafka_python_reads_our_batches() -> None:
    assert vars(memory_records)["DefaultRecordBatch"] is SafeRecordBatch


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_good_batches_are_read_as_kafka_python_reads_them(codec: int, values: list[bytes]) -> None:
    data = batch(*values, codec=codec)
    theirs, ours = list(DefaultRecordBatch(bytearray(data))), list(SafeRecordBatch(bytearray(data)))
    assert [vars_of(record) for record in ours] == [vars_of(record) for record in theirs]
    assert [record.value for record in ours] == values


def vars_of(record: object) -> list[object]:
    return [getattr(record, name) for name in ("offset", "key", "value", "headers", "timestamp")]


@pytest.mark.parametrize("codec", range(1, 5))
def test_each_record_of_a_batch_that_is_too_large_is_unreadable(codec: int) -> None:
    found = list(SafeRecordBatch(batch(b"good", bytes(MAX_UNPACKED_BYTES), b"good", codec=codec)))
    assert [record.offset for record in found] == [BASE_OFFSET, BASE_OFFSET + 1, BASE_OFFSET + 2]
    for record in found:
        assert isinstance(record.value, Unreadable)
        assert "larger than" in str(record.value.error)


@pytest.mark.owasp("API10", "garbage in a Kafka batch costs its own records only")
@pytest.mark.parametrize("codec", range(1, 5))
def test_each_record_of_a_batch_that_is_garbage_is_unreadable(codec: int) -> None:
    data = batch(b"a" * 100, b"b" * 100, codec=codec)
    data[FIRST_RECORD:] = b"\xff" * (len(data) - FIRST_RECORD)
    found = list(SafeRecordBatch(data))
    assert [record.offset for record in found] == [BASE_OFFSET, BASE_OFFSET + 1]
    assert all(isinstance(record.value, Unreadable) for record in found)


@pytest.mark.parametrize("codec", [0, 1])
def test_a_header_that_is_not_utf_8_makes_its_record_unreadable_and_no_other(codec: int) -> None:
    plain = batch(b"a", b"BAD", b"c")
    place = plain.index(b"BAD") + len(b"BAD")
    plain[plain.index(b"trace", place)] = 0xFF
    if codec:
        plain[22] = codec  # the attributes
        plain[FIRST_RECORD:] = gzip.compress(bytes(plain[FIRST_RECORD:]))
    first, bad, last = SafeRecordBatch(plain)
    assert (first.value, last.value) == (b"a", b"c")
    assert isinstance(bad.value, Unreadable)
    assert bytes(bad.value).find(b"BAD") > 0
    assert [first.offset, bad.offset, last.offset] == [BASE_OFFSET, BASE_OFFSET + 1, BASE_OFFSET + 2]


def test_what_follows_a_record_of_a_wrong_length_is_unreadable() -> None:
    data = batch(b"a", b"b", b"c")
    data[FIRST_RECORD + (len(data) - FIRST_RECORD) // 3] = 0x7F
    found = list(SafeRecordBatch(data))
    assert [record.offset for record in found] == [BASE_OFFSET, BASE_OFFSET + 1, BASE_OFFSET + 2]
    assert [isinstance(record.value, Unreadable) for record in found] == [False, True, True]


def test_blocks_of_snappy_java_are_read() -> None:
    data = batch(b"a", b"b")
    records = bytes(data[FIRST_RECORD:])
    blocks = [snappy.compress(records[:10]), snappy.compress(records[10:])]
    data[22] = DefaultRecordBatch.CODEC_SNAPPY
    framed = b"".join(len(block).to_bytes(4, "big") + bytes(block) for block in blocks)
    data[FIRST_RECORD:] = b"\x82SNAPPY\x00" + bytes(8) + framed
    assert [record.value for record in SafeRecordBatch(data)] == [b"a", b"b"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CODECS), st.binary(max_size=200))
def test_whatever_stands_in_a_batch_its_offsets_come_out(codec: int, garbage: bytes) -> None:
    data = batch(b"a", b"b")
    data[22] = codec
    data[FIRST_RECORD:] = garbage
    found = list(SafeRecordBatch(data))
    assert len(found) == 2


@pytest.fixture
def limited() -> Iterator[int]:
    limit_records(1_000_000)
    yield 1_000_000
    SafeRecordBatch.most_bytes = None


@pytest.mark.owasp("API10", "of a Kafka record that is too large after decompression 64 kB are held")
@pytest.mark.parametrize("codec", CODECS)
def test_a_record_that_is_too_large_is_cut_and_named(limited: int, codec: int) -> None:
    large = b"x" * (limited - len("keytrace1")) + b"y"
    first, cut, last = SafeRecordBatch(batch(large[:-1], large, b"good", codec=codec))
    assert (first.value, last.value) == (large[:-1], b"good")
    assert isinstance(cut.value, Unreadable)
    assert cut.value == large[:KEPT_VALUE_BYTES]
    error = cut.value.error
    assert isinstance(error, RecordTooLarge)
    received = Received("t", 0, cut.offset, cut.key, bytes(cut.value), cut.headers)
    letter = dead_letter(received, error, attempts=1, topic="dlq")
    headers = dict(letter.headers)
    assert headers["x-error-code"] == b"record_too_large"
    assert headers["x-origin-length"] == str(len(large)).encode()
    assert headers["x-origin-sha256"] == hashlib.sha256(large).hexdigest().encode()
    assert headers["trace"] == b"1"


@pytest.mark.owasp("API10", "a Kafka record with ten thousand headers, or a key of megabytes, is cut as well")
def test_headers_and_keys_count_too(limited: int) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**9)
    builder.append(0, 1_000, b"key", b"value", [(f"h{number}", b"x" * 100) for number in range(10_000)])
    builder.append(1, 1_000, b"k" * (limited + 1), None, [])
    many, long = SafeRecordBatch(builder.build())
    assert isinstance(many.value, Unreadable)
    assert many.value == b"value"
    assert 0 < len(many.headers) < 100
    assert isinstance(long.value, Unreadable)
    assert len(long.key or b"") == 1_024


@pytest.mark.owasp("API10", "a poll of five hundred bombs of 31 MB each takes no gigabytes")
@pytest.mark.usefixtures("limited")
def test_a_poll_of_bombs_takes_little_memory() -> None:
    bomb = bytes(batch(bytes(31_000_000), codec=4))
    assert len(bomb) < 10_000
    tracemalloc.start()
    polled = [record for _ in range(20) for record in SafeRecordBatch(bytearray(bomb))]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(polled) == 20
    assert peak_bytes < 5 * 31_000_000
