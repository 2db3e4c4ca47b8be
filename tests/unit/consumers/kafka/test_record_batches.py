"""What comes out of a batch, whatever its producer has put into it."""

from __future__ import annotations

import gzip

import pytest
import snappy
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

import consumers.kafka.clients  # noqa: F401 - it installs the batches
from consumers.kafka.record_batches import MAX_UNPACKED_BYTES, SafeRecordBatch, Unreadable

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
        assert "larger than" in record.value.reason


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
