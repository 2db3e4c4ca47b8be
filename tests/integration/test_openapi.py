"""Schemathesis makes requests from our `/openapi.json` and holds the answers against it, with all checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from settings import ROOT
from tests.processes import BIN, KEY, Web, environment

SEED = "20261101"
EXAMPLES = "8"


@pytest.mark.owasp("API9", "every operation of the specification answers as it says (Schemathesis)")
@pytest.mark.timeout(300)  # on a busy machine
def test_schemathesis_finds_nothing(web: Web) -> None:
    command = [str(BIN / "schemathesis"), "run", f"{web.url}/openapi.json", "-H", f"X-API-Key: {KEY}"]
    # DELETE cancels a job and keeps what is done readable: by contract it is not gone afterwards.
    command += ["--checks", "all", "--exclude-checks", "use_after_free"]
    command += ["--max-examples", EXAMPLES, "--seed", SEED, "--no-color"]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HYPOTHESIS_STORAGE_DIRECTORY": "var/hypothesis"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "Tested: 52" in ran.stdout


def test_the_specification_can_be_had_without_a_service(web: Web) -> None:
    command = [sys.executable, "-m", "web"]
    nobody_there = environment("redis://127.0.0.1:1/0")
    printed = subprocess.run(command, cwd=ROOT, env=nobody_there, capture_output=True, check=True).stdout
    assert json.loads(printed) == web.client.get("/openapi.json").json()
