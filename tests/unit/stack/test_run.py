"""What `make run` prints, and which folders it closes to others."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from settings import Settings
from stack.run import _make_folders, _summary
from tests.processes import settings_for


@pytest.fixture
def settings() -> Settings:
    return settings_for(ML_SERVICE_API_KEY="key-of-the-api", FLOWER_BASIC_AUTH="me:password-of-flower")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.owasp("API2", "key and password are printed on a terminal only")
@pytest.mark.parametrize("is_terminal", [True, False])
def test_secrets_are_printed_on_a_terminal_only(
    is_terminal: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    shown = _summary(settings, {}, 1.0)
    assert [secret in shown for secret in ("key-of-the-api", "password-of-flower")] == [is_terminal] * 2
    assert "ML_SERVICE_API_KEY" in shown


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_what_an_earlier_release_left_open_is_closed(settings: Settings, tmp_path: Path) -> None:
    state = tmp_path / "var"
    (state / "log").mkdir(parents=True)
    for name in ("supervisord.conf", "log/web.log"):
        (state / name).touch(0o644)
    _make_folders(replace(settings, state_dir=state))
    assert [mode(each) for each in (state, state / "log", state / "redis")] == [0o700] * 3
    assert [mode(state / name) for name in ("supervisord.conf", "log/web.log")] == [0o600] * 2


@pytest.mark.usefixtures("open_umask")
def test_a_folder_with_files_of_others_stays_open(settings: Settings, tmp_path: Path) -> None:
    state = tmp_path / "shared"
    state.mkdir(0o755)
    (state / "of others").touch(0o644)
    _make_folders(replace(settings, state_dir=state))
    assert [mode(state), mode(state / "of others"), mode(state / "log")] == [0o755, 0o644, 0o700]
