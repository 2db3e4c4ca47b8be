"""`/system/keys`: the API keys without their secrets, and the end of a key."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from werkzeug.wrappers import Response as BaseResponse

from errors import NotFound
from settings import Limits
from tasks.storage.api_keys import KeyStore, StoredKey
from web.console.pages import go_to, page_blueprint, render
from web.console.visitors import check_acts_for_all, visitor
from web.http.messages import Response, current_request
from web.http.roles import needs
from web.http.services import services

blueprint = page_blueprint("keys")


@blueprint.get("/system/keys")
@needs("admin")
def show_keys() -> Response:
    """The keys in Redis, and those of the settings"""
    check_acts_for_all()
    return _keys_page()


@blueprint.post("/system/keys/<string:key_id>/revoke")
@needs("admin")
def revoke_key(key_id: str) -> BaseResponse:
    """End a key, on all hosts within 5 s. One's own needs a confirmation, for its sessions end too."""
    check_acts_for_all()
    request = current_request()
    request.is_audited = True
    if key_id == visitor().key.key_id and request.form.get("confirmed") != "yes":
        return _keys_page(
            "This is your own key. Tick the box beside it to revoke it: you are logged out then."
        )
    if not KeyStore(services().redis).revoke(key_id):
        raise NotFound(f"There is no key {key_id[:80]}.")
    return go_to("console_keys.show_keys", done="revoked")


def _keys_page(problem: str | None = None) -> Response:
    held = services()
    now = time.time()
    response = render(
        "keys.html",
        keys=[_shown(each, now) for each in KeyStore(held.redis).all()],
        own_roles=[sorted(each.roles) for each in held.settings.api_keys],
        own_id=visitor().key.key_id,
        problem=problem,
    )
    if problem:
        response.status_code = 422
    return response


def _shown(key: StoredKey, now: float) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "roles": key.roles,
        "tenants": key.tenants,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "ended": key.expires_at is not None and key.expires_at <= now,
        "limits": _limits(key.limits),
    }


def _limits(limits: Limits) -> dict[str, int]:
    return {name: most for name, most in asdict(limits).items() if most}
