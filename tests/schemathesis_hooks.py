"""What JSON Schema cannot say about a reading, for Schemathesis: its bodies are bent to it here."""

from __future__ import annotations

from typing import Any

import schemathesis

PAST = "2026-01-01T00:00:00Z"


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The envelope's charger id is the reading's, and no reading is from the future or before year 1."""
    if not isinstance(body, dict) or not isinstance(metrics := body.get("metrics"), dict):
        return body
    if isinstance(metrics.get("charger_id"), str) and isinstance(body.get("charger_id"), str):
        metrics["charger_id"] = body["charger_id"]
    if isinstance(metrics.get("timestamp"), int | float) and not isinstance(metrics["timestamp"], bool):
        metrics["timestamp"] = min(metrics["timestamp"], 1.7e9)
    for name in ("timestamp", "last_maintenance"):
        if isinstance(metrics.get(name), str):
            metrics[name] = PAST
    return body
