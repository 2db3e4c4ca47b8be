"""Scenes of `/api/v1/models`, before the worker has scored anything."""

from __future__ import annotations

from typing import Final

from tests.golden.model_folder import ACTIVE, DAMAGED, SECOND
from tests.golden.scene import Scenes
from tests.golden.settings_used import PREDICT_KEY
from tests.processes import READ_KEY

MODELS: Final = "/api/v1/models"
FAILURE: Final = f"{MODELS}/failure"


def scenes(scenes: Scenes) -> None:
    """Cards, drift, versions, shadow, reload."""
    ask = scenes.ask
    ask("models", "GET", MODELS)
    for name in ("failure", "anomaly", "maintenance"):
        ask(f"model_card_{name}", "GET", f"{MODELS}/{name}")
    ask("model_card_unknown", "GET", f"{MODELS}/nothing")
    for window in ("24h", "7d"):
        ask(f"drift_{window}", "GET", f"{FAILURE}/drift?window={window}")
    ask("drift_anomaly", "GET", f"{MODELS}/anomaly/drift")
    ask("drift_window_wrong", "GET", f"{FAILURE}/drift?window=1h")
    ask("drift_unknown", "GET", f"{MODELS}/nothing/drift")
    _versions(scenes)
    _shadow(scenes)
    scenes.settled("reload", "POST", f"{MODELS}/reload")
    ask("reload_with_read_key", "POST", f"{MODELS}/reload", key=READ_KEY)
    ask("reload_with_predict_key", "POST", f"{MODELS}/reload", key=PREDICT_KEY)
    ask("models_options", "OPTIONS", MODELS)
    ask("activate_with_get", "GET", f"{FAILURE}/activate")


def _versions(scenes: Scenes) -> None:
    ask = scenes.ask
    ask("verify", "POST", f"{FAILURE}/versions/{ACTIVE}/verify")
    ask("verify_unknown_version", "POST", f"{FAILURE}/versions/nope/verify")
    ask("verify_unknown_model", "POST", f"{MODELS}/nothing/versions/{ACTIVE}/verify")
    ask("verify_damaged", "POST", f"{FAILURE}/versions/{DAMAGED}/verify")
    ask("rollback_without_previous", "POST", f"{FAILURE}/rollback")
    ask("activate_unknown_version", "POST", f"{FAILURE}/activate", json={"version": "nope"})
    ask("activate_unknown_model", "POST", f"{MODELS}/nothing/activate", json={"version": ACTIVE})
    ask("activate_maintenance", "POST", f"{MODELS}/maintenance/activate", json={"version": ACTIVE})
    ask("activate_damaged", "POST", f"{FAILURE}/activate", json={"version": DAMAGED})
    ask("activate_without_version", "POST", f"{FAILURE}/activate", json={})
    ask(
        "activate_with_text",
        "POST",
        f"{FAILURE}/activate",
        content=b"version",
        headers={"Content-Type": "text/plain"},
    )
    ask("activate_with_a_list", "POST", f"{FAILURE}/activate", json=[])
    scenes.settled("activate", "POST", f"{FAILURE}/activate", json={"version": SECOND})
    ask("model_card_after_activation", "GET", FAILURE)
    scenes.settled("rollback", "POST", f"{FAILURE}/rollback")


def _shadow(scenes: Scenes) -> None:
    ask = scenes.ask
    ask("shadow_none", "GET", f"{FAILURE}/shadow")
    ask("shadow_of_unknown_model", "GET", f"{MODELS}/nothing/shadow")
    ask("shadow_is_active", "POST", f"{FAILURE}/shadow", json={"version": ACTIVE})
    ask("shadow_unknown_version", "POST", f"{FAILURE}/shadow", json={"version": "nope"})
    ask("shadow_damaged", "POST", f"{FAILURE}/shadow", json={"version": DAMAGED})
    scenes.settled("shadow_set", "POST", f"{FAILURE}/shadow", json={"version": SECOND})
    ask("shadow", "GET", f"{FAILURE}/shadow")
    ask("shadow_cleared", "DELETE", f"{FAILURE}/shadow")
    ask("shadow_with_put", "PUT", f"{FAILURE}/shadow")
