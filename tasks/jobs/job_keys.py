"""Where the parts of a batch job live in Redis, and how they are compressed. All expire together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import zstandard

from tasks.storage.redis_connection import tenant_prefix

# Ids of jobs that have not ended, for those who look after them.
OPEN_KEY: Final = "ml:jobs:open"


def index_key(tenant: str | None) -> str:
    """A tenant's job ids by the time of their creation."""
    return f"{tenant_prefix(tenant)}jobs"


@dataclass(frozen=True, slots=True)
class JobKeys:
    """`input` and `results` are hashes with a field for each chunk, packed (tasks/jobs/job_keys.py).

    `sent` and `held` are sorted sets of chunks by the moment (server's epoch seconds) until which nobody
    needs to worry about them: those on the queue, and those in a worker's hands. `attempts` counts by chunk;
    `errors` are the first problems of rows.
    """

    job_id: str

    @property
    def record(self) -> str:
        return f"ml:job:{self.job_id}"

    @property
    def input(self) -> str:
        return f"ml:job:{self.job_id}:input"

    @property
    def results(self) -> str:
        return f"ml:job:{self.job_id}:results"

    @property
    def sent(self) -> str:
        return f"ml:job:{self.job_id}:sent"

    @property
    def held(self) -> str:
        return f"ml:job:{self.job_id}:held"

    @property
    def attempts(self) -> str:
        return f"ml:job:{self.job_id}:attempts"

    @property
    def errors(self) -> str:
        return f"ml:job:{self.job_id}:errors"

    @property
    def ended(self) -> str:
        """A channel, no key: something is said there once, when the job has ended."""
        return f"ml:job:{self.job_id}:ended"

    @property
    def all(self) -> tuple[str, ...]:
        return (self.record, self.input, self.results, self.sent, self.held, self.attempts, self.errors)


LEVEL: Final = 1
# More than any chunk that this service writes; a packed bomb cannot come from elsewhere.
MAX_UNPACKED_BYTES: Final = 1 << 30


def pack(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def unpack(data: bytes) -> bytes:
    """The inverse of `pack`. Raises `zstandard.ZstdError`."""
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_UNPACKED_BYTES)
