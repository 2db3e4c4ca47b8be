"""`python -m bench.compare REF`: is this working tree slower than an older commit?

    python -m bench.compare REF [--limit 5] [--pairs 12] [--most-pairs 40] [--only WORD,…] [--traces SHARE]

Both services run at the same time, each started like `make run`, from its own checkout with its own packages.
Only one of them is loaded at a time. For each measure a pair consists of four shots in the order old, new,
new, old. The next pair has the order new, old, old, new, so that drift of the machine affects both equally.
Both are restarted every `PAIRS_A_START` pairs.

With `--traces` the new side sends traces of this share of its requests to a receiver of the comparison.

Exit code 0: within the limit; 1: worse, or new failed requests; 2: no comparison (unknown commit, a side that
does not start); 3: undecided after the most pairs. Writes build/bench-compare.json and .md.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import compare_report
from bench.checkouts import Checkout, CheckoutFailed, checkout, described, here
from bench.compare_load import MEASURES, Shot, Target, numbers, warm_up
from bench.compare_side import FOLDER, Side
from bench.compare_verdict import FIGURES, Judgement, exit_code, judge_all, undecided_measures
from tests.otlp_receiver import OtlpReceiver

# Processes vary between starts. Without restarts this would look like a difference of the commits.
# Starting both takes about as long as a pair.
PAIRS_A_START: Final = 3
EXIT_NO_COMPARISON: Final = 2
OLD, NEW = "old", "new"


class Comparison:
    """All pairs so far. `runs[measure]` contains the numbers of both sides for each pair."""

    def __init__(self, limit: float, least: int, most: int, measures: list[str]) -> None:
        self.limit = limit
        self._least, self._most = least, most
        self.runs: dict[str, list[dict[str, dict[str, float]]]] = {measure: [] for measure in measures}
        self.errors = {OLD: 0, NEW: 0}

    def wanted(self) -> list[str]:
        """Return the measures that need another pair."""
        undecided = undecided_measures(self.judgements())
        return [
            measure
            for measure, runs in self.runs.items()
            if len(runs) < self._least or (measure in undecided and len(runs) < self._most)
        ]

    def judgements(self) -> list[Judgement]:
        """Return the current judgement of each figure."""
        ratios = {
            figure: [run[NEW][figure.name] / run[OLD][figure.name] for run in self.runs[figure.measure]]
            for figure in FIGURES
            if figure.measure in self.runs
        }
        return judge_all(ratios, self.limit)

    def add(self, measure: str, old: Target, new: Target) -> None:
        """Add one pair of runs of one measure."""
        shots: dict[str, list[Shot]] = {OLD: [], NEW: []}
        for target in _order(old, new, len(self.runs[measure]) + list(MEASURES).index(measure)):
            shot = MEASURES[measure](target)
            shots[target.name].append(shot)
            self.errors[target.name] += shot.errors
        self.runs[measure].append({name: numbers(some) for name, some in shots.items()})


def main() -> int:
    """Run the comparison of the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare")
    parser.add_argument("ref", help="the commit to compare with")
    parser.add_argument("--limit", type=float, default=5.0, help="percent that this tree may be slower")
    parser.add_argument("--pairs", type=int, default=12, help="of each measure, at least; six are needed")
    parser.add_argument("--most-pairs", type=int, default=40, help="where the interval is too wide")
    parser.add_argument("--only", default="", help="words; measures whose name holds one of them")
    parser.add_argument("--traces", type=float, help="share of requests that the new side traces, like 0.01")
    given = parser.parse_args()
    measures = [name for name in MEASURES if any(word in name for word in given.only.split(","))]
    if not measures:
        parser.error(f"--only: no measure is called so; there are: {'; '.join(MEASURES)}")
    comparison = Comparison(given.limit / 100, given.pairs, max(given.pairs, given.most_pairs), measures)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        old, new = checkout(given.ref), here()
        names = {OLD: described(old), NEW: described(new)}
        _print_line(f"old: {names[OLD]}  new: {names[NEW]}")
        with _receiver(given.traces) as added:
            while comparison.wanted():
                _pairs(comparison, old, new, added)
    except (CheckoutFailed, RuntimeError) as error:
        _print_line(str(error))
        return EXIT_NO_COMPARISON
    except Exception:  # uncaught, it would exit with code 1, which means slower
        traceback.print_exc()
        return EXIT_NO_COMPARISON
    code = exit_code(comparison.judgements(), comparison.errors[OLD], comparison.errors[NEW])
    _print_line(
        compare_report.write(comparison.judgements(), comparison.runs, comparison.errors, names, given.limit)
    )
    return code


@contextmanager
def _receiver(share: float | None) -> Iterator[dict[str, str]]:
    """Run a receiver of traces. Yields the settings of a side that sends it this share, none for None."""
    if share is None:
        yield {}
        return
    with OtlpReceiver() as receiver:
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(share),
        }
        _print_line(f"{len(receiver.spans)} spans were received.")


def _pairs(comparison: Comparison, old: Checkout, new: Checkout, added: dict[str, str]) -> None:
    """Start both sides, the new one with `added` in its environment, and measure some pairs."""
    with ExitStack() as running:
        sides = [
            running.enter_context(Side(OLD, old)),
            running.enter_context(Side(NEW, new, added)),
        ]
        for side in sides:
            side.await_ready()
        targets = [running.enter_context(Target(side)) for side in sides]
        for target in targets:
            warm_up(target, comparison.wanted())
        for _ in range(PAIRS_A_START):
            measures = comparison.wanted()
            if not measures:
                return
            for measure in measures:
                comparison.add(measure, *targets)
            _print_line(compare_report.progress(comparison.judgements()))


def _order(old: Target, new: Target, number: int) -> tuple[Target, ...]:
    return (new, old, old, new) if number % 2 else (old, new, new, old)


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
