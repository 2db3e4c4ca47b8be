"""Settings: typed, immutable, read from the environment and checked at start."""

from settings.environment import load_or_exit, model_folder, read_settings
from settings.fields import NO_LIMITS, ROOT, SERVICE, VERSION, ApiKey, Costs, Limits, Settings

__all__ = [
    "NO_LIMITS",
    "ROOT",
    "SERVICE",
    "VERSION",
    "ApiKey",
    "Costs",
    "Limits",
    "Settings",
    "load_or_exit",
    "model_folder",
    "read_settings",
]
