"""What all tests share: their order, longest files first, and the process state that each restores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from structlog.contextvars import clear_contextvars

from tasks.storage import redis_clock

# In falling order of their time. A file is one worker's: a long one that began last would be waited for.
LONG_FILES: Final = (
    "golden/test_golden.py",
    "integration/test_openapi.py",
    "integration/test_serve_requirements.py",
    "integration/test_batch_command.py",
    "kafka/test_delivery.py",
    "integration/test_jobs_under_fire.py",
    "kafka/test_rolling_restart.py",
    "integration/test_drift.py",
    "integration/test_deadly_records.py",
    "kafka/test_ocpp.py",
    "integration/test_results.py",
    "integration/test_stream.py",
    "integration/test_replay.py",
    "integration/test_wsgi.py",
    "integration/test_docs_examples.py",
    "integration/test_stack.py",
    "integration/test_overload_of_clients.py",
    "integration/test_interrupted_commands.py",
    "integration/test_eviction.py",
    "unit/test_whole_path.py",
)
# Pure tests come last: their files are short, and fill up the end.
ROOMS: Final = ("compat", "kafka", "integration", "host", "golden", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first. The order within a file stays."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    name = item.nodeid.partition("::")[0].removeprefix("tests/")
    room = name.partition("/")[0]
    place = LONG_FILES.index(name) if name in LONG_FILES else len(LONG_FILES)
    return place, ROOMS.index(room) if room in ROOMS else len(ROOMS)


@pytest.fixture(autouse=True)
def process_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore what is one for a process: the fields of its log lines, and the time of Redis."""
    monkeypatch.setattr(redis_clock, "_origin", redis_clock._origin)
    yield
    clear_contextvars()
