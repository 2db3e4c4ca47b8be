"""The fields of a result row that a caller chooses: `?columns=charger_id,horizons.7d`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyarrow as pa

from errors import FieldError, InvalidParameter
from tasks.jobs.job_record import JobKind
from web.downloads.result_tables import SCHEMAS

# Chosen names, each with those that are chosen within it; none of them means all.
Tree = dict[str, "Tree"]
MAX_SHOWN_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Columns:
    """Chosen fields of one kind of row. `schema` has these alone, in the order in which they were named."""

    tree: Tree
    schema: pa.Schema

    def of_line(self, line: bytes) -> bytes:
        """A stored row (JSON) with the chosen fields that it has."""
        return orjson.dumps(_of_value(orjson.loads(line), self.tree))


def chosen(kind: JobKind, named: str) -> Columns:
    """The columns of a comma-separated list. Nested fields are named with dots, as in a CSV file.

    Raises:
        InvalidParameter: names those that no row of this kind has.
    """
    names = [name.strip() for name in named.split(",")]
    known = dict.fromkeys(_paths(SCHEMAS[kind]))
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(repr(name[:MAX_SHOWN_CHARS]) for name in unknown[:5])
        detail = f"A row of kind {kind} has no {shown}. It has: {', '.join(known)}."
        raise InvalidParameter([FieldError("/query/columns", detail, "unknown")])
    tree: Tree = {}
    for name in names:
        _add(tree, name.split("."))
    return Columns(tree, pa.schema(_fields(SCHEMAS[kind], tree)))


def _paths(fields: pa.Schema | pa.StructType, prefix: str = "") -> Iterator[str]:
    """Each field's name, and with dots those within it."""
    for field in fields:
        yield f"{prefix}{field.name}"
        if pa.types.is_struct(field.type):
            yield from _paths(field.type, f"{prefix}{field.name}.")


def _add(tree: Tree, path: list[str]) -> None:
    """Choose one more field. Where a whole object is chosen, its members are too."""
    first, *rest = path
    if first in tree and not tree[first]:
        return
    if not rest:
        tree[first] = {}
    else:
        _add(tree.setdefault(first, {}), rest)


def _fields(fields: pa.Schema | pa.StructType, tree: Tree) -> list[pa.Field]:
    found = []
    for name, inner in tree.items():
        field = fields.field(name)
        found.append(pa.field(name, pa.struct(_fields(field.type, inner))) if inner else field)
    return found


def _of_value(value: Any, tree: Tree) -> Any:
    if not tree or not isinstance(value, dict):
        return value
    return {name: _of_value(value[name], inner) for name, inner in tree.items() if name in value}
