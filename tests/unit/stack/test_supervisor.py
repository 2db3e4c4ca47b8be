"""The configuration of supervisord is its owner's alone: a program's environment may hold a password."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from stack.programs import Program
from stack.supervisor import Supervisor

SECRET = "redis://:s3cret@redis.example:6379/0"


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.owasp("API8", "files with secrets can be read by their owner only")
@pytest.mark.parametrize("is_there", [False, True])
def test_nobody_else_can_read_it_at_any_moment(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "supervisord.conf"
    (tmp_path / "log").mkdir()
    if is_there:
        config.touch(0o644)
    # Without a correction afterwards, as if the process were stopped in between.
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: SimpleNamespace())
    program = Program("flower", ["true"], environment={"BROKER_URL": SECRET})
    Supervisor([program], tmp_path, {}).start()
    assert SECRET in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
