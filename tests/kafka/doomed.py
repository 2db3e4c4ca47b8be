"""A consumer that may die between the last send and the commit of a transaction.

    python -m tests.kafka.doomed PROBABILITY MOST FILE [ocpp]

Each death leaves a line in FILE first; there are MOST at most.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
from pathlib import Path

from consumers.__main__ import stop_on_signals
from consumers.kafka.transactions import TransactionalPublisher
from consumers.processes import ocpp_service, scoring_service
from process import configure_logging
from settings import load_or_exit
from tasks.client import stream_predictor

PROBABILITY, MOST, DEATHS = float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
MAKE = ocpp_service if sys.argv[4:] == ["ocpp"] else scoring_service


class DoomedPublisher(TransactionalPublisher):
    """Dies now and then with everything sent and nothing committed.

    At the latest at the commit at which a death is to be expected: a slow machine makes few commits.
    """

    _commits = 0

    def before_commit(self) -> None:
        self._commits += 1
        deaths_so_far = len(DEATHS.read_text().splitlines()) if DEATHS.exists() else 0
        is_due = random.random() < PROBABILITY or self._commits * PROBABILITY >= 1
        if deaths_so_far < MOST and is_due:
            with DEATHS.open("a") as deaths:
                deaths.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)


# A worker that died is noticed sooner than in service, where a task may take its full time limit.
stream_predictor.LOST_AFTER_S = 4.0  # type: ignore[misc]  # Final in service
settings = load_or_exit()
configure_logging(settings)
logging.getLogger("kafka").setLevel(logging.CRITICAL)
sys.exit(MAKE(settings, transactional=DoomedPublisher).run(stop_on_signals()))
