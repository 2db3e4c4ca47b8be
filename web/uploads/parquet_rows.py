"""Read a Parquet file as Arrow streams, a chunk at a time.

A text that many rows share is stored once: a file of ten kilobytes can expand to a gigabyte. Texts are
therefore read as dictionaries, and their expanded size is checked before they are written row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import RequestEntityTooLarge

from errors import FieldError, InvalidReading, MalformedBody
from readings.reading import MAX_METADATA_LEVELS
from readings.schema import FIELDS
from web.uploads.column_names import check_columns
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


def chunks_of_parquet(upload: Upload, chunk_rows: int) -> Iterator[tuple[int, bytes]]:
    """The row count and the Arrow IPC stream of each chunk of `chunk_rows` rows; the last may have fewer.

    Raises `MalformedBody`, `InvalidReading` for columns that are missing or nested too deeply, and werkzeug's
    413.
    """
    import pyarrow as pa  # 40 MB, only in web processes that receive such files

    try:
        file = _opened(upload)
        plain, paths = _read_columns(file.schema_arrow)
        held: list[pa.RecordBatch] = []
        rows = 0
        for batch in file.iter_batches(batch_size=chunk_rows, columns=paths):
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
    except (pa.ArrowException, OSError) as error:
        raise MalformedBody(f"The body is not Parquet: {str(error).splitlines()[0]}") from None


def _read_columns(schema: pa.Schema) -> tuple[pa.Schema, list[str]]:
    """The schema of the used columns with plain types, and their paths in the file.

    Of nested metadata columns only `costs` is read. Raises `InvalidReading` for a column that is nested too
    deeply for an Arrow stream.
    """
    import pyarrow as pa

    columns, paths = [], []
    for name in schema.names:
        if name not in FIELDS:
            continue
        kind, path = _plain(schema.field(name).type), name
        if _levels(kind) > MAX_COLUMN_LEVELS:
            detail = f"Must be at most {MAX_METADATA_LEVELS} levels deep."
            raise InvalidReading([FieldError(f"/{name}", detail, "range")])
        if name == "metadata" and pa.types.is_struct(kind) and _levels(kind) <= MAX_METADATA_LEVELS:
            inner = [member.name for member in kind]
            if "costs" not in inner:
                continue
            if inner.count("costs") == 1:
                kind, path = pa.struct([kind.field("costs")]), "metadata.costs"
        columns.append((name, kind))
        paths.append(path)
    return pa.schema(columns), paths


def _levels(kind: pa.DataType) -> int:
    """The nesting depth of a type; 0 for a plain type."""
    import pyarrow as pa

    if not pa.types.is_nested(kind):
        return 0
    return 1 + max((_levels(kind.field(number).type) for number in range(kind.num_fields)), default=0)


def _opened(upload: Upload) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.PythonFile(upload.file, mode="r")
    file = pq.ParquetFile(source)
    upload.ignored_columns = check_columns(file.schema_arrow.names)
    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    most_bytes = COMPRESSION_LIMIT * max(upload.size_bytes, IN_MEMORY_BYTES)
    if sum(group.total_byte_size for group in groups) > most_bytes:
        raise RequestEntityTooLarge(f"The file says it grows more than {COMPRESSION_LIMIT} times.")
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and _is_text(leaf.path, file)]
    if upload.size_bytes > SMALL_BYTES:
        texts = [path for path in texts if path != "charger_id"]
    return pq.ParquetFile(
        source, metadata=file.metadata, read_dictionary=texts, pre_buffer=False, buffer_size=READ_BYTES
    )


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
    """The size in bytes of a column's texts, with dictionaries expanded."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        column = column.flatten()
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    size: int | None = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py()
    return size or 0


def _ipc(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    data: bytes = sink.getvalue().to_pybytes()
    return data
