"""Settings: typed, immutable, read from the environment and checked at start."""

from settings.environment import load_or_exit, read_client_settings, read_settings
from settings.fields import ROOT, ApiKey, ClientSettings, Costs, Settings

__all__ = [
    "ROOT",
    "ApiKey",
    "ClientSettings",
    "Costs",
    "Settings",
    "load_or_exit",
    "read_client_settings",
    "read_settings",
]
