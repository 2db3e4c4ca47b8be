"""The installer says what is wrong in a sentence, and knows when there is nothing to do."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from settings import ROOT
from stack.install import link_client, lock_digest, python_problem


def test_old_python_is_refused_with_the_way_out() -> None:
    problem = python_problem((3, 9))
    assert problem.startswith("Python 3.11 or newer is needed")
    assert "PYTHON=python3.11" in problem


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (4, 0)])
def test_new_python_is_accepted(version: tuple[int, int]) -> None:
    assert python_problem(version) == ""


def test_python_without_ensurepip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # what import then raises is ImportError
    assert "apt install python3.12-venv" in python_problem((3, 12))


def test_another_lock_file_is_another_installation(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("redis==8.1.0")
    before = lock_digest(str(lock))
    assert lock_digest(str(lock)) == before
    lock.write_text("redis==8.1.1")
    assert lock_digest(str(lock)) != before


def test_the_client_is_imported_from_where_it_lies(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    link_client(str(tmp_path))
    code = "import importlib.util; print(importlib.util.find_spec('evzone_ml_client').origin)"
    ran = subprocess.run(
        [tmp_path / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(ROOT / "clients/python/src/evzone_ml_client/__init__.py")


def test_the_command_of_the_client_is_in_the_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    link_client(str(tmp_path))
    code = "import sys; print(sys.argv)"
    module = tmp_path / "evzone_ml_client" / "command" / "__main__.py"
    module.parent.mkdir(parents=True)
    for package in (module.parent, module.parent.parent):
        (package / "__init__.py").touch()
    module.write_text(code)
    ran = subprocess.run(
        [tmp_path / "bin" / "evzone-ml", "batch", "a file"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str([str(module), "batch", "a file"])


def test_what_the_client_runs_on_is_locked() -> None:
    manifest = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    requirements = [*manifest["dependencies"], *manifest["optional-dependencies"]["command"]]
    needed = {re.split("[<>=]", requirement)[0] for requirement in requirements}
    asked_for = {
        line.split()[0]
        for name in ("requirements.in", "requirements-serve.in")
        for line in (ROOT / name).read_text().splitlines()
        if line
    }
    assert needed <= asked_for
