"""A consumer that some records end: `python -m tests.integration.deadly_consumer [ocpp]`.

A record that holds `KILLS` ends the process as a crash in native code would. `SPARE_MB` bounds the memory
that the process may take beyond what it has when it starts.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

from consumers.__main__ import stop_on_signals
from consumers.ocpp import translation
from consumers.predictions import prediction_processor
from consumers.processes import ocpp_service, scoring_service
from process import configure_logging
from settings import load_or_exit

KILLS: Final = b"THIS RECORD KILLS"


def deadly(read: Any) -> Any:
    """`read`, but for records that end this process."""

    def read_or_die(found: Any, **more: Any) -> Any:
        if KILLS in (getattr(found, "value", found) or b""):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(found, **more)

    return read_or_die


def main() -> int:
    settings = load_or_exit()
    configure_logging(settings)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    for module, name in ((prediction_processor, "read"), (translation, "read_event")):
        vars(module)[name] = deadly(vars(module)[name])
    service = (ocpp_service if sys.argv[1:] == ["ocpp"] else scoring_service)(settings)
    if "SPARE_MB" in os.environ:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + int(os.environ["SPARE_MB"]) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return service.run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
