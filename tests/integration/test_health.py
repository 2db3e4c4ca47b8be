"""`/health` and `/health/ready` on the API's port: everything with a key, the status alone without."""

from __future__ import annotations

import httpx
import pytest

from tests.processes import KEY, READ_KEY, Web, environment

PATHS = ("/health", "/health/ready")


@pytest.mark.owasp("API8", "health tells addresses and versions to callers with a key only")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}])
def test_without_a_valid_key_health_is_the_status_alone(web: Web, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{web.url}{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", [KEY, READ_KEY])
def test_any_key_gets_every_check(web: Web, path: str, key: str) -> None:
    health = httpx.get(f"{web.url}{path}", headers={"X-API-Key": key}).json()
    assert sorted(health) == ["checks", "service", "status", "version"]
    assert health["checks"]["redis"] == {"status": "ok", "detail": "answers"}


@pytest.mark.parametrize("path", PATHS)
def test_the_header_of_a_tenant_plays_no_part(web: Web, path: str) -> None:
    headers = {"X-API-Key": KEY, "X-Tenant-ID": "not a tenant"}
    assert "checks" in httpx.get(f"{web.url}{path}", headers=headers).json()


def test_without_redis_the_status_codes_are_the_same_with_and_without_a_key() -> None:
    with Web(environment()) as web:
        for path, status in (("/health", 200), ("/health/ready", 503)):
            without = httpx.get(f"{web.url}{path}")
            assert (without.status_code, without.json()) == (status, {"status": "degraded"})
            with_key = web.client.get(path)
            assert (with_key.status_code, with_key.json()["checks"]["redis"]["status"]) == (status, "down")


def test_where_the_metrics_need_a_key_health_needs_one_too() -> None:
    with Web(environment(METRICS_REQUIRE_KEY="true")) as web:
        for path in (*PATHS, "/metrics"):
            assert httpx.get(f"{web.url}{path}").status_code == 401
        assert "checks" in web.client.get("/health").json()
