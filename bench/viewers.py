"""`python -m bench.viewers`: single predictions alone, and beside people who watch the console.

Starts the service like `make run`. In turns, single predictions are measured alone, and while viewers have
the page Today open, which loads itself again every 15 s. Prints a row for each turn, and the ratio of the
medians. Run it on a machine without other work.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import httpx

from bench import load
from bench.contestants import FOLDER, KEY, URL, ours
from bench.load import Load
from bench.measure import running

CONNECTIONS: Final = 64
EVERY_S: Final = 15.0  # as the macro `live` in web/console/templates/macros.html
WARM_UP_S: Final = 5.0
SINGLES: Final = f"{URL}/api/v1/predictions/failure"
PAGE: Final = "/"


class Viewers:
    """Sessions of the console that ask for the page in turn, so that each asks every 15 s."""

    def __init__(self, count: int) -> None:
        self._sessions = ExitStack()
        self._clients = [self._sessions.enter_context(_logged_in()) for _ in range(count)]
        self.answers: list[int] = []
        self.seconds: list[float] = []

    def close(self) -> None:
        """Close all connections."""
        self._sessions.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask within the context, from a thread."""
        over = threading.Event()
        thread = threading.Thread(target=self._load_pages, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _load_pages(self, over: threading.Event) -> None:
        pause_s = EVERY_S / len(self._clients)
        tags: dict[int, str] = {}
        due = time.monotonic()
        while True:
            for number, client in enumerate(self._clients):
                due += pause_s
                if over.wait(max(0.0, due - time.monotonic())):
                    return
                began = time.perf_counter()
                headers = {"If-None-Match": tags[number]} if number in tags else {}
                answer = client.get(PAGE, headers=headers)
                self.seconds.append(time.perf_counter() - began)
                self.answers.append(answer.status_code)
                if tag := answer.headers.get("ETag"):
                    tags[number] = tag


@contextmanager
def _logged_in() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, timeout=10) as client:
        answer = client.post("/login", data={"key": KEY})
        if answer.status_code != httpx.codes.SEE_OTHER:
            raise SystemExit(f"the log-in was answered {answer.status_code}")
        if not re.search("<h1", client.get(PAGE).text):
            raise SystemExit("the page Today has no heading")
        yield client


def main() -> None:
    """Measure and print. Blocks for about a minute per round."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    rates: dict[str, list[float]] = {"alone": [], "beside": []}
    with running(ours(), f"{URL}/health/ready", FOLDER / "viewers.log"), ExitStack() as closing:
        viewers = Viewers(chosen.viewers)
        closing.callback(viewers.close)
        load.apply(_singles("warm"), CONNECTIONS, WARM_UP_S)
        for number in range(chosen.rounds):
            # Each goes first in every second round.
            for name in ("alone", "beside") if number % 2 else ("beside", "alone"):
                with viewers.watching() if name == "beside" else ExitStack():
                    found = load.apply(_singles(f"{name}{number}"), CONNECTIONS, chosen.seconds)
                rates[name].append(found.per_second)
                _write(
                    f"{name:6}  {found.per_second:8.0f}/s  p50 {found.p50_ms:6.1f} ms  "
                    f"p99 {found.p99_ms:6.1f} ms  errors {found.errors}"
                )
    alone, beside = (statistics.median(rates[name]) for name in ("alone", "beside"))
    late_ms = 1e3 * statistics.quantiles(viewers.seconds, n=20)[-1]
    counts = {status: viewers.answers.count(status) for status in sorted(set(viewers.answers))}
    _write(f"{len(viewers.answers)} pages, by status {counts}, p95 {late_ms:.0f} ms beside the load")
    _write(f"beside {chosen.viewers} viewers: {beside:.0f} of {alone:.0f}/s, {beside / alone:.1%}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _singles(word: str) -> Load:
    return Load(SINGLES, KEY, "unique", word)


if __name__ == "__main__":
    main()
