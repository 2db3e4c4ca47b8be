"""Settings: typed, immutable, read from the environment and checked at start."""

from settings.environment import load_or_exit, model_folder, read_settings
from settings.fields import ROOT, SERVICE, VERSION, ApiKey, Costs, Settings

__all__ = [
    "ROOT",
    "SERVICE",
    "VERSION",
    "ApiKey",
    "Costs",
    "Settings",
    "load_or_exit",
    "model_folder",
    "read_settings",
]
