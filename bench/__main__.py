"""`python -m bench`: measure the service and its rivals in turn, under the same load.

    python -m bench [--rounds 3] [--seconds 3] [--connections 1,16,64,256] [--only WORD,…] [--no-report]
                    [--profile]

Writes `build/bench/results.json`, and a file for each part. After a complete run it also writes
`docs/benchmarks.md` with its plot. `--only singles`, `--only batch`, `--only stream`, `--only fairness` and
`--only overload` measure one part: single predictions, batch jobs, the Kafka consumer, fairness between
tenants, overload. They renew that part of the page. Exit code 1 if a rival seems
detuned (FastAPI + ONNX below ten times the plain way) or returns wrong answers.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import batch, fairness, overload, report, stream
from bench.contestants import CONTESTANTS, FOLDER, KEY, OURS, PORT, REDIS_PORT, URL, Contestant, venv
from bench.load import Load, apply, generator, one_answer
from bench.measure import Running, running, shown
from bench.report import Result

WARM_UP_S = 2.0
WARM_UP_REQUESTS = 1000
FIRST_ANSWER_S = 120.0
# `--only batch`: not the contestants, but one part of the service with rivals of its own.
PARTS = {
    "batch": batch.measure,
    "stream": stream.measure,
    "fairness": fairness.measure,
    "overload": overload.measure,
}
# `--only singles`: only the contestants.
SINGLES = "singles"
# Fields with medians over the rounds. Errors are summed; other fields are taken from the last round.
MEASURED = ("per_second", "p50_ms", "p99_ms", "cpu_ms", "memory_mb")
# A process with at least this much CPU time after the measurements is profiled.
BUSY_S = 1.0


def main() -> int:
    """Run the benchmarks of the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=3, help="of all contestants in turn; medians count")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--connections", default="1,16,64,256")
    parser.add_argument("--only", default="", help="words; contestants whose name holds one of them")
    parser.add_argument("--no-report", action="store_true", help="leave docs/ alone")
    parser.add_argument("--profile", action="store_true", help="flame graphs of web and worker, at 64")
    given = parser.parse_args()
    _refuse_busy_ports()
    FOLDER.mkdir(parents=True, exist_ok=True)
    words = [word for word in given.only.split(",") if word]
    if parts := [part for part in PARTS if part in words]:
        return _measure_parts(parts, given.no_report)
    complete = not words or words == [SINGLES]
    chosen = [one for one in CONTESTANTS if complete or any(word in one.name for word in words)]
    connections = [int(number) for number in given.connections.split(",")]
    measured: list[Result] = []
    for number in range(given.rounds):
        last = number == given.rounds - 1
        for contestant in chosen:
            numbers = connections if contestant.response_kind == "full" else [64]
            profile = last and (given.profile or (contestant.name == OURS and complete))
            measured += _measure(contestant, numbers, given.seconds, profile=profile)
            (FOLDER / "results.json").write_text(json.dumps(_medians(measured), indent=1))
    if given.no_report or not complete:
        return 0
    if not words:
        _measure_parts(PARTS, no_report=True)
    return report.write(_medians(measured), generator(), given.seconds, given.rounds)


def _medians(measured: Sequence[Result]) -> list[Result]:
    """Return one result for each contestant and number of connections. Medians reduce the machine's noise."""
    rounds: dict[tuple[str, int], list[Result]] = {}
    for result in measured:
        rounds.setdefault((result["name"], result["connections"]), []).append(result)
    return [
        {
            **some[-1],
            **{name: statistics.median(result[name] for result in some) for name in MEASURED},
            "errors": sum(result["errors"] for result in some),
        }
        for some in rounds.values()
    ]


def _measure_parts(parts: Iterable[str], no_report: bool) -> int:
    for part in parts:
        found = PARTS[part](_print_line)
        (FOLDER / f"{part}.json").write_text(json.dumps(found, indent=1))
    if not no_report:
        report.renew_parts()
    return 0


def _refuse_busy_ports() -> None:
    """Exit if a port is busy. Two benchmarks at once would measure each other's servers."""
    for port in (PORT, PORT + 1, PORT + 2, batch.RIVAL_PORT, REDIS_PORT):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(
                    f"Port {port} is busy: another benchmark runs, or one has left something. End it first."
                )


def _measure(
    contestant: Contestant, connections: list[int], seconds: float, *, profile: bool
) -> list[Result]:
    results = []
    log = FOLDER / f"{contestant.name.replace(' ', '-')}.log"
    programs = contestant.programs()
    commands = [shown(program.command) for program in programs]
    with running(programs, URL + contestant.ready, log) as processes:
        _await_first_answer(contestant)
        warm = 0
        while warm < WARM_UP_REQUESTS:  # afterwards all repeated readings are cached
            warm += apply(_load(contestant), 8, WARM_UP_S).requests
            if contestant.mode == "unique":
                break
        for number in connections:
            before = processes.cpu_s()
            outcome = apply(_load(contestant), number, seconds)
            time.sleep(0.5)  # remaining work for the answered requests
            cpu_ms = (processes.cpu_s() - before) / max(1, outcome.requests) * 1000
            found = {"name": contestant.name, "connections": number, **asdict(outcome)}
            found |= {"answer": contestant.response_kind, "commands": commands}
            found |= {"per_second": outcome.per_second, "cpu_ms": cpu_ms, "memory_mb": processes.memory_mb()}
            results.append(found)
            _print_line(
                f"{contestant.name:32} {number:3}: {outcome.per_second:7.0f}/s  p50 {outcome.p50_ms:7.2f} ms "
                f" p99 {outcome.p99_ms:7.2f} ms  errors {outcome.errors}  cpu {cpu_ms:.3f} ms  "
                f"{found['memory_mb']:.0f} MB"
            )
        if profile:
            _profile(contestant, processes)
    return results


def _await_first_answer(contestant: Contestant) -> None:
    """Wait for the first correct response: servers start before their workers."""
    deadline = time.monotonic() + FIRST_ANSWER_S
    while (outcome := apply(_load(contestant), 1, 1)).errors or not outcome.requests:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{contestant.name} gives no answer without error")
    body = one_answer(_load(contestant))
    if not contestant.answers(body):
        raise RuntimeError(f"{contestant.name} answers something else: {body[:500]}")


def _load(contestant: Contestant) -> Load:
    # Repeated readings are equal in all measurements, so all of them are cached.
    word = "R" if contestant.mode == "repeated" else uuid.uuid4().hex[:8]
    return Load(URL + contestant.path, KEY, contestant.mode, word, contestant.protocol)


def _profile(contestant: Contestant, processes: Running) -> None:
    """Write a flame graph (SVG) of each busy process to `build/bench`."""
    spy = Path(venv("tools")).with_name("py-spy")
    recorders = []
    for pid in processes.pids():
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        kind = next((kind for kind in ("granian", "ml.single") if kind in name), None)
        if kind is not None and processes.cpu_s([pid]) > BUSY_S:  # not granian's supervising parent
            to = FOLDER / f"flame-{contestant.name.replace(' ', '-')}-{kind}-{pid}.svg"
            options = ["record", "--duration", "8", "--gil", "-o", str(to), "--pid", str(pid)]
            recorders.append(subprocess.Popen([str(spy), *options], stdout=subprocess.DEVNULL))
    apply(_load(contestant), 64, 10)
    for recorder in recorders:
        recorder.wait()


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
