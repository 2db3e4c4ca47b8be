"""The curl commands of README and docs/http.md run against a live service, and answer what the pages show.

The commands are read from the pages and sent by httpx, so that the test needs no curl. The JSON block after a
block of commands is the answer of the last of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from settings import ROOT
from tests.processes import KEY, Web, environment, running_service, settings_for
from tests.services import start_redis

README: Final = ROOT / "README.md"
HTTP_PAGE: Final = ROOT / "docs" / "http.md"
SHOWN_ADDRESS: Final = "localhost:8000"
# The pages activate this version: train has written it by then.
ANOTHER_VERSION: Final = "mine-1"
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Different at each run.
VOLATILE: Final = frozenset(
    {
        *("job_id", "timestamp", "created_at", "started_at", "finished_at", "expires_at"),
        *("rows_per_second", "eta_seconds"),
        "bootstrap_servers",
        # The pages' readings are older than the answers that they show.
        *("reading_stale", "recommended_date"),
    }
)
OF_OLD_READINGS: Final = "The best day by this reading has passed"
# The service of this test has no Kafka, and says of its parts what it has.
OF_THE_FLEET: Final = frozenset({"checks"})


@dataclass
class Example:
    """One block of commands, and the answer that the page shows of the last."""

    line: int
    commands: str
    answer: Any = None


@dataclass
class Shell:
    """Runs the commands of one page: their variables, and the job that was submitted last."""

    web: Web
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables |= {"KEY": KEY, "API": f"{self.web.url}/api/v1"}

    def run(self, commands: str) -> list[httpx.Response]:
        """The answer to each curl command. Fails where a status is not the one that the page states."""
        answers = []
        for command, status in self._commands(commands):
            response = self._send(command)
            assert response.status_code == status if status else response.is_success, (
                f"{shlex.join(command)}: {response.status_code} {response.text}"
            )
            job_id = re.search(r'"job_id":"(\w+)"', response.text)
            if job_id:
                self.variables["JOB"] = job_id[1]
            answers.append(response)
        return answers

    def _commands(self, text: str) -> Iterator[tuple[list[str], int | None]]:
        """Each curl command as words, and the status that its comment states."""
        for part in re.split(r"^(?=curl )", text.replace("\\\n", " "), flags=re.MULTILINE):
            words = shlex.split(part, comments=True)
            if words[:1] == ["curl"]:
                # A variable may be set behind a command, before the next one.
                end = next((place for place, word in enumerate(words) if _assignment(word)), len(words))
                status = re.search(r"# (\d{3})\b", part)
                yield words[1:end], int(status[1]) if status else None
            for word in words:
                if (found := _assignment(word)) and found[0] not in self.variables:
                    self.variables[found[0]] = found[1]

    def _send(self, words: list[str]) -> httpx.Response:
        given = _curl().parse_args([self._expanded(word) for word in words])
        headers = dict(header.split(": ", 1) for header in given.header)
        body = given.data
        if body is not None and body.startswith("@"):
            body = (self.folder / body[1:]).read_text()
        method = given.request or ("GET" if body is None else "POST")
        response = httpx.request(method, given.url, headers=headers, content=body, timeout=30)
        if given.output:
            (self.folder / given.output).write_bytes(response.content)
        return response

    def _expanded(self, word: str) -> str:
        text = re.sub(r"\$(\w+)", lambda match: self.variables[match[1]], word)
        if text.startswith(SHOWN_ADDRESS):
            return self.web.url + text.removeprefix(SHOWN_ADDRESS)
        return text


def _assignment(word: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"([A-Z]+)=(.*)", word, re.DOTALL)
    return (match[1], match[2]) if match else None


def _curl() -> argparse.ArgumentParser:
    """The options that the pages use. Others are an error."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-X", dest="request")
    parser.add_argument("-H", dest="header", action="append", default=[])
    parser.add_argument("-d", "--data-binary", dest="data")
    parser.add_argument("-o", dest="output")
    return parser


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """Line, language and content of each code block."""
    text = page.read_text()
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def examples(page: Path) -> list[Example]:
    found: list[Example] = []
    follows = False  # whether the last block was one of commands
    for line, language, content in blocks(page):
        if language == "sh" and "curl " in content:
            found.append(Example(line, content))
        elif language == "json" and follows:
            found[-1].answer = json.loads(content)
        follows = language == "sh" and "curl " in content
    return found


