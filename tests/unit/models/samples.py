"""What the tests of models share: a moment, and the versions that the project carries."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

VERSIONS = Path(__file__).resolve().parents[3] / "models" / "versions"
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
