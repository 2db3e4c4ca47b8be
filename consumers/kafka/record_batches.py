"""Record batches for kafka-python that never raise while reading, and have a bounded size.

kafka-python 3.0.12 decompresses a batch without a limit: a megabyte of zstd can hold gigabytes. A poll holds
hundreds of records, each perhaps of a batch of its own. An error in one record makes `poll` fail at every
offset of its batch, and the partition stops. With this module such a record, or each record of such a batch,
has a value of type `Unreadable` instead.

Only message format 2 is covered (Kafka 0.11 and later).
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from typing import ClassVar, Final

import lz4.frame
import snappy
import zstandard
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from consumers.kafka.records import KEPT_KEY_BYTES, KEPT_VALUE_BYTES, RecordTooLarge, kept_headers
from errors import ServiceError

# Producers create batches of 16 kB to 1 MB before compression.
MAX_UNPACKED_BYTES: Final = 32_000_000
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16


class UnreadableRecord(ServiceError):
    """Raised for a record that cannot be decoded from its batch."""

    code = "unreadable_record"


class Unreadable(bytes):
    """The value of a record that is not processed: its raw bytes, as far as known, and the `error`."""

    error: ServiceError

    @classmethod
    def of(cls, raw: bytes, error: Exception) -> Unreadable:
        """The raw bytes of a record that cannot be decoded, with the error as the reason."""
        found = cls(raw)
        found.error = UnreadableRecord(
            f"The record cannot be read out of its batch ({type(error).__name__}: {error})."
        )
        return found

    @classmethod
    def cut(cls, value: bytes, error: ServiceError) -> Unreadable:
        """The beginning of a value that is too large."""
        found = cls(value[:KEPT_VALUE_BYTES])
        found.error = error
        return found


class TooLarge(Exception):
    """Raised for a batch that is larger than `MAX_UNPACKED_BYTES` after decompression."""

    def __init__(self) -> None:
        super().__init__(f"it is larger than {MAX_UNPACKED_BYTES} bytes unpacked")


class SafeRecordBatch(DefaultRecordBatch):
    """One batch of records. Iterating it raises nothing.

    `most_bytes` limits key, value and headers of a record in this process; None is no limit.
    """

    most_bytes: ClassVar[int | None] = None

    def __iter__(self) -> Iterator[DefaultRecord]:
        try:
            self._unpack()
        except Exception as error:
            return self._rest_unreadable(self.base_offset, error)
        return self._records()

    def _unpack(self) -> None:
        if not self._decompressed and self.compression_type != self.CODEC_NONE:
            data = bytes(memoryview(self._buffer)[self._pos :])
            self._buffer = bytearray(_UNPACK[self.compression_type](data))
            self._pos = 0
        self._decompressed = True

    def _records(self) -> Iterator[DefaultRecord]:
        following = self.base_offset
        for _ in range(self.records_count):
            try:
                record = self._read_msg()
            except Exception as error:
                try:
                    length, start = decode_varint(self._buffer, self._pos)
                    end = start + length
                    if length < 0 or end > len(self._buffer):
                        raise ValueError("its length is wrong")
                except Exception:
                    yield from self._rest_unreadable(following, error)
                    return
                kept = bytes(self._buffer[start : min(end, start + (self.most_bytes or length))])
                record = self._unreadable(following, Unreadable.of(kept, error))
                self._pos = end
            following = record.offset + 1
            yield self._within_limit(record)

    def _within_limit(self, record: DefaultRecord) -> DefaultRecord:
        """The record, or what is kept of one that is too large: it must not wait in memory as it is."""
        key, value = record.key, record.value or b""
        size = len(key or b"") + len(value)
        if record.headers:
            size += sum(len(name) + len(content or b"") for name, content in record.headers)
        if self.most_bytes is None or size <= self.most_bytes:
            return record
        kept = Unreadable.cut(value, RecordTooLarge(size, self.most_bytes, value))
        key = None if key is None else key[:KEPT_KEY_BYTES]
        headers = kept_headers(record.headers)
        return DefaultRecord(
            len(kept), record.offset, record.timestamp, self.timestamp_type, key, kept, headers
        )

    def _rest_unreadable(self, first: int, error: Exception) -> Iterator[DefaultRecord]:
        for offset in range(first, self.last_offset + 1):
            yield self._unreadable(offset, Unreadable.of(b"", error))

    def _unreadable(self, offset: int, value: Unreadable) -> DefaultRecord:
        return DefaultRecord(len(value), offset, self.max_timestamp, self.timestamp_type, None, value, [])


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_UNPACKED_BYTES:
        raise TooLarge
    return data


def _gzip(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return _bounded(file.read(MAX_UNPACKED_BYTES + 1))


def _zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        return _bounded(reader.read(MAX_UNPACKED_BYTES + 1))


def _lz4(data: bytes) -> bytes:
    return _bounded(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=MAX_UNPACKED_BYTES + 1))


def _snappy(data: bytes) -> bytes:
    """Decompress raw snappy, or the blocks of snappy-java, each preceded by its size."""
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_blocks([data])
    blocks, at = [], _XERIAL_HEADER_BYTES
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        blocks.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return _snappy_blocks(blocks)


def _snappy_blocks(blocks: list[bytes]) -> bytes:
    if sum(map(_snappy_size, blocks)) > MAX_UNPACKED_BYTES:
        raise TooLarge
    return b"".join(bytes(snappy.decompress(block)) for block in blocks)


def _snappy_size(block: bytes) -> int:
    """The decompressed size in a block's header: a little-endian base-128 number of at most five bytes."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise ValueError("a snappy block states no size")


_UNPACK: Final[dict[int, Callable[[bytes], bytes]]] = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_SNAPPY: _snappy,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}


def install() -> None:
    """Use `SafeRecordBatch` in all consumers of this process: kafka-python has no setting for it."""
    vars(memory_records)["DefaultRecordBatch"] = SafeRecordBatch


def limit_records(most_bytes: int) -> None:
    """Cut records of more than `most_bytes` in all consumers of this process, from now on."""
    SafeRecordBatch.most_bytes = most_bytes
