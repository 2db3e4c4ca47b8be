"""Ids in the paths of requests: their description in OpenAPI, and their check."""

from __future__ import annotations

import re
from typing import Any, Final

from errors import FieldError, InvalidParameter
from readings.reading import CHARGER_ID_PATTERN, TENANT_ID_PATTERN

_IS_CHARGER_ID: Final = re.compile(CHARGER_ID_PATTERN).match
_IS_TENANT_ID: Final = re.compile(TENANT_ID_PATTERN).match


def _described(name: str, pattern: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern.replace("(?!\\n)", "")}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


CHARGER_ID: Final = _described("charger_id", CHARGER_ID_PATTERN, "EVZ-0042")
TENANT_ID: Final = _described("tenant_id", TENANT_ID_PATTERN, "acme")


def check_charger_id(charger_id: str) -> None:
    """Raise `InvalidParameter` for a path whose charger id has not the form of one."""
    if not _IS_CHARGER_ID(charger_id):
        detail = "Must be 1 to 128 characters of A-Z a-z 0-9 * _ = : + | @ . -"
        raise InvalidParameter([FieldError("/path/charger_id", detail, "pattern")])


def check_tenant_id(tenant_id: str) -> None:
    """Raise `InvalidParameter` for a path whose tenant id has not the form of one."""
    if not _IS_TENANT_ID(tenant_id):
        detail = "Must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        raise InvalidParameter([FieldError("/path/tenant_id", detail, "pattern")])
