"""Read a Parquet file as Arrow streams, a chunk at a time.

Nothing that the file says of itself is believed before it is checked (`web/uploads/parquet_pages.py`).

A text that many rows share is stored once: a file of ten kilobytes can expand to a gigabyte. Texts are
therefore read as dictionaries, and their expanded size is checked before they are written row by row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import RequestEntityTooLarge

from errors import FieldError, InvalidReading, MalformedBody
from readings.reading import MAX_METADATA_LEVELS
from readings.schema import FIELDS, METADATA_READ
from web.uploads.column_names import check_columns
from web.uploads.parquet_pages import Leaf, check_pages, rows_at_once
from web.uploads.upload import IN_MEMORY_BYTES, Upload, check_size

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

COMPRESSION_LIMIT: Final = 64
# A dictionary of a million ids costs more than the rest of their file. In larger files ids are read plainly:
# the upload's own size then limits an attack by repeated long texts.
SMALL_BYTES: Final = 4_000_000
READ_BYTES: Final = 1 << 20
# Arrow's own limit for streams is 64, the table's own level included.
MAX_COLUMN_LEVELS: Final = 62
# Limits of the footer, which is read as a whole: a million rows in groups of a thousand fill 2 MB of it.
MAX_FOOTER_BYTES: Final = 16_000_000
MAX_COLUMNS: Final = 10_000
MAX_ROW_GROUPS: Final = 10_000
# Larger files, and those of which more is read at once, are read in turn: 24 threads could not hold them.
LARGE_OPEN_BYTES: Final = 32_000_000
_large_files: Final = threading.BoundedSemaphore(3)
# Longer ids are read once, however many rows have them.
LONG_ID_CHARS: Final = 4_096
# A damaged file has names that are not UTF-8, or keys that are gone.
_UNREADABLE: Final = (ValueError, LookupError, TypeError, ArithmeticError, NotImplementedError, OSError)


def chunks_of_parquet(upload: Upload, chunk_rows: int) -> Iterator[tuple[int, bytes]]:
    """The row count and the Arrow IPC stream of each chunk of `chunk_rows` rows; the last may have fewer.

    Raises `MalformedBody`, `InvalidReading` for columns that are missing or nested too deeply, and werkzeug's
    413.
    """
    import pyarrow as pa  # 40 MB, only in web processes that receive such files

    try:
        file = _opened(upload)
        plain, paths = _read_columns(file.schema_arrow)
        leaves = check_pages(upload.file, file.metadata, paths, chunk_rows)
        _check_growth(upload, sum(leaf.total_bytes for leaf in leaves.values()))
        open_bytes = sum(leaf.open_bytes for leaf in leaves.values())
        is_large = upload.size_bytes > SMALL_BYTES or open_bytes > LARGE_OPEN_BYTES
        with _large_files if is_large else nullcontext():
            file = _with_dictionaries(upload, file, leaves)
            held: list[pa.RecordBatch] = []
            rows = 0
            for batch in _batches(file, rows_at_once(leaves, chunk_rows), paths):
                check_size(sum(map(_text_bytes, batch.columns)))
                # Arrow also reads columns such as `power.max`, as if they were nested in `power`.
                held += pa.Table.from_batches([batch]).select(plain.names).cast(plain).to_batches()
                rows += batch.num_rows
                if rows >= chunk_rows:
                    table = pa.Table.from_batches(held)
                    yield chunk_rows, _ipc(table.slice(0, chunk_rows))
                    held = table.slice(chunk_rows).to_batches()
                    rows -= chunk_rows
            if rows:
                yield rows, _ipc(pa.Table.from_batches(held))
    except MemoryError:
        raise
    except (pa.ArrowException, *_UNREADABLE) as error:
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise MalformedBody(f"The body is not Parquet: {detail}") from None


def _batches(file: pq.ParquetFile, batch_rows: int, paths: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows in batches. None reaches into the next row group: Arrow cannot join lists of dictionaries."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=batch_rows, row_groups=[group], columns=paths)


def _read_columns(schema: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """The schema of the used columns with plain types, and their paths in the file.

    Of nested metadata columns only `costs` and `attributes` are read. Raises `InvalidReading` for a column
    that is nested too deeply for an Arrow stream.
    """
    import pyarrow as pa

    columns, paths = [], []
    for name in schema.names:
        if name not in FIELDS:
            continue
        kind, its_paths = _plain(schema.field(name).type), [name]
        if _levels(kind) > MAX_COLUMN_LEVELS:
            detail = f"Must be at most {MAX_METADATA_LEVELS} levels deep."
            raise InvalidReading([FieldError(f"/{name}", detail, "range")])
        if name == "metadata" and pa.types.is_struct(kind) and _levels(kind) <= MAX_METADATA_LEVELS:
            inner = [member.name for member in kind if member.name in METADATA_READ]
            if not inner:
                continue
            if len(inner) == len(set(inner)):
                kind = pa.struct([kind.field(part) for part in inner])
                its_paths = [f"metadata.{part}" for part in inner]
        columns.append((name, kind))
        paths += its_paths
    return pa.schema(columns), paths


def _levels(kind: pa.DataType) -> int:
    """The nesting depth of a type; 0 for a plain type."""
    import pyarrow as pa

    if not pa.types.is_nested(kind):
        return 0
    return 1 + max((_levels(kind.field(number).type) for number in range(kind.num_fields)), default=0)


def _opened(upload: Upload) -> pq.ParquetFile:
    """The file with its footer read and checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_footer(upload)
    file = pq.ParquetFile(
        pa.PythonFile(upload.file, mode="r"),
        thrift_string_size_limit=MAX_FOOTER_BYTES,
        thrift_container_size_limit=10 * MAX_COLUMNS,
    )
    metadata = file.metadata
    if metadata.num_columns > MAX_COLUMNS:
        raise RequestEntityTooLarge(f"The file has more than {MAX_COLUMNS} columns.")
    if metadata.num_row_groups > MAX_ROW_GROUPS:
        raise RequestEntityTooLarge(f"The file has more than {MAX_ROW_GROUPS} row groups.")
    upload.ignored_columns = check_columns(file.schema_arrow.names)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    _check_growth(upload, sum(group.total_byte_size for group in groups))
    return file


