"""Log-in, sessions and the rules of every page of the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import httpx
import pytest
from redis import Redis

from tasks.storage.api_keys import KeyStore, digest_of
from tasks.storage.console_sessions import SESSION_S, ConsoleSessions
from tests.console_fleet import HOSTILE, fill
from tests.console_login import logged_in, token_of
from tests.processes import KEY, READ_KEY, Web, wait_until
from tests.services import RunningServer
from web.console.pages import local_path

COOKIE = "evzone_console"


@pytest.fixture
def visitor(web: Web) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=web.url, timeout=30) as client:
        yield client


@pytest.fixture
def store(redis: RunningServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as connection:
        yield connection


def test_a_page_sends_strangers_to_the_log_in_and_back(visitor: httpx.Client) -> None:
    away = visitor.get("/?x=1&y=2")
    assert (away.status_code, away.headers["Location"]) == (303, "/login?next=%2F%3Fx%3D1%26y%3D2")
    form = visitor.get(away.headers["Location"])
    assert form.status_code == 200
    assert 'name="next" value="/?x=1&amp;y=2"' in form.text
    back = visitor.post("/login", data={"key": KEY, "next": "/?x=1&y=2"})
    assert (back.status_code, back.headers["Location"]) == (303, "/?x=1&y=2")
    assert visitor.get("/").status_code == 200


def test_htmx_is_told_to_load_the_log_in(visitor: httpx.Client) -> None:
    answer = visitor.get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=%2F")


@pytest.mark.owasp("API2", "a wrong key opens no session of the console")
def test_a_wrong_key_is_refused_and_not_shown_again(visitor: httpx.Client) -> None:
    answer = visitor.post("/login", data={"key": "secret-of-somebody"})
    assert answer.status_code == 401
    assert "This is no valid key." in answer.text
    assert "secret-of-somebody" not in answer.text
    assert COOKIE not in visitor.cookies


def test_the_cookie_is_for_this_site_and_no_script(visitor: httpx.Client) -> None:
    plain = visitor.post("/login", data={"key": KEY}).headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    behind_tls = visitor.post("/login", data={"key": KEY}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind_tls.headers["Set-Cookie"]


@pytest.mark.owasp("API2", "a session id that a stranger chose is never used")
def test_the_log_in_takes_no_session_id_from_outside(visitor: httpx.Client, web: Web) -> None:
    visitor.cookies.set(COOKIE, "chosen-by-a-stranger", domain="127.0.0.1")
    visitor.post("/login", data={"key": KEY})
    with httpx.Client(base_url=web.url, cookies={COOKIE: "chosen-by-a-stranger"}) as stranger:
        assert stranger.get("/").status_code == 303


@pytest.mark.owasp("API2", "a new log-in ends the session before it")
def test_a_new_log_in_ends_the_old_session(web: Web) -> None:
    with logged_in(web.url) as client:
        old = client.cookies[COOKIE]
        client.post("/login", data={"key": READ_KEY})
        assert client.cookies[COOKIE] != old
        with httpx.Client(base_url=web.url, cookies={COOKIE: old}) as stranger:
            assert stranger.get("/").status_code == 303


def test_redis_holds_neither_session_ids_nor_keys(web: Web, store: Redis) -> None:
    with logged_in(web.url) as client:
        secret = client.cookies[COOKIE]
        names = [name.decode() for name in cast("list[bytes]", store.keys("ml:console:*"))]
        assert names
        for name in names:
            text = name + cast(bytes, store.get(name)).decode()
            assert secret not in text
            assert KEY not in text


def test_a_session_lasts_from_its_last_request(web: Web, store: Redis) -> None:
    with logged_in(web.url) as client:
        name = f"ml:console:session:{digest_of(client.cookies[COOKIE])}"
        store.expire(name, 100)
        client.get("/")
        assert SESSION_S - 60 < store.ttl(name) <= SESSION_S
        store.delete(name)
        assert client.get("/").status_code == 303


@pytest.mark.owasp("API2", "a session ends with the key that opened it")
def test_a_session_ends_with_its_key(web: Web, store: Redis) -> None:
    keys = KeyStore(store)
    key = keys.create("wall screen", ("read",), None)
    wait_until(lambda: httpx.post(f"{web.url}/login", data={"key": key}).status_code == 303, what="the key")
    with logged_in(web.url, key) as client:
        assert client.get("/").status_code == 200
        keys.revoke(key.split("_")[1])
        wait_until(lambda: client.get("/").status_code == 303, what="the end of the session")


def test_log_out_ends_the_session(web: Web) -> None:
    with logged_in(web.url) as client:
        secret = client.cookies[COOKIE]
        answer = client.post_form("/logout")
        assert (answer.status_code, answer.headers["Clear-Site-Data"]) == (303, '"cache"')
        with httpx.Client(base_url=web.url, cookies={COOKIE: secret}) as stranger:
            assert stranger.get("/").status_code == 303


@pytest.mark.owasp("API2", "a log-in link works once, and a preview of it does not use it up")
def test_a_link_logs_in_once(web: Web, store: Redis) -> None:
    link = ConsoleSessions(store).make_link(digest_of(READ_KEY))
    with httpx.Client(base_url=web.url) as client, httpx.Client(base_url=web.url) as second:
        for _ in range(3):  # previews
            assert "This link logs you in once." in client.get(f"/login?link={link}").text
        assert client.post("/login", data={"link": link}).status_code == 303
        assert client.get("/").status_code == 200
        again = second.post("/login", data={"link": link})
        assert again.status_code == 401
        assert "has been used" in again.text


@pytest.mark.owasp("API8", "a form of another site changes nothing (CSRF)")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
    ],
)
def test_a_form_of_another_site_is_refused(web: Web, headers: dict[str, str]) -> None:
    with logged_in(web.url) as client:
        token = token_of(client)
        answer = client.post("/tenant", data={"csrf_token": token, "tenant": "acme"}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.text
        login = client.post("/login", data={"key": KEY}, headers=headers)
        assert login.status_code == 403


@pytest.mark.owasp("API8", "a form without the session's token changes nothing (CSRF)")
@pytest.mark.parametrize("token", ["", "wrong", "é" * 40])
def test_a_form_without_the_token_is_refused(web: Web, token: str) -> None:
    with logged_in(web.url) as client:
        assert client.post("/tenant", data={"csrf_token": token, "tenant": "acme"}).status_code == 403


@pytest.mark.owasp("API8", "the log-in leads to no other site (open redirect)")
@pytest.mark.parametrize(
    "wanted",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/\\elsewhere.example",
        "/\t/elsewhere.example",
        "/\r\nSet-Cookie: x=y",
        "javascript:alert(1)",
        "elsewhere",
        "",
        "/ä",
    ],
)
def test_the_log_in_leads_to_no_other_site(visitor: httpx.Client, wanted: str) -> None:
    assert local_path(wanted) == "/"
    answer = visitor.post("/login", data={"key": KEY, "next": wanted})
    assert answer.headers["Location"] == "/"
    assert 'name="next" value="/"' in visitor.get("/login", params={"next": wanted}).text


@pytest.mark.owasp("API8", "pages load nothing from elsewhere, and no other site frames them (click-jacking)")
def test_each_page_has_the_headers_of_the_console(web: Web, visitor: httpx.Client) -> None:
    with logged_in(web.url) as client:
        for answer in (client.get("/"), visitor.get("/login"), visitor.get("/"), client.post("/tenant")):
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "private, no-cache"


def test_pages_have_no_inline_script_and_no_inline_style(web: Web) -> None:
    with logged_in(web.url) as client:
        for path in ("/", "/login"):
            text = client.get(path).text
            assert not re.search(r"<script(?![^>]*\bsrc=)", text)
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text)
            assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


@pytest.mark.owasp("API8", "text of chargers and tenants comes out as text, not as markup")
def test_today_shows_where_somebody_must_go(web: Web, redis: RunningServer) -> None:
    fill(web.client, redis.url, tenant="console-today")
    with logged_in(web.url, tenant="console-today") as client:
        text = client.get("/").text
        assert "EVZ-0001" in text
        assert "Out of service: error codes now: 1" in text
        assert HOSTILE not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "3 alerts opened" in text
        assert "1 alerts closed" in text
    with logged_in(web.url, tenant="console-empty") as client:
        text = client.get("/").text
        assert "EVZ-0001" not in text
        assert f"curl -X POST {web.url}/api/v1/predictions/failure" in text
        assert "X-Tenant-ID: console-empty" in text


@pytest.mark.owasp("API1", "a key for some tenants shows no other one")
def test_a_key_shows_its_tenants_alone(web: Web, store: Redis) -> None:
    key = KeyStore(store).create("depots", ("read",), ("depot-b", "depot-a"))
    wait_until(lambda: httpx.post(f"{web.url}/login", data={"key": key}).status_code == 303, what="the key")
    with logged_in(web.url, key) as client:
        assert "<option selected>depot-a</option>" in client.get("/").text
        assert client.post_form("/tenant", tenant="depot-b").status_code == 303
        assert "<option selected>depot-b</option>" in client.get("/").text
        for other in ("acme", "", "not a tenant"):
            assert client.post_form("/tenant", tenant=other).status_code in (403, 422)


def test_the_same_page_is_sent_once(web: Web) -> None:
    with logged_in(web.url, tenant="console-empty") as client:
        first = client.get("/")
        again = client.get("/", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_assets_are_kept_by_browsers_under_the_address_of_their_content(visitor: httpx.Client) -> None:
    page = visitor.get("/login").text
    for address in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page):
        answer = visitor.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert "immutable" not in visitor.get(address.split("?")[0]).headers["Cache-Control"]
    assert visitor.get("/assets/nothing.js").status_code == 404
    assert visitor.get("/assets/..%2fpages.py").status_code == 404


def test_an_unreachable_redis_is_said_on_a_page(lonely: tuple[Web, RunningServer]) -> None:
    web, redis = lonely
    with logged_in(web.url) as client:
        redis.stop()
        answer = client.get("/")
        assert answer.status_code == 503
        assert "Redis cannot be reached." in answer.text
        assert client.get("/login").status_code == 200


def test_the_api_page_is_rendered_beside_the_console(visitor: httpx.Client) -> None:
    """Both have templates, and the console's are strict."""
    answer = visitor.get("/docs")
    assert answer.status_code == 200
    assert "swagger" in answer.text


def test_an_address_without_a_page_is_a_page_for_people_and_json_for_programs(visitor: httpx.Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path, status in (("/chargers", 404), ("/chargers/a%2Fb", 404), ("/logout", 405)):
        page = visitor.get(path, headers=browser)
        assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert "The console has no page /" in page.text
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert visitor.get(path).headers["Content-Type"] == "application/problem+json"
    refused = visitor.get("/api/v1/nowhere", headers={**browser, "X-API-Key": KEY})
    assert (refused.status_code, refused.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.owasp("API8", "an error page links to no other site, whatever the address")
@pytest.mark.parametrize("path", ["/%5Cevil.example", "/%09/evil.example", "/%2F%2Fevil.example"])
def test_an_error_page_links_to_no_other_site(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(f"{path}?x=1", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert re.findall(r'href="[^"]*evil', answer.text) == []


def test_a_wrong_tenant_is_named_as_in_the_form(web: Web) -> None:
    with logged_in(web.url) as client:
        answer = client.post_form("/tenant", tenant="no tenant")
        assert answer.status_code == 422
        assert "<code>tenant</code>: Must be 1 to 64 characters" in answer.text
        assert "X-Tenant-ID" not in answer.text
