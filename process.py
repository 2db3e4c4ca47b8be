"""What each process sets up at its start: logging, and garbage collection."""

from __future__ import annotations

import gc
import logging
import time
from typing import Final

from settings import Settings

GARBAGE_THRESHOLD: Final = 100_000


def configure_logging(settings: Settings) -> None:
    """Log one line an event to standard error, with times in UTC. Call once, at a process's start."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # One line for each task and each Kafka heartbeat says nothing that the metrics do not say better.
    for noisy in ("celery.worker.strategy", "celery.app.trace", "kafka"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))


def collect_garbage_seldom() -> None:
    """Collect garbage a hundred times less often, and never scan what is loaded now.

    Our processes hold many objects, hardly any of them in a cycle. Collections cost a batch worker a tenth of
    its time (docs/adr/0009), and delay the callers of the web process (docs/adr/0008).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
