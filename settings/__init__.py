"""Settings: typed, immutable, read from the environment and checked at start."""

from settings.environment import load_or_exit, read_settings
from settings.fields import ROOT, ApiKey, Costs, Settings

__all__ = [
    "ROOT",
    "ApiKey",
    "Costs",
    "Settings",
    "load_or_exit",
    "read_settings",
]
