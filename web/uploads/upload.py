"""Receive the body of a batch: decompress it, check its size, hash it, and keep it in a file.

The web process never holds a whole body in memory. A body of more than a megabyte is kept on disk (`TMPDIR`)
until its rows are in Redis.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from werkzeug.exceptions import RequestEntityTooLarge

from errors import FieldError, InvalidReading, MalformedBody, UnsupportedMediaType
from readings.schema import FIELDS, REQUIRED
from web.http.messages import Request
from web.http.streaming import receiving

IN_MEMORY_BYTES: Final = 1_000_000
PIECE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Upload:
    """A received body, decompressed. `digest` identifies its content; `file` is at its start."""

    file: IO[bytes]
    size_bytes: int
    digest: str


@contextmanager
def received(request: Request, limit_bytes: int) -> Iterator[Upload]:
    """Receive the body of `request` into a file that exists within the context. Blocks until it is received.

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
                digest.update(piece)
                file.write(piece)
        file.seek(0)
        yield Upload(file, size_bytes, digest.hexdigest())


def _pieces(request: Request) -> Iterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        source: IO[bytes] | gzip.GzipFile = request.stream
    elif encoding in ("gzip", "x-gzip"):
        source = gzip.GzipFile(fileobj=request.stream, mode="rb")
    else:
        raise UnsupportedMediaType("Send Content-Encoding: gzip, or none.")
    try:
        while piece := source.read(PIECE_BYTES):
            yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedBody(f"The body is not whole gzip: {error}.") from None


# The limit of one chunk, which one worker processes at once. Typical rows fill a thirtieth of it.
MAX_CHUNK_BYTES: Final = 32_000_000
MAX_LINE_BYTES: Final = 1_000_000


def check_columns(names: Sequence[str]) -> None:
    """Check the column names. Raises `InvalidReading` that names each missing or repeated column."""
    listed = ", ".join(names[:20]) or "none"
    problems = [
        FieldError(f"/{name}", f"There is no such column. The columns are: {listed}.", "required")
        for name in REQUIRED
        if name not in names
    ]
    problems += [
        FieldError(f"/{name}", "There is more than one such column.", "duplicate")
        for name in FIELDS
        if names.count(name) > 1
    ]
    if problems:
        raise InvalidReading(problems)


def check_size(size_bytes: int) -> None:
    """Check the size of a chunk. Raises werkzeug's 413 for more than `MAX_CHUNK_BYTES`."""
    if size_bytes > MAX_CHUNK_BYTES:
        raise RequestEntityTooLarge(f"A few thousand rows hold more than {MAX_CHUNK_BYTES} bytes.")


def check_line(size_bytes: int, number: int) -> None:
    """Check the size of a line. Raises werkzeug's 413 for more than `MAX_LINE_BYTES`."""
    if size_bytes > MAX_LINE_BYTES:
        raise RequestEntityTooLarge(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
