"""`python -m tests.kafka`: Apache Kafka for tests that are not written in Python, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import sys

from tests.kafka.broker import ApacheKafka, fetch


def main() -> int:
    """Say `kafka HOST:PORT` once it answers; 1, and why, where it cannot be had."""
    if problem := fetch():
        sys.stderr.write(f"Apache Kafka is needed here: {problem}\n")
        return 1
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with ApacheKafka() as kafka:
        sys.stdout.write(f"kafka {kafka.url}\n")
        sys.stdout.flush()
        signal.sigwait(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
