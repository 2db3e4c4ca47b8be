"""What every test on Apache Kafka needs."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_leftover_sockets() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        # kafka-python leaves the socket of each refused connection to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
