"""Receive the body of a batch: decompress it, check its size, hash it, and keep it in a file.

The web process never holds a whole body in memory. A body of more than a megabyte is kept on disk (`TMPDIR`)
until its rows are in Redis.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Final, cast

from werkzeug.exceptions import RequestEntityTooLarge

from errors import MalformedBody, UnsupportedMediaType
from web.http.messages import Request
from web.http.streaming import receiving

IN_MEMORY_BYTES: Final = 1_000_000
PIECE_BYTES: Final = 1 << 18
# A fleet of readings that differ in nothing but the id unpacks to 60 times its size, a bomb to 1,000 times.
# A file for a trial may have equal rows, so smaller bodies may unpack to any size.
MAX_GZIP_RATIO: Final = 200
GZIP_RATIO_FROM_BYTES: Final = 16_000_000


@dataclass(slots=True)
class Upload:
    """A received body, decompressed. `digest` identifies its content; `file` is at its start.

    Cutting it into rows sets `ignored_columns` (unknown column names, in file order) and `blank_lines` (those
    before the last row of NDJSON).
    """

    file: IO[bytes]
    size_bytes: int
    digest: str
    ignored_columns: list[str] = field(default_factory=list)
    blank_lines: int = 0


@contextmanager
def received(request: Request, limit_bytes: int, check_disk: Callable[[], None]) -> Iterator[Upload]:
    """Receive the body of `request` into a file that exists within the context. Blocks until it is received.

    `check_disk` is called before each piece that goes to the disk, and may raise.

    Raises werkzeug's 408 for a truncated body and 413 for more than `limit_bytes` as sent or decompressed.
    Raises `UnsupportedMediaType` for a `Content-Encoding` other than gzip, `MalformedBody` for damaged gzip,
    and `QueueFull` if too many bodies are being received.
    """
    request.max_content_length = limit_bytes
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        digest = hashlib.blake2b(digest_size=16)
        size_bytes = 0
        with receiving(request):
            for piece in _pieces(request):
                size_bytes += len(piece)
                if size_bytes > limit_bytes:
                    raise RequestEntityTooLarge
                if size_bytes > IN_MEMORY_BYTES:
                    check_disk()  # each time: many bodies may come at once
                digest.update(piece)
                file.write(piece)
        file.seek(0)
        yield Upload(file, size_bytes, digest.hexdigest())


def _pieces(request: Request) -> Iterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        yield from iter(lambda: request.stream.read(PIECE_BYTES), b"")
    elif encoding in ("gzip", "x-gzip"):
        yield from _unpacked(request.stream)
    else:
        raise UnsupportedMediaType("Send Content-Encoding: gzip, or none.")


class _Counted(io.RawIOBase):
    """A stream that counts the bytes that were read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.size_bytes += len(piece)
        return piece


def _unpacked(stream: IO[bytes]) -> Iterator[bytes]:
    packed = _Counted(stream)
    size_bytes = 0
    try:
        with gzip.GzipFile(fileobj=cast("IO[bytes]", packed), mode="rb") as source:
            while piece := source.read(PIECE_BYTES):
                size_bytes += len(piece)
                if size_bytes > max(GZIP_RATIO_FROM_BYTES, MAX_GZIP_RATIO * packed.size_bytes):
                    raise RequestEntityTooLarge(
                        f"The body unpacks to more than {MAX_GZIP_RATIO} times its size."
                    )
                yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedBody(f"The body is not whole gzip: {error}.") from None


# The limit of one chunk, which one worker processes at once. Typical rows fill a thirtieth of it.
MAX_CHUNK_BYTES: Final = 32_000_000
MAX_LINE_BYTES: Final = 1_000_000


def check_size(size_bytes: int) -> None:
    """Check the size of a chunk. Raises werkzeug's 413 for more than `MAX_CHUNK_BYTES`."""
    if size_bytes > MAX_CHUNK_BYTES:
        raise RequestEntityTooLarge(f"A few thousand rows hold more than {MAX_CHUNK_BYTES} bytes.")


def check_line(size_bytes: int, number: int) -> None:
    """Check the size of a line. Raises werkzeug's 413 for more than `MAX_LINE_BYTES`."""
    if size_bytes > MAX_LINE_BYTES:
        raise RequestEntityTooLarge(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
