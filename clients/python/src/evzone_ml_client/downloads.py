"""Save the results of a job to a file, slice by slice."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from evzone_ml_client.calls import Call, results_path
from evzone_ml_client.errors import JobNotFinished
from evzone_ml_client.exchange import ApiResponse, Request
from evzone_ml_client.formats import MEDIA_TYPES, ResultsFormat, StrPath, results_format
from evzone_ml_client.projection import project_csv, project_ndjson
from evzone_ml_client.schemas import Job

# Rows of a slice. A failed attempt reduces them, so that unreliable connections still make progress.
MOST_ROWS: Final = 10_000
LEAST_ROWS: Final = 50
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")
_NEXT: Final = re.compile(r'[?&]cursor=(\d+)[^>]*>; rel="next"')


@dataclass(frozen=True, slots=True)
class Saved:
    """Amount of a job's results in a file: `rows` rows in the first `size_bytes` bytes.

    For Parquet `size_bytes` is 0: an unfinished Parquet file is not readable and cannot be resumed.
    """

    rows: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """A complete file of some rows, and the number of the next row."""

    content: bytes
    following: int


class Download:
    """Download the results of one job to `out`, a path or an open binary file.

    A path is written to `<out>.part`; `close` renames it. Symbolic links are followed. A path to a device,
    pipe or socket is written into. `start` is the amount left in the part by an earlier download of the same
    job. `columns` are the fields of results to keep; None: all. Not thread-safe.

    Raises `JobNotFinished`, `ValueError` for an unknown format, and `ImportError` for Parquet without
    pyarrow.
    """

    def __init__(
        self,
        job: Job,
        out: StrPath | IO[bytes],
        *,
        file_format: ResultsFormat | None,
        columns: Sequence[str] | None,
        start: Saved | None,
        timeout_s: float,
    ) -> None:
        if job["finished_at"] is None:
            raise JobNotFinished(job)
        self.job = job
        named = Path(out) if isinstance(out, str | os.PathLike) else None
        self._path = None if named is None else regular_file(named)
        self._owns_file = named is not None
        self._format = file_format or _format_of(named)
        self._columns = columns
        self._timeout_s = timeout_s
        self._limit = MOST_ROWS
        self._asked = False
        if self._format == "parquet":
            _parquet()
        held = Saved()
        if self._path is not None:
            self._file, held = _open_part(_part(self._path), start or held)
        elif isinstance(out, str | os.PathLike):
            self._file = _open_stream(Path(out))
        else:
            self._file = out
        self._rows = held.rows
        self._writer: _Writer = (
            _Parquet(self._file, self._columns)
            if self._format == "parquet"
            else _Lines(self._file, header=self._format == "csv", size_bytes=held.size_bytes)
        )

    @property
    def complete(self) -> bool:
        """Whether all rows have been written."""
        return self._rows >= self.job["total"]

    def slice(self) -> Call[Slice]:
        """The call that fetches the next rows. Each further attempt requests fewer."""
        return Call(name="save_results", request=self._request, read=self._read, timeout_s=self._timeout_s)

    def append(self, received: Slice) -> Saved:
        """Write a fetched slice. Blocks for the disk. Returns the amount saved so far."""
        self._asked = False
        content = received.content
        if self._columns is not None and self._format != "parquet":
            content = (project_csv if self._format == "csv" else project_ndjson)(content, self._columns)
        self._writer.append(content)
        self._rows = received.following
        self._limit = min(self._limit + self._limit // 4, MOST_ROWS)
        return Saved(self._rows, self._writer.size_bytes)

    def close(self) -> None:
        """Finish the file and rename it to its path. Blocks for the disk."""
        self._writer.close()
        self._file.flush()
        if self._path is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(_part(self._path), self._path)
        elif self._owns_file:
            self._file.close()

    def abandon(self) -> None:
        """Leave the unfinished part for a later download. Does nothing after `close`."""
        self._writer.close()
        if self._owns_file:
            self._file.close()

    def _request(self) -> Request:
        if self._asked:
            self._limit = max(LEAST_ROWS, self._limit // 4)
        self._asked = True
        return Request(
            method="GET",
            path=results_path(self.job["job_id"]),
            params={
                "cursor": str(self._rows),
                "limit": str(self._limit),
                **({} if self._columns is None else {"columns": ",".join(self._columns)}),
            },
            headers={"Accept": MEDIA_TYPES[f".{self._format}"]},
        )

    def _read(self, answer: ApiResponse) -> Slice:
        """Parse a slice; the `Link` header has the next row. Only a cancelled job may have gaps."""
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
    """Appends slices. `size_bytes` is the position to resume from, or 0 if resuming is impossible."""

    @property
    def size_bytes(self) -> int: ...

    def append(self, received: bytes) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """NDJSON and CSV: slices are concatenated. CSV keeps only the first header."""

    def __init__(self, file: IO[bytes], *, header: bool, size_bytes: int) -> None:
        self._file = file
        self._header = header
        self.size_bytes = size_bytes

    def append(self, received: bytes) -> None:
        header_again = self._header and self.size_bytes > 0
        skipped = received.index(b"\n") + 1 if header_again else 0  # column names contain no line breaks
        self.size_bytes += self._file.write(memoryview(received)[skipped:])
        self._file.flush()

    def close(self) -> None:
        pass


class _Parquet:
    """One Parquet file with the row groups of all slices."""

    size_bytes = 0

    def __init__(self, file: IO[bytes], columns: Sequence[str] | None) -> None:
        self._file = file
        self._columns = columns
        self._writer: Any = None

    def append(self, received: bytes) -> None:
        held = _parquet().ParquetFile(io.BytesIO(received))
        if self._writer is None:
            schema = held.read_row_groups([], columns=self._columns).schema
            self._writer = _parquet().ParquetWriter(self._file, schema, compression="zstd")
        for number in range(held.num_row_groups):
            self._writer.write_table(held.read_row_group(number, columns=self._columns))

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


def regular_file(path: Path) -> Path | None:
    """The regular file that `path` names, or would name; symbolic links are followed.

    None for a device, pipe, socket, folder, and an open file of this process (`/dev/stdout`, `/dev/fd/3`).
    """
    try:
        if _descriptor(path) is not None or not stat.S_ISREG(path.stat().st_mode):
            return None
    except FileNotFoundError:
        pass  # a new file, or the target of a link is
    return Path(os.path.realpath(path))


def _descriptor(path: Path) -> int | None:
    """The number of the open file that `path` stands for. Opened by name, a file would be overwritten."""
    known = {"/dev/stdout": 1, "/dev/stderr": 2}
    found = _DESCRIPTOR.fullmatch(str(path))
    return int(found[1]) if found else known.get(str(path))


def _open_stream(path: Path) -> IO[bytes]:
    """Open what is no regular file. Blocks until somebody reads from a pipe."""
    number = _descriptor(path)
    return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _open_part(path: Path, start: Saved) -> tuple[IO[bytes], Saved]:
    """Open an unfinished file at `start`, or at 0 if the file is shorter than that."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    held = start if 0 < start.size_bytes <= file.seek(0, os.SEEK_END) else Saved()
    file.truncate(held.size_bytes)
    file.seek(held.size_bytes)
    return file, held
