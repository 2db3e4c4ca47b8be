"""`python -m consumers` scores every reading on `charger.metrics`. SIGTERM or SIGINT end it within 20 s."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from types import FrameType

import logs
from consumers.run import Service
from settings import load_or_exit

log = logging.getLogger("consumers")


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        log.info("stopping (%s)", signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def main() -> int:
    """Run until a signal; the exit code."""
    settings = load_or_exit()
    logs.configure(settings)
    if settings.log_level != "DEBUG":
        # While Kafka is down its client has several lines a second to say about it; one is enough, and ours.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    return Service(settings).run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
