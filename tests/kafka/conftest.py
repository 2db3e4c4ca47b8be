"""What every test on Apache Kafka needs."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator

import pytest

from tests.processes import wait_until


@pytest.fixture(autouse=True)
def _no_leftover_sockets() -> Iterator[None]:
    yield
    _collect()


@pytest.fixture(autouse=True, scope="module")
def _no_leftover_sockets_for_other_files() -> Iterator[None]:
    """The threads of a client that was refused end a moment later, and hold its sockets until then."""
    yield
    wait_until(
        lambda: not [each.name for each in threading.enumerate() if "kafka" in each.name.lower()],
        what="the end of kafka-python's threads",
    )
    _collect()


def _collect() -> None:
    with warnings.catch_warnings():
        # kafka-python leaves the socket of each refused connection to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
