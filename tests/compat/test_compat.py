"""Two releases serve together: each pairing of web, workers and consumers, and each replacement of one of
them by the other release's, in both directions and under load.

`make compat REF=<commit>` names the old release; the new one is this checkout. The walk below visits all
eight pairings, one replacement at a time, on one Redis and one Kafka.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from bench.checkouts import CheckoutFailed, checkout, here
from tests.compat.checks import (
    Jobs,
    Outcomes,
    check_cache_and_history,
    check_fleet,
    check_histories,
    check_models,
    check_operations,
    check_small_job,
)
from tests.compat.faults import Book, guarded, say
from tests.compat.fleet import SIDES, Fleet
from tests.compat.releases import Release
from tests.compat.singles import Caller, Histories, Reference, keep_asking_whether_ready
from tests.compat.stream import OCPP_DEAD_LETTERS, OCPP_READINGS, Flow
from tests.integration.stream_bench import StreamBench
from tests.kafka import broker
from tests.kafka.lives import EVENTS
from tests.kafka.members import bench_on_apache_kafka
from tests.processes import environment, free_port

REF: Final = os.environ.get("COMPAT_REF", "")
# From all old to all old again, by way of all eight pairings.
WALK: Final = ("web", "workers", "web", "consumers", "web", "workers", "web", "consumers")
CALLERS: Final = 3
SETTLE_S: Final = 3.0

pytestmark = pytest.mark.skipif(not REF, reason="compares releases: make compat REF=<commit>")


class Run:
    """One walk: which release is where, and what is checked at each stop."""

    def __init__(self, bench: StreamBench, fleet: Fleet, book: Book, old: Release, new: Release) -> None:
        self._fleet = fleet
        self._book = book
        self._releases = {"old": old, "new": new}
        self._at = dict.fromkeys(SIDES, "old")
        self._histories = Histories()
        self._outcomes = Outcomes()
        self._flow = Flow(bench, book, portions=2 * len(WALK) + 1)
        for side in ("workers", "web", "consumers"):
            fleet.start(side, old)
        (web,) = fleet.rotation.webs()
        self._reference = Reference(web)
        self._jobs = Jobs(web, book)

    def walk(self) -> None:
        with self._load():
            self._pairing()
            for side in WALK:
                self._replace(side)
                self._pairing()
        with self._phase("each reading and event has one outcome"):
            self._flow.check()

    def _pairing(self) -> None:
        """One release on each side."""
        with self._phase(", ".join(f"{side} {name}" for side, name in self._at.items())):
            self._check_pairing()

    def _check_pairing(self) -> None:
        (web,) = self._fleet.rotation.webs()
        self._flow.send_events()
        job_id = self._jobs.submit(web)
        check_cache_and_history(web, web, self._reference)
        self._look_around()
        self._jobs.check(job_id, [web])
        self._flow.wait_until_worked_off()

    def _replace(self, side: str) -> None:
        """The other release beside the one that is there, then in its place."""
        before = self._releases[self._at[side]]
        after = self._releases["old" if before.name == "new" else "new"]
        with self._phase(f"  {side}: {after.name} beside {before.name}, then alone"):
            self._check_replacement(side, before, after)
        self._at[side] = after.name

    def _check_replacement(self, side: str, before: Release, after: Release) -> None:
        self._fleet.start(side, after)
        self._flow.send_events()
        webs = self._fleet.rotation.webs()
        job_id = self._jobs.submit(*webs)
        check_cache_and_history(webs[0], webs[-1], self._reference)
        check_cache_and_history(webs[-1], webs[0], self._reference)
        self._look_around()
        self._jobs.check(job_id, webs)
        # This one and what flows meanwhile are in hand when the old processes are told to end.
        in_hand = self._jobs.submit(*webs)
        self._fleet.end(side, before)
        self._jobs.check(in_hand, self._fleet.rotation.webs())

    def _look_around(self) -> None:
        webs = self._fleet.rotation.webs()
        check_histories(webs, self._histories)
        check_fleet(webs)
        self._outcomes.check(webs, self._histories)
        for web in webs:
            check_small_job(web)
            check_models(web, self._fleet.worker_names())
            check_operations(web)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Says what it has seen. Fails if anything went wrong in it, in whichever thread."""
        began = time.monotonic()
        try:
            yield
        except (AssertionError, httpx.HTTPError):
            self._book.fault(traceback.format_exc())
        self._fleet.look()
        self._book.close_phase(name, time.monotonic() - began)

    @contextmanager
    def _load(self) -> Iterator[None]:
        """Singles, questions for readiness and a stream, each from threads of its own."""
        over = threading.Event()
        rotation, book = self._fleet.rotation, self._book
        callers = [Caller(n, rotation, book, self._reference, self._histories) for n in range(CALLERS)]
        loads: dict[str, Callable[[threading.Event], None]] = {
            **{f"caller {number}": caller.run for number, caller in enumerate(callers)},
            "health": keep_asking_whether_ready(rotation, book),
            "stream": self._flow.run,
        }
        threads = [
            threading.Thread(target=guarded(book, name, lambda run=run: run(over)))  # type: ignore[misc]  # bound now
            for name, run in loads.items()
        ]
        for thread in threads:
            thread.start()
        try:
            over.wait(SETTLE_S)  # some chargers need a history
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.timeout(2400)
def test_two_releases_serve_together_in_every_pairing(tmp_path: Path) -> None:
    began = time.monotonic()
    try:
        there = checkout(REF)
    except CheckoutFailed as error:
        pytest.fail(str(error), pytrace=False)
    if problem := broker.fetch():
        # Skipped, it would look like passed.
        pytest.fail(f"Apache Kafka is needed here: {problem}", pytrace=False)
    say(f"\nold: {there.commit[:12]} in {there.root}; new: this checkout, on {here().commit[:12]}")
    # The version in force is one that the old release can read.
    models = shutil.copytree(there.root / "models" / "versions", tmp_path / "models")
    (tmp_path / "prometheus").mkdir()
    with bench_on_apache_kafka(tmp_path, max_poll_records=200) as bench:
        env = environment(
            bench.redis_server.url,
            KAFKA_BOOTSTRAP_SERVERS=bench.kafka_server.url,
            KAFKA_TRANSACTIONS="on",
            KAFKA_TOPIC_OCPP=EVENTS,
            STATE_DIR=str(tmp_path),
            MODEL_DIR=str(models),
            ML_BATCH_CHUNK_ROWS="150",  # many chunks, so that both releases get some of each job
            ML_SYNC_TIMEOUT="10",  # what is shown here is not speed
            PYTHONDONTWRITEBYTECODE="",
        )
        book = Book()
        ocpp = {"KAFKA_TOPIC_METRICS": OCPP_READINGS, "KAFKA_TOPIC_DEAD_LETTERS": OCPP_DEAD_LETTERS}
        fleet = Fleet(bench.redis_server.url, book, {"ocpp": ocpp})
        try:
            old = Release.of("old", there, free_port(), env)
            new = Release.of("new", here(), free_port(), env)
            Run(bench, fleet, book, old, new).walk()
        finally:
            fleet.close()
    say(f"Nothing failed and nothing was doubled, in {time.monotonic() - began:.0f} s.")