def differences(shown: Any, given: Any, *, whole: bool, place: str = "") -> list[str]:
    """Where an answer differs from a page. A page that does not show the `whole` may leave fields out."""
    if isinstance(shown, Mapping) and isinstance(given, Mapping):
        missing = [f"{place}/{name}: not in the answer" for name in shown.keys() - given.keys()]
        hidden = [f"{place}/{name}: not on the page" for name in given.keys() - shown.keys() if whole]
        both = [name for name in shown if name in given and name not in OF_THE_FLEET]
        inner = [
            each
            for name in both
            for each in (
                _kinds_differ(shown[name], given[name], f"{place}/{name}")
                if name in VOLATILE
                else differences(shown[name], given[name], whole=whole, place=f"{place}/{name}")
            )
        ]
        return [*missing, *hidden, *inner]
    if isinstance(shown, list) and isinstance(given, list):
        given = [each for each in given if not str(each).startswith(OF_OLD_READINGS)]
        if len(shown) > len(given) or (whole and len(shown) < len(given)):
            return [f"{place}: {len(shown)} on the page, {len(given)} in the answer"]
        pairs = enumerate(zip(shown, given, strict=False))
        return [each for n, (a, b) in pairs for each in differences(a, b, whole=whole, place=f"{place}/{n}")]
    return [] if _alike(shown, given) else [f"{place}: {shown!r} on the page, {given!r} in the answer"]


def _alike(shown: Any, given: Any) -> bool:
    """Other processors score a little differently, so that numbers and moments may differ by as much."""
    if isinstance(shown, float) and isinstance(given, float):
        return shown == pytest.approx(given, rel=1e-3)
    if isinstance(shown, str) and isinstance(given, str) and MOMENT.fullmatch(shown):
        moments = [datetime.fromisoformat(text) for text in (shown, given) if MOMENT.fullmatch(text)]
        return len(moments) == 2 and abs(moments[0] - moments[1]) < timedelta(minutes=1)
    return bool(shown == given)


def _kinds_differ(shown: Any, given: Any, place: str) -> list[str]:
    numbers = isinstance(shown, int | float) and isinstance(given, int | float)
    same = numbers or type(shown) is type(given)
    return (
        [] if same else [f"{place}: {type(shown).__name__} on the page, {type(given).__name__} in the answer"]
    )


def model_folder(folder: Path) -> Path:
    """The committed versions, and a second one of the failure model."""
    shutil.copytree(settings_for("redis://127.0.0.1:1/0").model_dir, folder)
    failure = folder / "failure"
    shutil.copytree(failure / (failure / "ACTIVE").read_text().strip(), failure / ANOTHER_VERSION)
    manifest = failure / ANOTHER_VERSION / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": ANOTHER_VERSION}))
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Web]:
    """A service that nobody has used yet, so that histories and fleet are empty as on the pages."""
    with start_redis() as redis:
        # The pages show answers of minutes after their readings, and readings grow old.
        env = environment(
            redis.url, MODEL_DIR=str(model_folder(tmp_path / "models")), ML_FLEET_RETENTION_DAYS="36500"
        )
        with running_service(env) as web:
            yield web


@pytest.mark.parametrize("page", [README, HTTP_PAGE], ids=lambda page: page.name)
def test_the_curl_commands_of_a_page_answer_what_it_shows(page: Path, service: Web, tmp_path: Path) -> None:
    for _, language, content in blocks(page):
        if language == "csv":
            name = "fleet.csv" if "connector_status" in content else "chargers.csv"
            (tmp_path / name).write_text(content)
    shell = Shell(service, tmp_path)
    found: dict[str, list[str]] = {}
    for example in examples(page):
        answers = shell.run(example.commands)
        if example.answer is not None:
            wrong = differences(example.answer, answers[-1].json(), whole=page == HTTP_PAGE)
            found |= {f"{page.name}:{example.line}": wrong} if wrong else {}
    assert found == {}


def test_the_page_of_the_api_shows_answers_of_most_kinds() -> None:
    """A page whose blocks the test does not understand would pass it."""
    assert sum(example.answer is not None for example in examples(HTTP_PAGE)) >= 10
    assert any(example.answer is not None for example in examples(README))


def test_the_python_example_of_the_readme_prints_a_prediction(service: Web) -> None:
    code = next(content for _, language, content in blocks(README) if language == "python")
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
        "ML_SERVICE_URL": service.url,
        "ML_SERVICE_API_KEY": KEY,
    }
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert "'failure_probability': " in ran.stdout, ran.stdout + ran.stderr
