"""Record the series of alerts from a real run with each alert's fault.

    .venv/bin/python -m tests.host.record_alerts [ALERT …] [ALERT.VARIANT …]

For each fault a service of its own runs under a little load. The admin ports of its programs are scraped
during a quiet time, during the fault, and after it. The metrics that the alert's rule reads are written to
`tests/host/alert_series/`. All of them take an hour and a half, on a machine with little else to do.
"""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from settings import ROOT
from tests.host.faults import FAULTS
from tests.host.live_service import live_service
from tests.host.recordings import Recording, metrics_of, pack

log = logging.getLogger(__name__)

# After the start the counters exist, and the pauses of the start are over.
WARM_UP_S: Final = 10


class Scraper(threading.Thread):
    """Scrape admin ports once in `interval_s` seconds, as Prometheus does. `samples` has a dict for each."""

    def __init__(self, admin: Mapping[str, str], metrics: frozenset[str], interval_s: int) -> None:
        super().__init__()
        self.samples: list[dict[str, float]] = []
        self._metrics = tuple(f"{metric}{{" for metric in metrics) + tuple(f"{metric} " for metric in metrics)
        self._interval_s = interval_s
        self._clients = {
            name: httpx.Client(base_url=url, timeout=0.8 * min(interval_s, 5)) for name, url in admin.items()
        }
        self._over = threading.Event()

    def run(self) -> None:
        """Scrape until `stop`."""
        start = time.monotonic()
        with ThreadPoolExecutor(len(self._clients)) as pool:
            while not self._over.wait(start + len(self.samples) * self._interval_s - time.monotonic()):
                found: dict[str, float] = {}
                for each in pool.map(self._scrape, self._clients):
                    found |= each
                self.samples.append(found)

    def stop(self) -> None:
        """End the thread. Blocks for one scrape at most."""
        self._over.set()
        self.join()
        for client in self._clients.values():
            client.close()

    def _scrape(self, instance: str) -> dict[str, float]:
        try:
            page = self._clients[instance].get("/metrics").text
        except httpx.HTTPError:
            return {}
        # Most lines are of other metrics, and parsing all of them takes longer than the scrape.
        lines = "".join(line for line in page.splitlines(keepends=True) if line.startswith(self._metrics))
        found = {}
        for family in text_string_to_metric_families(lines):
            for sample in family.samples:
                labels = sorted({**sample.labels, "instance": instance}.items())
                inner = ",".join(f'{name}="{value}"' for name, value in labels)
                found[f"{sample.name}{{{inner}}}"] = sample.value
        return found


def record(name: str) -> Path:
    """Record the series of one of `FAULTS`. Returns the file. Blocks for minutes."""
    fault = FAULTS[name]
    with live_service(fault.app, settings=fault.settings) as service:
        fault.prepare(service)
        scraper = Scraper(service.admin, metrics_of(name), fault.interval_s)
        with service.load.running():
            time.sleep(WARM_UP_S)
            scraper.start()
            time.sleep(fault.quiet_s)
            quiet = len(scraper.samples)
            log.info("%s: %s", name, fault.words)
            with fault.cause(service):
                time.sleep(fault.fault_s)
                until = len(scraper.samples)
            time.sleep(fault.after_s)
            scraper.stop()
    names = sorted({each for sample in scraper.samples for each in sample})
    return Recording(
        recorded=True,
        fault=fault.words,
        interval_s=fault.interval_s,
        quiet_s=quiet * fault.interval_s,
        fault_s=(until - quiet) * fault.interval_s,
        after_s=(len(scraper.samples) - until) * fault.interval_s,
        series={each: pack([sample.get(each) for sample in scraper.samples]) for each in names},
    ).write(name)


def main() -> None:
    """Record the faults that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.host.record_alerts", description=__doc__)
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help=f"one of {', '.join(FAULTS)}")
    chosen = parser.parse_args().alerts
    if unknown := set(chosen) - FAULTS.keys():
        parser.error(f"no fault is known for {', '.join(sorted(unknown))}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for library in ("httpx", "kafka"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    for name in chosen or FAULTS:
        file = record(name)
        log.info("%s: %d bytes", file.relative_to(ROOT), file.stat().st_size)


if __name__ == "__main__":
    main()
