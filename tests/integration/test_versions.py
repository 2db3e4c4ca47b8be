"""Switching model versions under traffic: verified first, nothing fails or mixes, refusals have reasons."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.messaging.names import Queues
from tests.processes import READ_KEY, Web, environment, start_worker, wait_until
from tests.readings import request
from tests.services import start_redis
from tests.versions import copied_versions, copy_version, damage

FAILURE = "/api/v1/predictions/failure"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied_versions(tmp_path_factory.mktemp("models"))
    for name in ("second", "damaged"):
        copy_version(folder / "failure", name)
    damage(folder / "failure" / "damaged")
    return folder


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with start_redis() as redis:
        env = environment(redis.url, MODEL_DIR=str(model_dir))
        with start_worker(Queues.SINGLE, env) as worker, Web(env) as web:
            wait_until(web.ready, what="readiness", log=worker.log)
            yield web.client


def first_version(client: httpx.Client) -> str:
    return str(client.get("/api/v1/models/failure").json()["card"]["version"])


def test_the_card_says_how_the_model_was_made_and_who_holds_it(client: httpx.Client) -> None:
    card = client.get("/api/v1/models/failure").json()
    assert card["active"] == card["card"]["version"]
    assert card["versions"] == sorted([card["active"], "damaged", "second"])
    assert [held["version"] for held in card["held"]] == [card["active"]]
    assert card["card"]["trained_on"]
    assert client.get("/api/v1/models/luck").status_code == 404


def test_a_switch_under_traffic_fails_nothing_mixes_nothing_and_makes_the_cache_forget(
    client: httpx.Client,
) -> None:
    before = first_version(client)
    cached = request()
    assert client.post(FAILURE, json=cached).json()["model_version"] == before
    versions: list[str] = []
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            answer = client.post(FAILURE, json=request())
            assert answer.status_code == 200, answer.text
            versions.append(answer.json()["model_version"])

    caller = threading.Thread(target=traffic)
    caller.start()
    try:
        switched = client.post("/api/v1/models/failure/activate", json={"version": "second"})
        assert (switched.status_code, switched.json()["status"]) == (200, "active")
        wait_until(lambda: versions[-1:] == ["second"], what="answers of the new version")
    finally:
        stop.set()
        caller.join()
    assert set(versions) == {before, "second"}
    assert versions == sorted(versions, key=["second", before].index, reverse=True)  # never back again
    again = client.post(FAILURE, json=cached).json()
    assert (again["model_version"], again["cached"]) == ("second", False)

    back = client.post("/api/v1/models/failure/rollback").json()
    assert back == {"name": "failure", "version": before, "status": "active"}
    assert client.post(FAILURE, json=request()).json()["model_version"] == before


@pytest.mark.owasp("API10", "a damaged model version is refused and changes nothing")
def test_a_damaged_version_is_refused_with_its_reason_and_changes_nothing(client: httpx.Client) -> None:
    before = first_version(client)
    for path in ("activate", "versions/damaged/verify"):
        refused = client.post(f"/api/v1/models/failure/{path}", json={"version": "damaged"})
        assert (refused.status_code, refused.json()["code"]) == (409, "model_refused")
        assert "sha256" in refused.json()["detail"]
    assert client.post(FAILURE, json=request()).json()["model_version"] == before


def test_a_version_that_is_none_is_404_and_a_body_that_names_none_422(client: httpx.Client) -> None:
    path = "/api/v1/models/failure/activate"
    assert client.post(path, json={"version": "never-seen"}).status_code == 404
    assert client.post(path, json={"version": "../../etc"}).status_code == 404
    wrong: list[tuple[Any, str, str]] = [
        ({}, "/version", "required"),
        ({"version": 5}, "/version", "type"),
        ([], "", "type"),
    ]
    for body, pointer, code in wrong:
        for address in (path, "/api/v1/models/failure/shadow"):
            refused = client.post(address, json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
            assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [(pointer, code)]


def test_a_name_that_is_no_model_is_404_and_says_which_there_are(client: httpx.Client) -> None:
    nope = client.get("/api/v1/models/nope")
    switched = client.post("/api/v1/models/maintenance/activate", json={"version": "x"})
    for answer in (nope, switched):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
        assert "maintenance follows the failure model" in answer.json()["detail"]


def test_a_rollback_with_nothing_to_go_back_to_is_a_conflict(client: httpx.Client) -> None:
    refused = client.post("/api/v1/models/anomaly/rollback")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "no version was active before" in refused.json()["detail"]
    assert client.post("/api/v1/models/luck/rollback").status_code == 404


def test_two_rollbacks_go_two_versions_back(client: httpx.Client, model_dir: Path) -> None:
    first = first_version(client)
    copy_version(model_dir / "failure", "third")
    for version in ("second", "third"):
        answer = client.post("/api/v1/models/failure/activate", json={"version": version})
        assert answer.status_code == 200, answer.text
    for expected in ("second", first):
        back = client.post("/api/v1/models/failure/rollback")
        assert (back.status_code, back.json()["version"]) == (200, expected)
    assert client.post(FAILURE, json=request()).json()["model_version"] == first
    shutil.rmtree(model_dir / "failure" / "third")


@pytest.mark.owasp("API5", "switching models needs the role admin")
def test_switching_needs_the_admin_role(client: httpx.Client) -> None:
    for path in ("activate", "rollback", "versions/second/verify"):
        answer = client.post(
            f"/api/v1/models/failure/{path}", json={"version": "second"}, headers={"X-API-Key": READ_KEY}
        )
        assert answer.status_code == 403


def test_workers_find_a_new_active_version_by_themselves(client: httpx.Client, model_dir: Path) -> None:
    before = first_version(client)
    (model_dir / "failure" / "ACTIVE").write_text("second\n")
    wait_until(
        lambda: client.post(FAILURE, json=request()).json()["model_version"] == "second",
        what="the new version",
        timeout_s=15,
    )
    (model_dir / "failure" / "ACTIVE").write_text(f"{before}\n")