def _check_footer(upload: Upload) -> None:
    """Check the length of the footer, which the last eight bytes hold. pyarrow refuses any other end."""
    upload.file.seek(max(0, upload.size_bytes - 8))
    size_bytes = int.from_bytes(upload.file.read(4), "little")
    upload.file.seek(0)
    if size_bytes > MAX_FOOTER_BYTES and size_bytes < upload.size_bytes:
        raise RequestEntityTooLarge(f"The footer of the file is longer than {MAX_FOOTER_BYTES} bytes.")


def _check_growth(upload: Upload, size_bytes: int) -> None:
    if size_bytes > COMPRESSION_LIMIT * max(upload.size_bytes, IN_MEMORY_BYTES):
        raise RequestEntityTooLarge(f"The file grows more than {COMPRESSION_LIMIT} times.")


def _with_dictionaries(upload: Upload, file: pq.ParquetFile, leaves: Mapping[str, Leaf]) -> pq.ParquetFile:
    """The file as its rows are read: a text that many rows share is held once, ids of large files aside."""
    texts = [
        path
        for path, leaf in leaves.items()
        if not leaf.is_delta and _is_byte_array(file, path) and _is_text(path, file)
    ]
    found = _reading_dictionaries(upload, file, texts)
    if upload.size_bytes > SMALL_BYTES and "charger_id" in texts and _ids_are_short(found, leaves):
        found = _reading_dictionaries(upload, file, [path for path in texts if path != "charger_id"])
    return found


def _reading_dictionaries(upload: Upload, file: pq.ParquetFile, texts: list[str]) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.PythonFile(upload.file, mode="r")
    return pq.ParquetFile(
        source, metadata=file.metadata, read_dictionary=texts, pre_buffer=False, buffer_size=READ_BYTES
    )


def _ids_are_short(file: pq.ParquetFile, leaves: Mapping[str, Leaf]) -> bool:
    """Whether the dictionaries of `charger_id` hold no long text. The first row of a group has them whole."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if leaves["charger_id"].dictionary_bytes <= LONG_ID_CHARS:
        return True
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(batch_size=1, row_groups=[group], columns=["charger_id"]):
            column = batch.column(0)
            if not pa.types.is_dictionary(column.type):
                return False
            if (pc.max(pc.binary_length(column.dictionary)).as_py() or 0) > LONG_ID_CHARS:
                return False
            break
    return True


def _is_byte_array(file: pq.ParquetFile, path: str) -> bool:
    columns = map(file.schema.column, range(len(file.schema)))
    return any(column.path == path and column.physical_type == "BYTE_ARRAY" for column in columns)


def _is_text(path: str, file: pq.ParquetFile) -> bool:
    """Whether the leaf belongs to a field of the contract that holds texts or lists of texts."""
    import pyarrow as pa

    name = path.split(".")[0]
    if name not in FIELDS or name not in file.schema_arrow.names:  # names of unknown columns may contain dots
        return False
    kind = _plain(file.schema_arrow.field(name).type)
    kind = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries and views, which few of Arrow's functions support."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.list_(_plain(kind.value_type)) if pa.types.is_list(kind) else kind


def _text_bytes(column: pa.Array) -> int:
    """The size in bytes of a column's texts, with dictionaries expanded and four bytes for each text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        column = column.flatten()
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    size: int | None = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py()
    return (size or 0) + 4 * len(column)


def _ipc(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    data: bytes = sink.getvalue().to_pybytes()
    return data
