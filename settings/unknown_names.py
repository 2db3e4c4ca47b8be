"""Names in the environment that look like settings and are none: most are misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

PREFIXES: Final = ("ML_", "KAFKA_", "REDIS_", "COST_", "FLOWER_", "WEB_")
# The published clients read these; they may share an environment with the service.
OF_CLIENTS: Final = frozenset(
    {
        "ML_CACHE_REDIS_URL",
        "ML_CACHE_SHARED",
        "ML_CACHE_TIMEOUT",
        "ML_SERVICE_BREAKER_FAILURES",
        "ML_SERVICE_CA_FILE",
        "ML_SERVICE_BREAKER_RESET",
        "ML_SERVICE_ENABLED",
        "ML_SERVICE_RETRIES",
        "ML_SERVICE_RETRY_DELAY",
        "ML_SERVICE_RETRY_RATIO",
        "ML_SERVICE_RETRY_RESERVE",
        "ML_SERVICE_TENANT_ID",
        "ML_SERVICE_THROW_ERRORS",
        "ML_SERVICE_TIMEOUT",
        "ML_SERVICE_URL",
    }
)
# Settings of former releases, and the reason why they have none now.
REMOVED: Final = {
    "ML_FLEET_HISTORY_ENTRIES": "The history of a charger has a fixed bound now. Remove the name."
}
# Kubernetes and Docker describe each service of a network by such names.
OF_NETWORK: Final = re.compile(r"\w+_SERVICE_(HOST|PORT)(_\w+)?|\w+_PORT_\d+_(TCP|UDP)(_\w+)?")


def unknown_names(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a line for each name of `given` with a prefix of ours that neither service nor client reads."""
    names = sorted({*known, *OF_CLIENTS})
    lines = []
    for name in sorted(set(given).difference(names)):
        if not name.startswith(PREFIXES) or OF_NETWORK.fullmatch(name):
            continue
        if name in REMOVED:
            lines.append(f"{name} is no longer a setting. {REMOVED[name]}")
            continue
        nearest = get_close_matches(name, names, n=1)
        advice = f"Did you mean {nearest[0]}?" if nearest else "See .env.example."
        lines.append(f"{name} is not a setting. {advice}")
    return lines
