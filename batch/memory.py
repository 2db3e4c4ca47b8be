"""What a run keeps beside its output, so that a repeated one goes on where the last one ended."""

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
    """`work` is the fingerprint of input and parameters. With `nonce` it makes the idempotency key: the same
    work is the same job until it is done, and a new one the next time.

    `rows` and `size_bytes`: how much of the results the unfinished output holds.
    """

    work: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    job_id: str | None = None
    rows: int = 0
    size_bytes: int = 0

    @property
    def key(self) -> str:
        return f"{self.work}-{self.nonce}"


class MemoryFile:
    """Holds a `Memory`, in a file if there is one. Every change is on disk before the call returns."""

    def __init__(self, path: Path | None, work: str) -> None:
        self._path = path
        held = _read(path) if path is not None else None
        self.now = held if held is not None and held.work == work else Memory(work)
        self.change()

    def change(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)
        if self._path is not None:
            beside = self._path.with_name(f"{self._path.name}.new")
            beside.write_text(json.dumps(asdict(self.now)))
            os.replace(beside, self._path)

    def begin_anew(self) -> None:
        """The same work as a new job."""
        self.change(**asdict(Memory(self.now.work)))

    def forget(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def fingerprint(file: Path, *parameters: str) -> str:
    """Of a file's bytes and everything that makes another job of them."""
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
