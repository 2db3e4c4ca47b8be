"""Keys and limits of the processes that are recorded; everything else has its default."""

from __future__ import annotations

from typing import Final

from tests.processes import KEY, READ_KEY

PREDICT_KEY: Final = "test-key-for-predicting"
ADMIN_KEY: Final = "test-key-for-administration"
KEYS: Final = f"{KEY},{READ_KEY}:read,{PREDICT_KEY}:predict,{ADMIN_KEY}:admin"

# Limits small enough to be reached.
MAX_BATCH_ROWS: Final = 20
MAX_BATCH_BYTES: Final = 100_000
MAX_BODY_BYTES: Final = 20_000
LIMITS: Final = {
    "ML_SERVICE_API_KEY": KEYS,
    "ML_MAX_BATCH_ROWS": str(MAX_BATCH_ROWS),
    "ML_MAX_BATCH_BYTES": str(MAX_BATCH_BYTES),
    "ML_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    # An answer may take long while other tests run; no scene depends on it.
    "ML_SYNC_TIMEOUT": "30",
}
