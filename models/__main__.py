"""`python -m models`: simulate a fleet, train on a history, score one, and keep versions.

python -m models simulate --chargers 600 --days 365 --seed 1 --out fleet
python -m models train --history fleet --activate
python -m models list
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from errors import ServiceError
from models.commands import (
    run_activate,
    run_evaluate,
    run_list,
    run_robustness,
    run_rollback,
    run_score,
    run_sessions,
    run_shadow,
    run_show,
    run_simulate,
    run_train,
    run_verify,
)
from settings import model_folder

# Spinning OpenMP threads triple the training time on a busy machine. Measured with 50 trees on 100,000 rows
# and two busy cores: 18 s spinning, 6.5 s passive. OpenMP reads the variable when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHIPPED = "simulated-3"  # the version that others begin from
# Exit statuses besides 0 and 1.
REFUSED = 2  # wrong usage, or refused: nothing was written
INTERRUPTED = 130  # the usual exit code after Ctrl-C
REFUSED_CODES = frozenset({"wrong_usage", "too_little_history", "in_sample", "bad_history", "no_readings"})

VERSIONS_HELP = "where versions are kept (default: the setting MODEL_DIR)"
HISTORY_HELP = """files of a history, each .parquet or .csv:
  readings     charger_id, timestamp; where there are any: connector_status, energy_delivered (kWh),
               power (kW), temperature (C), error_codes (a list, or text separated by ';'),
               uptime_hours, total_sessions, last_maintenance
  failures     charger_id, timestamp of the onset; optional component, cause
  maintenance  charger_id, timestamp; optional component, kind ('corrective' ends a failure).
               The file itself may be absent.
Times are ISO 8601 (no offset: UTC) or epoch seconds. A column that is nowhere is missing throughout.
Horizons that the history is too short for are carried from the longest that it can teach; where it can teach
none, the exit status is 2."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status. Expected errors print one line to stderr.

    Errors of files return 2, as wrong usage does, and Ctrl-C returns 130.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except (ServiceError, ValueError) as error:
        print(f"models {chosen.command}: {error}", file=sys.stderr)
        return REFUSED if getattr(error, "code", "") in REFUSED_CODES else 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"models {chosen.command}: {where}{error.strerror or error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print(f"models {chosen.command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    versions = model_folder()
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)

    simulate = commands.add_parser("simulate", help="write a simulated fleet's history")
    simulate.add_argument("--chargers", type=_count, default=1500)
    simulate.add_argument("--days", type=_count, default=365)
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument("--out", type=Path, required=True)
    simulate.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    simulate.set_defaults(run=run_simulate)

    train = commands.add_parser(
        "train",
        help="train versions on a history",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=HISTORY_HELP,
    )
    train.add_argument("--history", type=Path, required=True, help="folder with the files below")
    train.add_argument("--model", choices=("failure", "anomaly", "all"), default="all")
    train.add_argument("--until", type=_moment, help="nothing later is seen (ISO 8601)")
    train.add_argument(
        "--map",
        action="append",
        default=[],
        type=_mapping,
        metavar="FIELD=COLUMN[,COLUMN]",
        help="a field that stands under another name; several columns of numbers may count error_codes",
    )
    train.add_argument("--version", help="name of the version (default: the time of day)")
    train.add_argument(
        "--from-version",
        default=SHIPPED,
        metavar="VERSION",
        help=f"a failure version that fleets of few failures begin from (default: {SHIPPED}); or none",
    )
    train.add_argument("--seed", type=int, default=0, help="of the sample and the trees")
    train.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
    train.add_argument("--activate", action="store_true", help="make it the active version")
    train.set_defaults(run=run_train)

    score = commands.add_parser("score", help="score a window of a history with what was known then")
    score.add_argument("--history", type=Path, required=True)
    score.add_argument("--from", dest="since", type=_moment, required=True)
    score.add_argument("--to", type=_moment, required=True)
    score.add_argument("--out", type=Path, required=True)
    score.add_argument("--map", action="append", default=[], type=_mapping, metavar="FIELD=COLUMN[,COLUMN]")
    score.add_argument("--version", help="default: the active one")
    score.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
    score.set_defaults(run=run_score)

    evaluate = commands.add_parser("evaluate", help="write a report of a version on a window of a history")
    evaluate.add_argument("--history", type=Path, help="default: a fresh simulated fleet")
    evaluate.add_argument("--from", dest="since", type=_moment, help="default: the last third begins")
    evaluate.add_argument(
        "--to", type=_moment, help="the last reading judged; failures after it count (default: the newest)"
    )
    evaluate.add_argument(
        "--baseline", type=Path, metavar="SCORES", help="scores of another version, as `score` writes them"
    )
    evaluate.add_argument("--chargers", type=_count, default=2000, help="of the simulated fleet")
    evaluate.add_argument(
        "--seed",
        type=int,
        default=101,
        help="of the simulated fleets; five are judged by cost, from this one on",
    )
    evaluate.add_argument(
        "--map", action="append", default=[], type=_mapping, metavar="FIELD=COLUMN[,COLUMN]"
    )
    evaluate.add_argument("--version", help="default: the active one")
    evaluate.add_argument(
        "--in-sample", action="store_true", help="allow a window that the version was trained on"
    )
    evaluate.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
    evaluate.add_argument("--out", type=Path, required=True)
    evaluate.set_defaults(run=run_evaluate)

    robust = commands.add_parser("robustness", help="judge on other fleets and in other simulated worlds")
    robust.add_argument("--seeds", type=_numbers, default=[102, 103, 104], metavar="SEED,…")
    robust.add_argument("--worlds", type=_numbers, default=[1, 2, 3, 4], metavar="SEED,…")
    robust.add_argument("--chargers", type=_count, default=2000)
    robust.add_argument("--version", help="default: the active one")
    robust.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
    robust.set_defaults(run=run_robustness)

    sessions = commands.add_parser("sessions", help="turn a log of charging sessions into a history")
    sessions.add_argument("--sessions", type=Path, required=True)
    sessions.add_argument("--outages", type=Path, required=True)
    sessions.add_argument("--out", type=Path, required=True)
    sessions.set_defaults(run=run_sessions)

    for name, text, run in (
        ("list", "list versions", run_list),
        ("show", "print a manifest", run_show),
        ("verify", "check checksums and reference predictions", run_verify),
        ("activate", "make a version the active one", run_activate),
        ("rollback", "make the version before active again; again: one further back", run_rollback),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
        if name != "list":
            command.add_argument("model", choices=("failure", "anomaly"))
        if name in ("show", "verify", "activate"):
            command.add_argument("version", nargs=None if name == "activate" else "?")
        command.set_defaults(run=run)

    shadow = commands.add_parser("shadow", help="have a version score beside the active one, not answering")
    shadow.add_argument("--model-dir", type=Path, default=versions, help=VERSIONS_HELP)
    shadow.add_argument("model", choices=("failure", "anomaly"))
    wanted = shadow.add_mutually_exclusive_group(required=True)
    wanted.add_argument("version", nargs="?")
    wanted.add_argument("--clear", action="store_true", help="have none any more")
    shadow.set_defaults(run=run_shadow)
    return parser


def _count(text: str) -> int:
    # For other errors argparse shows the function's name.
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",") if number]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers, like 1,2,3, not {text!r}") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter for the first and the last hours of all years
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 date or time") from None


def _mapping(text: str) -> tuple[str, list[str]]:
    field, equals, columns = text.partition("=")
    if not equals or not field or not columns:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=COLUMN")
    return field, columns.split(",")


if __name__ == "__main__":
    raise SystemExit(main())
