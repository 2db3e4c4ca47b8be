"""The API over HTTPS: `make run` and its demo, gunicorn, the Python client, `evzone-ml`; bad files."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from evzone_ml_client import MLClient, ServiceUnavailable, Settings
from settings import ROOT
from settings.tls_files import trusting
from tests.certificates import Certificate, make_authority, make_certificate
from tests.processes import KEY, Process, environment, free_port, wait_until
from tests.readings import metrics
from tests.stacks import Stack, stack_in


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def certificate(authority: Certificate) -> Certificate:
    return make_certificate(authority, "service")


def with_tls(certificate: Certificate) -> dict[str, str]:
    return {"TLS_CERTFILE": str(certificate.certfile), "TLS_KEYFILE": str(certificate.keyfile)}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stack_in(tmp_path) as stack:
        yield stack


@pytest.mark.owasp("API8", "the API speaks TLS, and a client of another authority sends it no key")
@pytest.mark.timeout(400)
def test_the_whole_service_runs_over_https(stack: Stack, authority: Certificate, tmp_path: Path) -> None:
    # The checks of `make run` do not depend on the name: this one is that of another host.
    certificate = make_certificate(authority, "elsewhere", addresses="DNS:localhost,DNS:ml.example")
    stack.environment |= with_tls(certificate)
    stack.start()
    stack.wait_until_said("Service is ready")
    assert f"https://localhost:{stack.port}" in stack.said()

    url = f"https://localhost:{stack.port}"
    key = stack.environment["ML_SERVICE_API_KEY"]
    with MLClient(Settings(url=url, api_key=key, timeout_s=30, ca_file=str(authority.certfile))) as ml:
        assert ml.health_check()["checks"]["redis"]["status"] == "ok"
        assert ml.predict_failure(metrics("C-1"))["charger_id"] == "C-1"  # type: ignore[arg-type] # as JSON
    with MLClient(Settings(url=url, api_key=key, attempts=1)) as stranger, pytest.raises(ServiceUnavailable):
        stranger.health_check()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://localhost:{stack.port}/health")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority.certfile)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert httpx.get(f"{url}/health", verify=old).status_code == 200

    shown = stack.run("demo", timeout_s=150)
    assert shown.returncode == 0, shown.stdout + shown.stderr

    file = tmp_path / "readings.ndjson"
    file.write_text(json.dumps(metrics("C-1")) + "\n")
    command = [
        sys.executable,
        "-m",
        "evzone_ml_client.command",
        "batch",
        str(file),
        "--out",
        str(tmp_path / "out.csv"),
    ]
    ran = subprocess.run(
        command, cwd=tmp_path, env=stack.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_gunicorn_takes_the_same_certificate(certificate: Certificate) -> None:
    port = free_port()
    command = [*(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8")]
    command += ["wsgi:app", "--bind", f"127.0.0.1:{port}"]
    with (
        Process(command, environment(**with_tls(certificate))) as server,
        httpx.Client(verify=trusting(str(certificate.certfile)), headers={"X-API-Key": KEY}) as http,
    ):

        def health() -> httpx.Response | None:
            try:
                return http.get(f"https://127.0.0.1:{port}/health")
            except httpx.TransportError:
                return None

        answer = wait_until(health, what="the answer over TLS", log=server.log)
        assert answer is not None
        assert "checks" in answer.json()


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "stack", "run"],
        ["-m", "granian", "--interface", "asginl", "asgi:app"],
        ["-m", "gunicorn", "wsgi:app"],
    ],
)
def test_an_expired_certificate_is_one_line_at_start(
    command: list[str], authority: Certificate, tmp_path: Path
) -> None:
    old = make_certificate(authority, "old", days=-1)
    env = environment(
        **with_tls(old), PORT=str(free_port()), STATE_DIR=str(tmp_path), FLOWER_BASIC_AUTH="me:pw"
    )
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode != 0
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if "setting" in line]
    assert said == [f"Wrong setting: TLS_CERTFILE: {old.certfile}: certificate has expired"]
    assert "Traceback" not in ran.stderr
