"""The types that are checked in are those of the application as it is."""

from __future__ import annotations

from generate_schemas import SCHEMAS, generated


def test_the_types_are_those_of_openapi_json() -> None:
    assert SCHEMAS.read_text() == generated(), (
        "Run PYTHONPATH=. .venv/bin/python clients/python/tests/generate_schemas.py, and say in CHANGELOG.md "
        "what has changed for callers."
    )
