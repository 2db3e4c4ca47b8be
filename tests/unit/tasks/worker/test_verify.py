"""The reason why a version may not serve is stored, also for errors that nobody foresaw."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import orjson
import pytest

from errors import ModelRefused
from models import registry
from tasks.worker import verify as module


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ModelRefused("Its golden rows differ."), "Its golden rows differ."),
        (MemoryError(), "The worker has too little memory for it."),
        (RecursionError("deep"), "It cannot be loaded: RecursionError."),
    ],
)
def test_the_reason_is_stored(monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str) -> None:
    redis = Mock()
    monkeypatch.setattr(module, "current", lambda: SimpleNamespace(redis=redis))
    monkeypatch.setattr(registry, "load", Mock(side_effect=error))
    module.verify.run({"v": 1, "reply_key": "ml:verify:1", "model": "failure", "version": "v"})
    key, stored = redis.set.call_args.args
    assert (key, orjson.loads(stored)) == ("ml:verify:1", {"problem": problem})
