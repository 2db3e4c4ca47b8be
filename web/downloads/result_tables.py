"""Convert stored JSON results to Arrow tables, with one fixed schema for each kind.

Arrow reads, converts and writes without the interpreter lock, so a download hardly delays other requests of
the process. Fields outside the schema (from newer workers) are left out; NDJSON contains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from readings.reading import Kind
from tasks.jobs.job_record import JOB_KINDS, JobKind

# The features of a deviation, as in `models/anomaly.py`; a test compares the two.
ANOMALY_FEATURES: Final = (
    "is_charging",
    "is_offline",
    "energy_kwh",
    "power_kw",
    "temperature_c",
    "codes",
    "temperature_above_usual",
    "power_now_ratio",
    "energy_mean_ratio",
    "near_zero_share_7d",
    "offline_share_7d",
    "faulty_share_7d",
    "codes_share_7d",
    "reboots_per_day_7d",
)

_TEXT: Final = pa.string()
_NUMBER: Final = pa.float64()
_MOMENT: Final = pa.timestamp("ms", "UTC")

_FACTOR: Final = pa.struct(
    {
        "factor": _TEXT,
        "feature": _TEXT,
        "value": _NUMBER,
        "unit": _TEXT,
        "text": _TEXT,
        "direction": _TEXT,
        "weight": _NUMBER,
    }
)
_SERVED: Final = {
    "model_version": _TEXT,
    "reading_timestamp": _MOMENT,
    "tenant_id": _TEXT,
    "timestamp": _MOMENT,
    "reading_stale": pa.bool_(),
    "cached": pa.bool_(),
    "degraded": pa.bool_(),
    "fingerprint": _TEXT,
}
_VERDICTS: Final[dict[Kind, dict[str, pa.DataType]]] = {
    "failure": {
        "failure_probability": _NUMBER,
        "horizons": pa.struct({"1d": _NUMBER, "7d": _NUMBER, "30d": _NUMBER}),
        "predicted_failure_date": _MOMENT,
        "predicted_failure_window": pa.struct({"start": _MOMENT, "end": _MOMENT}),
        "confidence": _NUMBER,
        "recommended_action": _TEXT,
        "recommended_actions": pa.list_(_TEXT),
        "top_contributing_factors": pa.list_(_FACTOR),
        "in_failure": pa.bool_(),
        "cost_of_waiting": _NUMBER,
        "currency": _TEXT,
        "cost_policy": _TEXT,
        **_SERVED,
    },
    "maintenance": {
        "recommended_date": _MOMENT,
        "worthwhile": pa.bool_(),
        "urgency": _TEXT,
        "estimated_downtime_hours": _NUMBER,
        "cost_benefit": pa.struct(
            {
                "preventive_maintenance_cost": _NUMBER,
                "expected_failure_cost": _NUMBER,
                "net_savings": _NUMBER,
                "currency": _TEXT,
            }
        ),
        "rationale": pa.list_(_TEXT),
        **_SERVED,
    },
    "anomaly": {
        "is_anomaly": pa.bool_(),
        "anomaly_score": _NUMBER,
        "anomaly_type": _TEXT,
        "deviation": pa.struct(dict.fromkeys(ANOMALY_FEATURES, _NUMBER)),
        **_SERVED,
    },
}
_PLACE: Final[dict[str, Any]] = {"row": pa.int64(), "charger_id": _TEXT}
_PROBLEM: Final = pa.struct({"pointer": _TEXT, "detail": _TEXT, "code": _TEXT})
_ERROR: Final[dict[str, Any]] = {
    "error": pa.struct({"code": _TEXT, "detail": _TEXT, "errors": pa.list_(_PROBLEM)})
}


def _schema(kind: Kind | Literal["all"]) -> pa.Schema:
    if kind == "all":
        verdicts: dict[str, Any] = {name: pa.struct(verdict) for name, verdict in _VERDICTS.items()}
    else:
        verdicts = _VERDICTS[kind]
    return pa.schema(_PLACE | verdicts | _ERROR)


def _as_written(type_: pa.DataType) -> pa.DataType:
    """The type as stored in JSON: timestamps are text."""
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(member.name, _as_written(member.type)) for member in type_])
    return _TEXT if pa.types.is_timestamp(type_) else type_


SCHEMAS: Final[dict[JobKind, pa.Schema]] = {kind: _schema(kind) for kind in JOB_KINDS}


def table_of(lines: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """A table of these JSON lines, in order. `schema` is one of `SCHEMAS`, or part of one."""
    return _read(lines, schema).cast(schema)


def flat(table: pa.Table) -> pa.Table:
    """The table without nesting: dotted names for nested columns; timestamps and lists as in the JSON."""
    while any(pa.types.is_struct(column.type) for column in table.schema):
        table = table.flatten()
    for index, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            texts = json_texts(table.column(index).combine_chunks())
            table = table.set_column(index, column.name, texts)
        elif pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, _rfc3339(table.column(index)))
    return table


def without_formulas(table: pa.Table) -> pa.Table:
    """The flat table with a `'` before each text that begins as a formula. Numbers stay as they are.

    These beginnings are those of OWASP's page on CSV injection.
    """
    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            texts = table.column(index)
            quoted = pc.binary_join_element_wise("'", texts, "")
            found = pc.fill_null(pc.match_substring_regex(texts, r"\A[=+\-@\t\r\n]"), False)
            table = table.set_column(index, column.name, pc.if_else(found, quoted, texts))
    return table


def json_texts(values: pa.Array) -> pa.Array:
    """Each value as JSON text; null for a missing list."""
    if pa.types.is_list(values.type):
        inner = _or_null(json_texts(values.flatten()))
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, inner), ",")
        texts = pc.binary_join_element_wise("[", joined, "]", "")
        return pc.if_else(pc.is_valid(values), texts, None)
    if pa.types.is_struct(values.type):
        parts = []
        for number, (member, column) in enumerate(zip(values.type, values.flatten(), strict=True)):
            parts += [f'{"," if number else "{"}"{member.name}":', _or_null(json_texts(column))]
        return pc.binary_join_element_wise(*parts, "}", "")
    if pa.types.is_string(values.type):
        return pc.binary_join_element_wise('"', _escaped(values), '"', "")
    return values.cast(_TEXT)


def _read(lines: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    data = b"\n".join(lines)
    written = pa.schema([pa.field(column.name, _as_written(column.type)) for column in schema])
    return arrow_json.read_json(
        pa.BufferReader(data),
        # The whole chunk is one block, because a line may have any length.
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=arrow_json.ParseOptions(explicit_schema=written, unexpected_field_behavior="ignore"),
    )


def _rfc3339(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.strftime(moments, format="%Y-%m-%dT%H:%M:%SZ")


def _or_null(texts: pa.Array) -> pa.Array:
    return pc.fill_null(texts, "null")


def _escaped(texts: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, "[\\x00-\\x1f]")).as_py():
        for code in range(0x20):
            escaped = pc.replace_substring(escaped, chr(code), f"\\u{code:04x}")
    return escaped
