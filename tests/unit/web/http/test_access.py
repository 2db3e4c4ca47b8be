"""Who may do what: keys, roles, tenants, and that no view is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from flask import Flask

from errors import Forbidden, InvalidParameter, Unauthorized
from settings import ApiKey, Settings
from tasks.client.rate_limiter import RateLimiter
from tasks.storage.api_keys import StoredKey, digest_of
from tests.processes import settings_for
from web.app import create_app
from web.http.access import Access
from web.http.key_ring import KeyRing
from web.http.roles import Role, RoleMissing, needs, roles_of
from web.http.services import EXTENSION

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def settings() -> Settings:
    return dataclasses.replace(settings_for(), api_keys=(ApiKey("own", frozenset({"read"})),))


def stored(
    key: str, *roles: str, tenants: tuple[str, ...] | None = None, ends: float | None = None
) -> StoredKey:
    return StoredKey(key, "name", digest_of(key), roles, tenants, NOW, ends)


@pytest.fixture
def access(settings: Settings) -> Access:
    ring = KeyRing(settings, clock=lambda: NOW)
    ring.take(
        [
            stored("all", "predict"),
            stored("one", "predict", "read", tenants=("acme",)),
            stored("two", "read", tenants=("acme", "volt")),
            stored("ended", "predict", ends=NOW),
            stored("ends", "predict", ends=NOW + 1),
            stored("own", "admin"),
        ]
    )
    return Access(settings, ring, RateLimiter(settings))


def headers(key: str | None, tenant: str | None = None) -> Callable[[str], str | None]:
    return {"X-API-Key": key, "X-Tenant-ID": tenant}.get


@pytest.mark.parametrize(
    ("key", "given", "tenant"),
    [
        ("all", None, None),
        ("all", "anybody", "anybody"),
        ("one", None, "acme"),
        ("one", "acme", "acme"),
        ("two", "volt", "volt"),
        ("ends", None, None),
        ("own", "anybody", "anybody"),
    ],
)
def test_a_key_acts_for_its_tenants(access: Access, key: str, given: str | None, tenant: str | None) -> None:
    assert access.caller("read", headers(key, given)).tenant == tenant


@pytest.mark.owasp("API1", "a key made for a tenant acts for no other")
@pytest.mark.parametrize(("key", "given"), [("one", "volt"), ("two", "other"), ("one", "ACME")])
def test_a_key_does_not_act_for_others(access: Access, key: str, given: str) -> None:
    with pytest.raises(Forbidden, match="tenant"):
        access.caller("read", headers(key, given))


@pytest.mark.parametrize(("key", "given"), [("two", None), ("all", "a b"), ("one", ""), ("two", "volt\n")])
def test_a_tenant_must_be_named_and_valid(access: Access, key: str, given: str | None) -> None:
    with pytest.raises(InvalidParameter) as caught:
        access.caller("read", headers(key, given))
    assert [error.pointer for error in caught.value.errors] == ["/headers/X-Tenant-ID"]


@pytest.mark.owasp("API2", "missing, unknown and expired keys are refused alike")
@pytest.mark.parametrize("key", [None, "", "wrong", "ended", "ALL", "all ", "\udcff"])
def test_missing_unknown_and_ended_keys_are_refused_alike(access: Access, key: str | None) -> None:
    with pytest.raises(Unauthorized):
        access.caller("read", headers(key))


@pytest.mark.owasp("API5", "a key without the role is refused")
@pytest.mark.parametrize(
    ("needed", "key"), [("predict", "two"), ("admin", "one"), ("admin", "all"), ("predict", "own")]
)
def test_a_role_must_be_held(access: Access, needed: Role, key: str) -> None:
    with pytest.raises(Forbidden, match="role"):
        access.caller(needed, headers(key, "acme"))


def test_keys_are_replaced_as_a_whole_and_those_of_the_settings_stay(settings: Settings) -> None:
    ring = KeyRing(settings, clock=lambda: NOW)
    ring.take([stored("first", "read")])
    assert ring.find("first") is not None
    ring.take([stored("second", "read")])
    assert ring.find("first") is None
    assert ring.find("second") is not None
    own = ring.find("own")
    assert own is not None
    assert own.roles == {"read"}


# The views that change something, by role. Every other view of the API only reads.
CHANGING = {
    ("POST", "/api/v1/predictions/failure"): "predict",
    ("POST", "/api/v1/predictions/maintenance"): "predict",
    ("POST", "/api/v1/predictions/anomaly"): "predict",
    ("POST", "/api/v1/predictions/batch"): "predict",
    ("DELETE", "/api/v1/predictions/<string:charger_id>"): "predict",
    ("DELETE", "/api/v1/jobs/<string:job_id>"): "predict",
    ("PUT", "/api/v1/outcomes/<string(length=32):outcome_id>"): "predict",
    ("DELETE", "/api/v1/outcomes/<string(length=32):outcome_id>"): "predict",
    ("PUT", "/api/v1/chargers/<string:charger_id>"): "predict",
    ("POST", "/api/v1/chargers"): "predict",
    ("DELETE", "/api/v1/chargers/<string:charger_id>"): "admin",
    ("DELETE", "/api/v1/tenants/<string:tenant_id>"): "admin",
    ("POST", "/api/v1/outcomes"): "predict",
    ("POST", "/api/v1/models/reload"): "admin",
    ("POST", "/api/v1/models/<string:name>/activate"): "admin",
    ("POST", "/api/v1/models/<string:name>/rollback"): "admin",
    ("POST", "/api/v1/models/<string:name>/versions/<string:version>/verify"): "admin",
    ("POST", "/api/v1/models/<string:name>/shadow"): "admin",
    ("DELETE", "/api/v1/models/<string:name>/shadow"): "admin",
    ("POST", "/api/v1/alerts/<string(length=24):alert_id>/acknowledge"): "predict",
    ("POST", "/api/v1/alerts/<string(length=24):alert_id>/assign"): "predict",
    ("POST", "/api/v1/alerts/<string(length=24):alert_id>/mute"): "predict",
    ("DELETE", "/api/v1/alerts/<string(length=24):alert_id>/mute"): "predict",
    ("POST", "/api/v1/webhooks"): "admin",
    ("DELETE", "/api/v1/webhooks/<string:webhook_id>"): "admin",
    ("POST", "/api/v1/webhooks/<string:webhook_id>/replay"): "admin",
}


@pytest.mark.owasp("API5", "every route of the API declares the role that it needs")
def test_every_view_declares_its_role(settings: Settings) -> None:
    app = create_app(settings)
    try:
        roles = roles_of(app)
        paths = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
        found = {
            (method, paths[endpoint]): role
            for (endpoint, method), role in roles.items()
            if method not in ("GET", "HEAD", "OPTIONS")
        }
        assert found == CHANGING
        reading = {(endpoint, role) for (endpoint, method), role in roles.items() if method == "GET"}
        assert {each for each in reading if each[1] != "read"} == {
            ("audit.list_audit", "admin"),
            ("webhooks.Webhooks", "admin"),
            ("webhooks.OneWebhook", "admin"),
            ("webhooks.list_failures", "admin"),
        }
    finally:
        app.extensions[EXTENSION].close()


@pytest.mark.owasp("API5", "a route without a role ends the process at start")
def test_a_view_without_a_role_is_refused_at_start() -> None:
    app = Flask("test")

    @app.route("/api/v1/open")
    def leak() -> str:
        return "everything"

    with pytest.raises(RoleMissing, match="/api/v1/open declares no role"):
        roles_of(app)
    needs("read")(leak)
    assert roles_of(app)["leak", "GET"] == "read"
