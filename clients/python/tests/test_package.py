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
    "typed": importlib.resources.files("evzone_ml_client").joinpath("py.typed").is_file(),
    "installed": importlib.resources.files("evzone_ml_client").as_posix(),
}))
"""


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

    said = json.loads(
        run(
            python,
            "-c",
            PROGRAM,
            json.dumps(metrics()),
            ML_SERVICE_URL=web.url,
            ML_SERVICE_API_KEY=KEY,
            PYTHONWARNINGS="error",
        )
    )
    assert len(set(said["fingerprints"])) == 1
    assert len(set(said["versions"])) == 1
    assert said["typed"]
    assert said["installed"].startswith(str(tmp_path))


def test_the_readme_begins_with_a_program_that_runs(web: Web, tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(f"{examples[0]}\nprint(prediction['charger_id'])")
    environ = {
        "PYTHONPATH": str(PACKAGE / "src"),
        "ML_SERVICE_URL": web.url,
        "ML_SERVICE_API_KEY": KEY,
    }
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environ, timeout=60)
    assert (ran.stdout, ran.stderr) == ("EVZ-0042\n", "")
