"""The initial `.env`, with random secrets, so that no two installations share a key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

TEXT = """\
# Written by `make run`. Every other setting, with its unit and default, is in .env.example.
# What the environment says wins over this file.
ML_SERVICE_API_KEY={key}
FLOWER_BASIC_AUTH=admin:{password}
"""


def write_if_missing(path: Path) -> bool:
    """Write `path` with new secrets, readable only by its owner. Returns False if it exists already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(TEXT.format(key=secrets.token_hex(24), password=secrets.token_hex(12)))
    return True
