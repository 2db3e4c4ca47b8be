"""Results of a job into a file: slice after slice, each of which is complete."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from evzone_ml_client.calls import Call, results_path
from evzone_ml_client.errors import JobNotFinished
from evzone_ml_client.exchange import ApiResponse, Request
from evzone_ml_client.formats import MEDIA_TYPES, ResultsFormat, results_format
from evzone_ml_client.schemas import Job

# Rows fetched at a time: fewer after a cut, so that even a connection that is always cut brings them on.
MOST_ROWS: Final = 10_000
LEAST_ROWS: Final = 50
_NEXT: Final = re.compile(r'[?&]cursor=(\d+)[^>]*>; rel="next"')


@dataclass(frozen=True, slots=True)
class Saved:
    """How much of a job's results a file holds: so many rows, in its first `size_bytes`.

    A Parquet file is none before its end, and `size_bytes` is 0 until then: nobody can go on with it.
    """

    rows: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A complete file of some rows, and the number of the row that follows them."""

    content: bytes
    following: int


class Download:
    """The results of one job on their way into `out`, a path or an open binary file.

    A path is written beside itself, as `<out>.part`, and put in its place by `close`. `start` is what an
    earlier download of the same job has left there.

    Raises `JobNotFinished`, `ValueError` for a format that is not written, and `ImportError` for Parquet
    without pyarrow.
    """

    def __init__(
        self,
        job: Job,
        out: os.PathLike[str] | IO[bytes],
        *,
        file_format: ResultsFormat | None,
        start: Saved | None,
        timeout_s: float,
    ) -> None:
        if job["finished_at"] is None:
            raise JobNotFinished(job)
        self.job = job
        self._path = Path(out) if isinstance(out, os.PathLike) else None
        self._format = file_format or _format_of(self._path)
        self._timeout_s = timeout_s
        self._limit = MOST_ROWS
        self._asked = False
        if self._format == "parquet":
            _parquet()
        if isinstance(out, os.PathLike):
            self._file, held = _open_part(_part(Path(out)), start or Saved())
        else:
            self._file, held = out, Saved()
        self._rows = held.rows
        self._writer: _Writer = (
            _Parquet(self._file)
            if self._format == "parquet"
            else _Lines(self._file, header=self._format == "csv", size_bytes=held.size_bytes)
        )

    @property
    def complete(self) -> bool:
        return self._rows >= self.job["total"]

    def slice(self) -> Call[Slice]:
        """The rows that come next; fewer in each attempt."""
        return Call(name="save_results", request=self._request, read=self._read, timeout_s=self._timeout_s)

    def append(self, received: Slice) -> Saved:
        """Write the answer to `slice`. Blocks for the disk. Returns how much there is now."""
        self._asked = False
        self._writer.append(received.content)
        self._rows = received.following
        self._limit = min(self._limit + self._limit // 4, MOST_ROWS)
        return Saved(self._rows, self._writer.size_bytes)

    def close(self) -> None:
        """Put the complete file in its place. Blocks for the disk."""
        self._writer.close()
        self._file.flush()
        if self._path is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(_part(self._path), self._path)

    def abandon(self) -> None:
        """Leave the part as it is. After `close` it does nothing."""
        self._writer.close()
        if self._path is not None:
            self._file.close()

    def _request(self) -> Request:
        if self._asked:
            self._limit = max(LEAST_ROWS, self._limit // 4)
        self._asked = True
        return Request(
            method="GET",
            path=results_path(self.job["job_id"]),
            params={"cursor": str(self._rows), "limit": str(self._limit)},
            headers={"Accept": MEDIA_TYPES[f".{self._format}"]},
        )

    def _read(self, answer: ApiResponse) -> Slice:
        """Only of a cancelled job rows are missing; where its next ones are, the service says."""
        if not answer.headers.get("Content-Type", "").startswith(MEDIA_TYPES[f".{self._format}"]):
            raise ValueError(f"no {self._format}")
        link = _NEXT.search(answer.headers.get("Link", ""))
        following = int(link.group(1)) if link else self.job["total"]
        if self.job["status"] != "CANCELLED" and following != min(
            self._rows + self._limit, self.job["total"]
        ):
            raise ValueError(f"rows are missing: the next is {following}")
        return Slice(answer.body, following)


class _Writer(Protocol):
    """`size_bytes` is where a later download may go on; 0 where it cannot."""

    @property
    def size_bytes(self) -> int: ...

    def append(self, received: bytes) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """NDJSON and CSV: slices follow each other; of CSV only the first keeps its header."""

    def __init__(self, file: IO[bytes], *, header: bool, size_bytes: int) -> None:
        self._file = file
        self._header = header
        self.size_bytes = size_bytes

    def append(self, received: bytes) -> None:
        header_again = self._header and self.size_bytes > 0
        skipped = received.index(b"\n") + 1 if header_again else 0  # names of columns hold no line breaks
        self.size_bytes += self._file.write(memoryview(received)[skipped:])
        self._file.flush()

    def close(self) -> None:
        pass


class _Parquet:
    """One file of the row groups of all slices."""

    size_bytes = 0

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._writer: Any = None

    def append(self, received: bytes) -> None:
        held = _parquet().ParquetFile(io.BytesIO(received))
        if self._writer is None:
            self._writer = _parquet().ParquetWriter(self._file, held.schema_arrow, compression="zstd")
        for number in range(held.num_row_groups):
            self._writer.write_table(held.read_row_group(number))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'evzone-ml-client[parquet]'") from None
    return parquet


def _format_of(path: Path | None) -> ResultsFormat:
    if path is None:
        raise ValueError("file_format: must be named for a file that is already open")
    return results_format(path)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _open_part(path: Path, start: Saved) -> tuple[IO[bytes], Saved]:
    """Open an unfinished file at `start`, or at its beginning if it is shorter than that."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    held = start if 0 < start.size_bytes <= file.seek(0, os.SEEK_END) else Saved()
    file.truncate(held.size_bytes)
    file.seek(held.size_bytes)
    return file, held
