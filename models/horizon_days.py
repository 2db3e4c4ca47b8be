"""The horizons of failure probabilities."""

from __future__ import annotations

from typing import Final

HORIZON_DAYS: Final = (1.0, 7.0, 30.0)
HORIZON_NAMES: Final = ("1d", "7d", "30d")
