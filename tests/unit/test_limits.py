"""Each limit of docs/operations.md exists, as does the test that shows it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import pytest

from settings import ROOT
from settings.meanings import SECTIONS

SETTINGS: Final = {name for section in SECTIONS.values() for name in section}
_PAGE: Final = (ROOT / "docs" / "operations.md").read_text()
_ROWS: Final = _PAGE.partition("## Limits of inputs")[2].partition("\n- ")[0].splitlines()


class Limit(NamedTuple):
    """A row of the table."""

    name: str
    default: str
    where: str
    seen: str
    test: str


LIMITS: Final = [
    Limit(*(cell.strip() for cell in row.strip("|").split("|")))
    for row in _ROWS
    if row.startswith("|") and "`" in row
]


def test_the_table_is_read() -> None:
    assert len(LIMITS) > 20
    assert {"ML_PROCESS_MEMORY_BYTES", "KAFKA_MAX_RECORD_BYTES"} <= {
        limit.where.strip("`") for limit in LIMITS
    }


@pytest.mark.parametrize("limit", LIMITS, ids=[limit.name for limit in LIMITS])
def test_each_limit_exists_and_is_tested(limit: Limit) -> None:
    file, _, function = limit.test.strip("`").partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    names = re.findall(r"`([A-Z_]+)`", limit.where)
    (source, *_) = [*re.findall(r"`([a-z_/]+\.py)`", limit.where), ""]
    for name in names:
        if source:
            assert re.search(rf"^{name}: Final", (ROOT / source).read_text(), re.MULTILINE)
        else:
            assert name in SETTINGS
    assert names or not limit.where
