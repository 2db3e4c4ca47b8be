"""The package as somebody else gets it: built, installed where nothing else is, and called."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import KEY, Web
from tests.readings import metrics

PACKAGE = Path(__file__).parents[1]
PROGRAM = """
import asyncio, importlib.metadata, importlib.resources, json, sys
from evzone_ml_client import AsyncMLClient, MLClient, __version__

reading = json.loads(sys.argv[1])

async def asked():
    async with AsyncMLClient.from_env() as ml:
        return await ml.predict_failure(reading)

with MLClient.from_env() as ml:
    answers = [ml.predict_failure(reading), asyncio.run(asked())]
print(json.dumps({
    "fingerprints": [answer["fingerprint"] for answer in answers],
    "versions": [__version__, importlib.metadata.version("evzone-ml-client")],
    "installed": importlib.resources.files("evzone_ml_client").as_posix(),
}))
"""


def readme_example() -> str:
    """The program that the README begins with."""
    found = re.search(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.timeout(300)  # with downloads
def test_the_wheel_is_installed_alone_and_calls_the_service(web: Web, tmp_path: Path) -> None:
    def run(*command: str | Path, **environ: str) -> str:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=280)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, PACKAGE)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    (wheel,) = tmp_path.glob("evzone_ml_client-*.whl")
    run(python, *pip, "install", wheel)

    caller = {"ML_SERVICE_URL": web.url, "ML_SERVICE_API_KEY": KEY, "PYTHONWARNINGS": "error"}
    said = json.loads(run(python, "-c", PROGRAM, json.dumps(metrics()), **caller))
    assert len(set(said["fingerprints"])) == 1
    assert len(set(said["versions"])) == 1
    assert said["installed"].startswith(str(tmp_path))

    command = tmp_path / "venv/bin/evzone-ml"
    alone = subprocess.run([command, "batch", "-h"], capture_output=True, text=True, check=False)
    assert alone.returncode == 2
    assert alone.stderr.endswith("is missing. Install: pip install 'evzone-ml-client[command]'\n")
    run(python, *pip, "install", f"evzone-ml-client[command] @ {wheel.as_uri()}")
    (tmp_path / "fleet.csv").write_text("charger_id,connector_status\nEVZ-1,CHARGING\n")
    assert run(command, "--version").strip() == said["versions"][0]
    run(command, "batch", "fleet.csv", "--out", "scored.csv", "--columns", "charger_id", **caller)
    assert (tmp_path / "scored.csv").read_text().replace('"', "").split() == ["charger_id", "EVZ-1"]

    example = tmp_path / "example.py"
    example.write_text(readme_example())
    assert run(python, example, **caller).strip() in ("IMMEDIATE", "WITHIN_7_DAYS", "WITHIN_30_DAYS", "NONE")
    # The package says that it has types, and they are those that the README's reader relies on.
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, example)
