"""Redis keys of a batch job, and the compression of its data. All keys of a job expire together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import zstandard

from tasks.storage.redis_connection import tenant_prefix

# Ids of jobs that have not ended, for recovery.
OPEN_KEY: Final = "ml:jobs:open"
# Ids of jobs whose end is not yet announced to webhooks. Without a webhook there are none.
ENDED_KEY: Final = "ml:jobs:ended"


def index_key(tenant: str | None) -> str:
    """Key of a tenant's job ids, sorted by creation time."""
    return f"{tenant_prefix(tenant)}jobs"


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The Redis keys of one job.

    `input` and `results` are hashes with one compressed field per chunk (`pack`). `sent` and `held` are
    sorted sets of chunks, on the queue and leased. Their scores are the times (epoch seconds of the server)
    after which a chunk counts as lost. `attempts` counts by chunk. `errors` is a list of the first row
    problems.
    """

    job_id: str

    @property
    def record(self) -> str:
        """Key of the job record, a hash."""
        return f"ml:job:{self.job_id}"

    @property
    def input(self) -> str:
        """Key of the chunks' rows."""
        return f"ml:job:{self.job_id}:input"

    @property
    def results(self) -> str:
        """Key of the chunks' results."""
        return f"ml:job:{self.job_id}:results"

    @property
    def sent(self) -> str:
        """Key of the chunks on the queue."""
        return f"ml:job:{self.job_id}:sent"

    @property
    def held(self) -> str:
        """Key of the leased chunks."""
        return f"ml:job:{self.job_id}:held"

    @property
    def attempts(self) -> str:
        """Key of the attempts by chunk."""
        return f"ml:job:{self.job_id}:attempts"

    @property
    def errors(self) -> str:
        """Key of the first row problems."""
        return f"ml:job:{self.job_id}:errors"

    @property
    def steps(self) -> str:
        """Key of the progress of an erasure."""
        return f"ml:job:{self.job_id}:steps"

    @property
    def ended(self) -> str:
        """Name of a channel, not a key: one message is published when the job has ended."""
        return f"ml:job:{self.job_id}:ended"

    @property
    def all(self) -> tuple[str, ...]:
        """All keys of the job."""
        return (self.record, self.input, self.results, self.sent, self.held, self.attempts, self.errors)


LEVEL: Final = 1
# More than any chunk that this service writes. Guards against decompression bombs.
MAX_UNPACKED_BYTES: Final = 1 << 30


def pack(data: bytes) -> bytes:
    """Compress data with Zstandard."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def unpack(data: bytes) -> bytes:
    """The inverse of `pack`. Raises `zstandard.ZstdError`."""
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_UNPACKED_BYTES)
