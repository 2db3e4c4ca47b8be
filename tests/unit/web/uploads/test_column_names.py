"""A header without a required column is refused with the step that mends it."""

from __future__ import annotations

import pytest

from errors import InvalidReading
from web.uploads.column_names import check_columns


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (
            ["Charger_ID", "connector_status"],
            "The columns are: Charger_ID, connector_status. Is it Charger_ID?",
        ),
        (["chargerId", "connector_status"], "The columns are: chargerId, connector_status. Is it chargerId?"),
        (["Charger ID (text)", "connector_status"], "Is it Charger ID (text)?"),
        (["connector_status", "", "power", ""], "The columns are: connector_status, power."),
        (["Fleet report", "", ""], "The first line must be the header; remove the lines before it."),
        (["sep=", ""], "The first line is Excel's sep= line; remove it."),
        (["sep=;"], "The first line is Excel's sep= line; remove it."),
        (["Ladepunkt", "connector_status"], "The columns are: Ladepunkt, connector_status."),
    ],
)
def test_a_missing_column_comes_with_a_hint(header: list[str], hint: str) -> None:
    with pytest.raises(InvalidReading) as refused:
        check_columns(header)
    first = refused.value.errors[0]
    assert (first.pointer, first.detail.partition("is missing. ")[2][-len(hint) :]) == ("/charger_id", hint)
