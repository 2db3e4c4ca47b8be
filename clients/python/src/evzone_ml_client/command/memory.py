"""State of a run, stored beside its output, so that a repeated command resumes it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

READ_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Memory:
    """`work` is the fingerprint of input and parameters. `work` and `nonce` form the idempotency key.

    The same work keeps its job until the job is done. A later run gets a new nonce, hence a new job.

    `rows` and `size_bytes`: the amount of results in the unfinished output.
    """

    work: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    job_id: str | None = None
    rows: int = 0
    size_bytes: int = 0

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"{self.work}-{self.nonce}"


class MemoryFile:
    """Holds a `Memory`, in a file if `path` is set. Each change replaces the file before the call returns."""

    def __init__(self, path: Path | None, work: str) -> None:
        self._path = path
        held = _read(path) if path is not None else None
        self.now = held if held is not None and held.work == work else Memory(work)
        self.change()

    def change(self, **changes: Any) -> None:
        """Change fields and save. Blocks for the disk."""
        self.now = replace(self.now, **changes)
        if self._path is not None:
            beside = self._path.with_name(f"{self._path.name}.new")
            beside.write_text(json.dumps(asdict(self.now)))
            os.replace(beside, self._path)

    def begin_anew(self) -> None:
        """Forget the job and its results; keep the work, with a new key."""
        self.change(**asdict(Memory(self.now.work)))

    def forget(self) -> None:
        """Delete the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def fingerprint(file: Path, *parameters: str) -> str:
    """Return a digest of a file's bytes and the job's parameters. Blocks for the disk."""
    digest = hashlib.blake2b("\n".join(parameters).encode(), digest_size=16)
    with file.open("rb") as opened:
        while piece := opened.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> Memory | None:
    try:
        return Memory(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
