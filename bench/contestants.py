"""Contestants: the service, started like `make run`, and its rivals, each in its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from bench.load import Mode, Protocol
from bench.measure import Program
from settings import ROOT, Settings, read_settings
from stack.programs import metrics_folder, programs, shared_environment
from stack.servers import redis_command

FOLDER: Final = ROOT / "build" / "bench"
REQUIREMENTS: Final = Path(__file__).with_name("requirements")
KEY: Final = "key-for-the-benchmark"
PORT: Final = 18_000
REDIS_PORT: Final = 18_379
URL: Final = f"http://127.0.0.1:{PORT}"
ResponseKind = Literal["full", "probability"]
_API: Final = "/api/v1/predictions/"


@dataclass(frozen=True, slots=True)
class Contestant:
    """`start` prepares folders and environments, and returns the programs to run.

    `response_kind`: a full verdict as the service returns, or only the probability.
    """

    name: str
    start: Callable[[], list[Program]]
    path: str = "/predict"
    ready: str = "/predict"
    mode: Mode = "unique"
    protocol: Protocol = "v1"
    packages: tuple[str, ...] = ()
    environment: str = ""
    response_kind: ResponseKind = "full"

    def programs(self) -> list[Program]:
        """Prepare the contestant and return its programs. May install packages."""
        asked = {"BENCH_ANSWER": self.response_kind}
        return [replace(one, environment={**one.environment, **asked}) for one in self.start()]

    def answers(self, body: str) -> bool:
        """Whether a response body contains the expected fields."""
        words = ("failure_probability", "top_contributing_factors", "recommended_actions", "model_version")
        if self.path.startswith(_API):
            return "model_version" in body
        return all((word in body) == (self.response_kind == "full" or word == words[0]) for word in words)


def ours() -> list[Program]:
    """Return all programs of `make run`, started the same way, with ports and a folder of their own."""
    state = FOLDER / "state"
    shutil.rmtree(state, ignore_errors=True)
    environment = {
        "ENVIRONMENT": "development",
        "ML_SERVICE_API_KEY": KEY,
        "PORT": str(PORT),
        "REDIS_PORT": str(REDIS_PORT),
        "KAFKA_PORT": str(PORT + 1),
        "FLOWER_PORT": str(PORT + 2),
        "FLOWER_BASIC_AUTH": "bench:bench-bench",
        "STATE_DIR": str(state),
    }
    settings = _settings(environment)
    for folder in (metrics_folder(settings), state / "redis"):
        folder.mkdir(parents=True)
    return [
        Program(
            program.command,
            environment | shared_environment(settings) | program.environment,
            program.directory,
        )
        for program in programs(settings)
    ]


def _settings(environment: Mapping[str, str]) -> Settings:
    before = dict(os.environ)
    try:
        os.environ.update(environment)
        return read_settings(dotenv=None)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _redis() -> Program:
    folder = FOLDER / "redis"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Program(redis_command(REDIS_PORT, folder), {})


def plain() -> list[Program]:
    """Return the plain way, on the service's web server with as many threads."""
    url = {"REDIS_URL": f"redis://127.0.0.1:{REDIS_PORT}/0", "BENCH_MODEL": "scikit-learn"}
    worker = f"{sys.executable} -m celery -A bench.rivals.plain:celery worker -c 2 --loglevel WARNING"
    threads = _settings({"ML_SERVICE_API_KEY": KEY}).web_threads
    return [_redis(), Program(worker.split(), url), _granian("bench.rivals.plain:app", 1, threads, url)]


def flask_onnx() -> list[Program]:
    """Return Flask with the models in the web process."""
    return [_granian("bench.rivals.flask_onnx:app", 2, 8, {})]


def _granian(app: str, processes: int, threads: int, environment: Mapping[str, str]) -> Program:
    command = f"{sys.executable} -m granian {app} --interface wsgi --http 1 --no-ws --port {PORT} "
    command += f"--workers {processes} --blocking-threads {threads} --no-access-log --log-level warning"
    return Program(command.split(), environment)


def fastapi() -> list[Program]:
    """Return FastAPI with the models in the web process."""
    return [Program([venv("fastapi"), "-m", "bench.rivals.fastapi_onnx"], {"PORT": str(PORT)})] * 2


def litserve() -> list[Program]:
    """Return LitServe."""
    return [Program([venv("litserve"), "-m", "bench.rivals.litserve_onnx"], {"PORT": str(PORT)})]


def mlserver() -> list[Program]:
    """Return MLServer."""
    python = venv("mlserver")
    folder = FOLDER / "mlserver-models"
    folder.mkdir(exist_ok=True)
    settings = {
        "http_port": PORT,
        "grpc_port": PORT + 1,
        "metrics_port": PORT + 2,
        "parallel_workers": 2,
        "debug": False,
    }
    model = {
        "name": "failure",
        "implementation": "bench.rivals.mlserver_onnx.Model",
        "max_batch_size": 32,
        "max_batch_time": 0.005,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    # MLServer writes metric files to its working folder.
    return [Program([str(Path(python).with_name("mlserver")), "start", str(folder)], {}, directory=folder)]


def venv(name: str) -> str:
    """Return a Python with the packages of `bench/requirements/{name}.txt`. Creates it on first use."""
    folder = FOLDER / name
    python = folder / "bin" / "python"
    wanted = "".join((REQUIREMENTS / f"{part}.txt").read_text() for part in _parts(name))
    mark = folder / "installed.txt"
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS / f"{name}.txt")], check=True)
        mark.write_text(wanted)
    return str(python)


def _parts(name: str) -> tuple[str, ...]:
    return ("tools",) if name == "tools" else ("rivals", name)


OURS: Final = "ours"
REPEATED: Final = "ours, repeated readings (cache)"
PLAIN: Final = "the plain way"
FASTAPI: Final = "FastAPI + ONNX in process"
FLASK: Final = "Flask + ONNX in process"
LITSERVE: Final = "LitServe, batches of 32"
MLSERVER: Final = "MLServer, adaptive batching"

_RIVALS: Final = (
    Contestant(PLAIN, plain, packages=("flask", "celery", "redis", "granian", "scikit-learn")),
    Contestant(FLASK, flask_onnx, packages=("flask", "granian", "onnxruntime")),
    Contestant(FASTAPI, fastapi, packages=("fastapi", "uvicorn", "pydantic"), environment="fastapi"),
    Contestant(LITSERVE, litserve, packages=("litserve",), environment="litserve"),
    Contestant(
        MLSERVER,
        mlserver,
        "/v2/models/failure/infer",
        "/v2/models/failure/ready",
        protocol="v2",
        packages=("mlserver",),
        environment="mlserver",
    ),
)
CONTESTANTS: Final = (
    Contestant(OURS, ours, _API + "failure", "/health/ready"),
    Contestant("ours, maintenance", ours, _API + "maintenance", "/health/ready"),
    Contestant("ours, anomaly", ours, _API + "anomaly", "/health/ready"),
    Contestant(REPEATED, ours, _API + "failure", "/health/ready", mode="repeated"),
    *_RIVALS,
    *(replace(one, name=f"{one.name}, probability alone", response_kind="probability") for one in _RIVALS),
)
