"""`python -m tests.faults.soak`: an hour at 70 % of the capacity, with faults; the laws, and what grows.

A whole service runs: two web servers, three workers, a consumer, Redis and Kafka. Faults that keep data are
caused one after the other, in random order, with quiet times between them; in the second half only those that
end no process, so that growth shows. At the end the history is held
against the laws of `checker.py`, and memory, descriptors, threads, Redis keys and connections must be flat
(`samples.py` has the rule). Exit code 1 if a law is broken or a series grows.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Final

import orjson

from tests.faults import checker
from tests.faults.__main__ import history_file
from tests.faults.capacity import capacity
from tests.faults.causes import FAULTS
from tests.faults.history import History, read
from tests.faults.kafka_causes import TRANSACTIONS, one_node
from tests.faults.samples import HEADER, Sampler, trends
from tests.faults.services import usual
from tests.faults.traffic import OK, Rates, Traffic
from tests.host.live_service import LiveService
from tests.kafka import broker

APP: Final = "tasks.worker.app"
SHARE: Final = 0.7
QUIET_S: Final = 30.0
# Of the time, before samples count: jobs and histories become as many as they stay.
WARM_UP_SHARE: Final = 0.1
# After a fault, before samples count.
RECOVERED_S: Final = 15.0
# Of the offered records. With fewer, a run shows little of the stream.
LEAST_SHARE: Final = 0.5
# So that jobs and their keys are soon as many as they stay.
BOUNDED: Final = {"ML_JOB_RETENTION": "240"}
MB: Final = 1e6


class Plan:
    """The faults that keep data: all of them in random order, again and again.

    In the second half only those that ended no process in the first: memory that grows shows in processes
    that live long.
    """

    def __init__(self, seed: int, *, apache: bool) -> None:
        self._chance = random.Random(seed)
        services = (usual, one_node) if apache else (usual,)
        self._names = [
            name
            for name, fault in FAULTS.items()
            if fault.keeps_jobs and fault.app == APP and fault.service in services
        ]
        self._left: list[str] = []
        self._harmless: set[str] = set()

    def choose(self, *, is_first_half: bool) -> str | None:
        """The next fault; None if there is none that leaves all processes alive."""
        if not is_first_half:
            return self._chance.choice(sorted(self._harmless)) if self._harmless else None
        if not self._left:
            self._left = self._chance.sample(self._names, len(self._names))
        return self._left.pop()

    def note(self, name: str, *, ended_processes: bool) -> None:
        """Remember whether a fault ended processes."""
        if not ended_processes:
            self._harmless.add(name)


def soak(minutes: float, seed: int, singles: float | None, apache: bool, path: Path) -> int:
    """Run it; the exit code. Blocks a few minutes longer than `minutes`."""
    service_on = (
        usual(APP, BOUNDED | TRANSACTIONS, kafka_server=broker.ApacheKafka) if apache else usual(APP, BOUNDED)
    )
    with service_on as service, History(path) as history:
        history.write("run", transactions=apache)
        urls = [web.url for web in service.webs.values()]
        base = Rates()
        traffic = Traffic(urls, service.kafka.url, history, base.times(1), seed=seed)
        sampler = Sampler(service)
        with traffic.running(), sampler.running():
            if singles is None:
                say("Capacity of service and callers together:")
                singles = SHARE * capacity(traffic, base, say) * base.singles_a_second
            traffic.change(base.times(singles / base.singles_a_second))
            say(
                f"Offered: {singles:.0f} single predictions and {traffic.rates.records_a_second:.0f} records "
                f"a second, and a job of 500 rows every {traffic.rates.job_every_s:.1f} s. Seed {seed}."
            )
            began = len(traffic.calls)
            over = time.monotonic() + 60 * minutes
            warm = time.monotonic() + 60 * minutes * WARM_UP_SHARE
            sampler.is_quiet = False
            half = time.monotonic() + 30 * minutes
            plan = Plan(seed, apache=apache)
            problems: list[str] = []
            while True:
                time.sleep(QUIET_S)
                if time.monotonic() > over:
                    break
                name = plan.choose(is_first_half=time.monotonic() < half)
                if name is not None:
                    say(f"{(over - time.monotonic()) / 60:6.1f} min left: {name}")
                    sampler.is_quiet = False
                    lives = _lives(service)
                    history.write("fault", name=name, phase="begins")
                    if problem := _caused(service, name):
                        say(problem)
                        problems.append(problem)
                    history.write("fault", name=name, phase="ends")
                    plan.note(name, ended_processes=_lives(service) != lives)
                    time.sleep(RECOVERED_S)
                sampler.is_quiet = time.monotonic() > warm
            say("The traffic ends, and all settles.")
    calls = traffic.calls[began:]
    at_once, at_last = (
        sum(status == OK for status in statuses) / len(calls)
        for statuses in ([call.first for call in calls], [call.final for call in calls])
    )
    say(
        f"{len(calls):,} single predictions: {at_once:.2%} answered at once, {at_last:.2%} with one retry, "
        f"{sum(call.is_degraded for call in calls) / len(calls):.2%} degraded. {traffic.jobs:,} jobs, "
        f"{traffic.records:,} records. History: {path}, {path.stat().st_size / MB:.0f} MB."
    )
    if traffic.records < LEAST_SHARE * traffic.rates.records_a_second * 60 * minutes:
        problems.append("The traffic failed: less than half of the offered records were acknowledged.")
    verdict = checker.check(read(path))
    for line in verdict.lines():
        say(line)
    say(HEADER)
    found = trends(sampler.samples)
    path.with_suffix(".samples.json").write_bytes(orjson.dumps([tuple(sample) for sample in sampler.samples]))
    for trend in found:
        say(trend.line())
    growing = [trend.series for trend in found if trend.verdict == "GROWS"]
    short = sum(trend.verdict == "too short" for trend in found)
    say(
        f"growing: {', '.join(growing) or 'nothing'}" + (f"; {short} series too short to judge" * (short > 0))
    )
    say("\n".join(problems))
    return int(bool(verdict.broken or growing or problems))


def _caused(service: LiveService, name: str) -> str | None:
    """Cause a fault. If that fails, start all programs again and return the problem: the hour goes on."""
    try:
        FAULTS[name].cause(service, FAULTS[name].fault_s)
    except Exception as error:
        for program in list(service.programs):
            service.programs[program].kill()
            service.start(program)
        for program in service.programs:
            service.wait_ready(program)
        return f"{name}: {type(error).__name__}: {error}"
    return None


def _lives(service: LiveService) -> set[int]:
    """The process ids of all programs, those of their children too."""
    programs = service.programs.values()
    return {pid for program in programs for pid in (program.process.pid, *program.children())}


def main() -> int:
    """Read the command line and run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run's faults and readings")
    parser.add_argument(
        "--singles",
        type=float,
        default=None,
        help="single predictions a second, instead of 70 %% of the capacity",
    )
    parser.add_argument(
        "--kafka",
        choices=("apache", "embedded"),
        default="apache",
        help="the embedded broker promises at least one outcome a record, Apache Kafka exactly one",
    )
    given = parser.parse_args()
    seed = random.randrange(1000) if given.seed is None else given.seed
    is_apache = given.kafka == "apache"
    if is_apache and (problem := broker.fetch()):
        sys.exit(f"Apache Kafka is needed, or --kafka embedded: {problem}")
    return soak(given.minutes, seed, given.singles, is_apache, history_file(f"soak {seed}"))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
