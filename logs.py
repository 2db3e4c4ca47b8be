"""How every process logs: one line an event, on standard error, times in UTC."""

from __future__ import annotations

import logging
import time

from settings import Settings


def configure(settings: Settings) -> None:
    """Set up the root logger. Call once, at a process's start."""
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
