"""A consumer that sweeps alert records every second: `python -m tests.integration.forgetful_consumer [dies]`.

With `dies`, it is killed when it would write the first records, after the commit of their alerts.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from consumers.__main__ import stop_on_signals
from consumers.predictions import alert_recorder
from consumers.processes import scoring_service
from process import configure_logging
from settings import load_or_exit


def die(_: alert_recorder.AlertRecorder) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    settings = load_or_exit()
    configure_logging(settings)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    alert_recorder.SWEEP_EVERY_S = 1.0  # type: ignore[misc]  # Final in service
    if sys.argv[1:] == ["dies"]:
        alert_recorder.AlertRecorder._write_changes = die  # type: ignore[assignment]  # on purpose
    return scoring_service(settings).run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
