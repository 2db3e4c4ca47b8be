"""Keep the chosen fields of results. Services of earlier releases ignore `?columns=` and send all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any


def project_csv(content: bytes, names: Sequence[str]) -> bytes:
    """Keep the columns of a CSV file that `names` select, in the order of `names`.

    The name of an object selects its fields as well.
    """
    reader = csv.reader(io.StringIO(content.decode(), newline=""))
    header = next(reader, [])
    places = list(
        dict.fromkeys(
            place for name in names for place, column in enumerate(header) if _is_selected(column, (name,))
        )
    )
    if places == list(range(len(header))):
        return content
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n" if b"\r\n" in content else "\n")
    writer.writerows([[row[place] for place in places] for row in (header, *reader)])
    return out.getvalue().encode()


def project_ndjson(content: bytes, names: Sequence[str]) -> bytes:
    """Keep the fields of each row that `names` select. A dotted name selects a field of an object."""
    rows = (json.loads(line) for line in content.splitlines())
    lines = [
        json.dumps(_selected(row, names), ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows
    ]
    return "".join(lines).encode()


def _is_selected(column: str, names: Sequence[str]) -> bool:
    return any(column == name or column.startswith(f"{name}.") for name in names)


def _selected(row: Mapping[str, Any], names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        path = f"{prefix}{name}"
        if _is_selected(path, names):
            found[name] = value
        elif isinstance(value, dict) and any(each.startswith(f"{path}.") for each in names):
            found[name] = _selected(value, names, f"{path}.")
    return found
