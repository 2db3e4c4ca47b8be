"""A consumer that waits between the last send and the commit of a transaction, while a file is there.

    python -m tests.kafka.held_commit

The file is `hold` in `STATE_DIR`. While it waits, `held` is there too.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Final

from consumers.__main__ import stop_on_signals
from consumers.kafka.transactions import TransactionalPublisher
from consumers.processes import scoring_service
from process import configure_logging
from settings import load_or_exit

HOLD: Final = "hold"
HELD: Final = "held"


class HeldPublisher(TransactionalPublisher):
    """Waits with everything sent and nothing committed."""

    folder: Path

    def before_commit(self) -> None:
        """Return once `hold` is gone."""
        if (self.folder / HOLD).exists():
            (self.folder / HELD).touch()
            while (self.folder / HOLD).exists():
                time.sleep(0.05)
            (self.folder / HELD).unlink(missing_ok=True)


def main() -> int:
    """Consume until SIGTERM; the exit code."""
    settings = load_or_exit()
    configure_logging(settings)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    HeldPublisher.folder = Path(settings.state_dir)
    return scoring_service(settings, transactional=HeldPublisher).run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
