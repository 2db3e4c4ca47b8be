"""The commands of `python -m consumers`.

Without a command it scores every reading on `charger.metrics`. `ocpp` translates OCPP events into such
readings. SIGTERM or SIGINT end both within 20 s. `replay-dlq` lists dead letters and puts them back. `replay
FILE` publishes recorded readings to the topic.

Most imports are late: they take a second, and Ctrl-C ends them as it ends the rest.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import Final

from consumers.replay.arguments import INTERRUPTED

log = logging.getLogger("consumers")

# That of the workers of the stream. Single predictions take precedence.
NICENESS: Final = 5


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. Call it in the main thread."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        log.info("stopping (%s)", signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def main() -> int:
    """Run one command; returns the exit code. Blocks until it has ended."""
    name = "consumers"
    try:
        arguments = _parser().parse_args()
        name = " ".join(filter(None, (name, arguments.command)))
        return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from consumers.replay import dead_letters, replay_readings

    parser = argparse.ArgumentParser(
        prog="python -m consumers",
        description="Without a command: scores every reading on the input topic, until SIGTERM.",
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("ocpp", help="turn OCPP 1.6 and 2.0.1 events into readings, until SIGTERM")
    dead_letters.add_arguments(commands.add_parser("replay-dlq", help="list dead letters, or put them back"))
    replay_readings.add_arguments(
        commands.add_parser("replay", help="publish recorded readings in their own rhythm")
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    import tracing
    from consumers.processes import ocpp_service, scoring_service
    from consumers.replay import dead_letters, replay_readings
    from process import configure_logging, limit_memory
    from settings import load_or_exit
    from tasks.storage.redis_connection import refuse_eviction

    settings = load_or_exit()
    configure_logging(settings)
    if settings.log_level != "DEBUG":
        # Without a broker the Kafka client logs several lines a second. The consumer logs the change once.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if arguments.command == "replay-dlq":
        return dead_letters.replay_dlq(settings, arguments)
    if arguments.command == "replay":
        return replay_readings.replay(settings, arguments, stop_on_signals)
    refuse_eviction(settings)
    limit_memory(settings)
    os.nice(NICENESS)
    tracing.start(settings, arguments.command or "consumer")
    make = ocpp_service if arguments.command == "ocpp" else scoring_service
    return make(settings).run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
