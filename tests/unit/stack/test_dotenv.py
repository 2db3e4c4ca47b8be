"""The first `.env` holds secrets of its own and is never written over."""

from __future__ import annotations

from pathlib import Path

import dotenv
import pytest

from stack.dotenv import write_if_missing


@pytest.mark.owasp("API2", "the first start makes random secrets, which only their owner can read")
def test_first_env_holds_random_secrets_for_its_owner_only(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    assert [write_if_missing(path) for path in paths] == [True, True]
    one, two = (dotenv.dotenv_values(path) for path in paths)
    assert set(one) == {"ML_SERVICE_API_KEY", "FLOWER_BASIC_AUTH"}
    assert all(one[name] != two[name] for name in one)
    assert paths[0].stat().st_mode & 0o777 == 0o600


def test_existing_env_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("PORT=9000\n")
    assert not write_if_missing(path)
    assert path.read_text() == "PORT=9000\n"
