"""Requests with attributes of chargers, for tests."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

import httpx

CHARGERS: Final = "/api/v1/chargers"
# Texts that would run in a spreadsheet, a page, a query or a terminal.
HOSTILE: Final = (
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "@SUM(A1)",
    "-2+3",
    "<script>alert(1)</script>",
    "'; DROP TABLE chargers; --",
    "../../etc/passwd",
    "{{7*7}}${7*7}",
    "ml:fleet:rows *",
)


def put(client: httpx.Client, charger: str, body: Any, **headers: str) -> httpx.Response:
    return client.put(f"{CHARGERS}/{charger}", json=body, headers=headers)


def csv_of(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
