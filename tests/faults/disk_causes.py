"""Disks that are full: of Redis, of uploads, of model versions; and model folders that are damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from models import registry
from settings import ROOT
from stack.servers import redis_answers, redis_command
from tests.batches import NDJSON, ended, in_pieces, job_of, ndjson_of, post_file
from tests.faults.services import CannotCause, usual
from tests.faults.small_disk import filled, mount, small_disk, unmount
from tests.host.live_service import FAILURE, QUEUES, LiveService
from tests.processes import KEY, wait_until
from tests.readings import metrics, request
from tests.services import RunningServer
from tests.versions import copied_versions, copy_version

REDIS_DISK_MB: Final = 64
UPLOAD_DISK_MB: Final = 64
MODEL_DISK_MB: Final = 16
# 24 MB as NDJSON.
UPLOAD_ROWS: Final = 90_000
TOLD_WITHIN_S: Final = 30.0
COMMAND_WITHIN_S: Final = 120.0
NO_ROOM: Final = "No space left on device"
DAMAGED: Final = "damaged"


@contextmanager
def redis_on_small_disk(app: str) -> Iterator[LiveService]:
    """A service whose Redis has its append-only file on a small disk."""
    mounted: list[Path] = []

    def command(port: int, folder: Path) -> list[str]:
        if not mounted:
            try:
                mount(folder, REDIS_DISK_MB)
            except CannotCause:
                folder.rmdir()
                raise
            mounted.append(folder)
        return redis_command(port, folder)

    def server() -> RunningServer:
        return RunningServer(command, redis_answers, "redis://127.0.0.1:{port}/0")

    try:
        with usual(app, redis_server=server) as service:
            yield service
    finally:
        for folder in mounted:
            unmount(folder)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def full_redis_disk(service: LiveService) -> Iterator[None]:
    """Fill the disk of the append-only file. Jobs must be refused with the reason."""
    with filled(service.redis.folder):
        wait_until(lambda: NO_ROOM in _check(service, "redis")["detail"], what="health to tell", poll_s=0.2)
        for body in (ndjson_of([metrics()]), ndjson_of(metrics() for _ in range(UPLOAD_ROWS))):
            assert_refused(post_file(service.web.client, body, NDJSON), 507, "Redis cannot write its file")
        yield


@contextmanager
def uploads_on_small_disk(app: str) -> Iterator[LiveService]:
    """A service with a small disk as TMPDIR. The watermark is off, so that it can be filled."""
    with (
        small_disk(UPLOAD_DISK_MB) as folder,
        usual(app, {"TMPDIR": str(folder), "ML_MIN_FREE_DISK_BYTES": "0"}) as service,
    ):
        yield service


def full_upload_disk(service: LiveService, fault_s: float) -> None:
    """Fill the disk while the body of a batch arrives. It must be refused, and leave no file behind."""
    folder = Path(service.environments["web"]["TMPDIR"])
    body = ndjson_of(metrics() for _ in range(UPLOAD_ROWS))
    is_half, is_full = threading.Event(), threading.Event()

    def in_two_halves() -> Iterator[bytes]:
        pieces = list(in_pieces(body))
        yield from pieces[: len(pieces) // 2]
        is_half.set()
        is_full.wait()
        yield from pieces[len(pieces) // 2 :]

    answers: list[httpx.Response] = []
    upload = threading.Thread(
        target=lambda: answers.append(post_file(service.web.client, in_two_halves(), NDJSON))
    )
    used_before = _used(folder)
    upload.start()
    is_half.wait()
    wait_until(lambda: _used(folder) > used_before, what="the half of the body to reach the disk")
    with filled(folder):
        is_full.set()
        upload.join()
        assert_refused(answers[0], 507, "The disk is full")
        time.sleep(fault_s)
    wait_until(lambda: _used(folder) <= used_before, what="the file of the refused body to be gone")
    job_id = job_of(post_file(service.web.client, body, NDJSON))
    assert ended(service.web.client, job_id)["failed"] == 0, "the job after it"


@contextmanager
def versions_on_small_disk(app: str) -> Iterator[LiveService]:
    """A service whose model versions are on a small disk: `second` beside the active one of `failure`."""
    with small_disk(MODEL_DISK_MB) as folder:
        model_dir = copied_versions(folder)
        copy_version(model_dir / "failure", "second")
        # Made before the disk is full.
        _models("simulate", "--chargers", "30", "--days", "120", "--out", str(folder / "history"))
        with usual(app, {"MODEL_DIR": str(model_dir)}) as service:
            yield service


def full_model_disk(service: LiveService, fault_s: float) -> None:
    """Train and activate versions on a full disk. The old one must stay, and nothing half be left."""
    model_dir = Path(service.environments["web"]["MODEL_DIR"])
    before = _state(model_dir)
    activate = ["activate", "failure", "second", "--model-dir", str(model_dir)]
    history = ["--history", str(model_dir.parent / "history"), "--model-dir", str(model_dir)]
    with filled(model_dir):
        assert_refused(_activate(service, "second"), 507, "The disk is full")
        assert NO_ROOM in _models(*activate, may_fail=True)
        assert NO_ROOM in _models("shadow", "failure", "second", *activate[3:], may_fail=True)
        assert NO_ROOM in _models(
            "train", "--model", "anomaly", "--version", "third", "--activate", *history, may_fail=True
        )
        assert _state(model_dir) == before, "something half is left"
        time.sleep(fault_s)
    for version in ("second", before["failure"][0]):
        assert _activate(service, version).status_code == 200


def damaged_versions(service: LiveService, _fault_s: float) -> None:
    """Damage versions in each way: one that is not active, then the active one, and restart on it.

    A restart on a damaged version without one before leaves no model; with one before, that one serves.
    """
    folder = Path(service.environments["web"]["MODEL_DIR"]) / "failure"
    for damage, reason in DAMAGES.items():
        copy_version(folder, DAMAGED)
        damage(folder / DAMAGED)
        assert_refused(_activate(service, DAMAGED), 409, reason)
        shutil.rmtree(folder / DAMAGED)
    active = registry.active_version(folder.parent, "failure")
    kept = folder.parent.parent / "kept"
    shutil.copytree(folder / active, kept)
    for damage, reason in DAMAGES.items():
        damage(folder / active)
        wait_until(
            lambda reason=reason: reason in _check(service, "models")["detail"],  # type: ignore[misc]  # mypy infers no type for a default
            what=f"health to tell {reason!r}",
            timeout_s=TOLD_WITHIN_S,
            log=lambda: str(_check(service, "models")),
        )
        assert service.web.ready(), "the old version goes on, so it is ready"
        answer = service.web.client.post(FAILURE, json=request())
        assert (answer.status_code, answer.json()["degraded"]) == (200, False)
        shutil.copytree(kept, folder / active, dirs_exist_ok=True)
    _restart_on(service, folder / active)
    wait_until(lambda: service.web.client.post(FAILURE, json=request()).status_code == 200, what="a verdict")
    shutil.copytree(kept, folder / active, dirs_exist_ok=True)
    wait_until(lambda: _check(service, "models")["status"] == "ok", what="the repair to be seen")
    assert _activate(service, "second").status_code == 200
    _restart_on(service, folder / "second")
    wait_until(service.web.ready, what="the version before to serve")
    answer = service.web.client.post(FAILURE, json=request()).json()
    assert (answer["model_version"], answer["degraded"]) == (active, False)
    assert _activate(service, active).status_code == 200
    wait_until(lambda: _check(service, "models")["status"] == "ok", what="the other version to be taken")


def _restart_on(service: LiveService, version: Path) -> None:
    """Damage the active version, and restart all workers and a web server on it."""
    cut(version)
    for name in (*QUEUES, "web-2"):
        service.programs[name].end(TOLD_WITHIN_S)
        service.start(name)
    wait_until(lambda: _check(service, "models")["status"] == "down", what="health to tell")


def cut(version: Path) -> None:
    """Cut the network in half, as a copy that was interrupted."""
    os.truncate(version / "model.onnx", (version / "model.onnx").stat().st_size // 2)


def _change(version: Path) -> None:
    content = bytearray((version / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (version / "model.onnx").write_bytes(content)


def _remove(version: Path) -> None:
    (version / "model.onnx").unlink()


def _garble(version: Path) -> None:
    (version / registry.MANIFEST).write_bytes(b"\xff{")


# What the reason for each must say.
DAMAGES: Final[dict[Callable[[Path], None], str]] = {
    cut: "model.onnx is not what the manifest says",
    _change: "model.onnx is not what the manifest says",
    _remove: "model.onnx cannot be read",
    _garble: "manifest.json is not JSON",
}


def assert_refused(answer: httpx.Response, status: int, reason: str) -> None:
    """Raise unless the answer has this status and says this reason."""
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"], answer.text


def _activate(service: LiveService, version: str) -> httpx.Response:
    return service.web.client.post("/api/v1/models/failure/activate", json={"version": version}, timeout=30)


def _check(service: LiveService, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.web.client.get("/health").json()["checks"][name]
    return found


def _state(model_dir: Path) -> dict[str, Any]:
    """By model, the active version and all there is in its folder."""
    return {
        name: (registry.active_version(model_dir, name), sorted(os.listdir(model_dir / name)))
        for name in registry.NAMES
    }


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_blocks - found.f_bfree


def _models(*arguments: str, may_fail: bool = False) -> str:
    """Run a command of `python -m models` as an operator does. Returns its standard error."""
    done = subprocess.run(
        ["nice", sys.executable, "-m", "models", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
        env=os.environ | {"ML_SERVICE_API_KEY": KEY},
    )
    assert bool(done.returncode) is may_fail, f"{done.returncode} {done.stderr}"
    return done.stderr
