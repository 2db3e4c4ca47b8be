"""How a chunk's rows and results are kept in Redis: compressed, for both are mostly repetition.

A million verdicts are a gigabyte of JSON, and a tenth of that packed (docs/adr/0009).
"""

from __future__ import annotations

from typing import Final

import zstandard

LEVEL: Final = 1
# More than any chunk that this service writes; a packed bomb cannot come from elsewhere.
MAX_UNPACKED_BYTES: Final = 1 << 30


def pack(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def unpack(data: bytes) -> bytes:
    """The inverse of `pack`. Raises `zstandard.ZstdError`."""
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_UNPACKED_BYTES)
