"""Command-line options of `evzone-ml batch`."""

from __future__ import annotations

import argparse
from typing import Final, get_args

from evzone_ml_client.calls import JobStatus, Kind
from evzone_ml_client.command.csv_changes import UNITS
from evzone_ml_client.command.formats import INPUTS
from evzone_ml_client.formats import RESULTS

DESCRIPTION: Final = """\
Score a file of readings as a job, and write the results into a file.

Other forms: %(prog)s list | status JOB | cancel JOB (-h explains each). A file with such a name is ./list.
"""
EPILOG: Final = """\
Exit codes: 0 all rows scored; 1 done, but some rows failed; 2 wrong usage, or refused by the service; 3 the
service was unreachable for longer than --patience; 4 the job failed or was cancelled; 130 interrupted;
141 the reader of the output has ended.
The same command resumes a run that ended early. Address and key are ML_SERVICE_URL and ML_SERVICE_API_KEY,
from the environment, or else from the file .env of the current folder.
"""
JOB_COMMANDS: Final = ("list", "status", "cancel")
LISTED_JOBS: Final = 20


def score_parser(prog: str, *, scores: bool = True) -> argparse.ArgumentParser:
    """Parser of the form that scores a file, or checks one if not `scores`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inputs = ", ".join(INPUTS)
    parser.add_argument(
        "file", help=f"readings by extension ({inputs}, each also with .gz), or - for standard input"
    )
    parser.add_argument("--out", required=scores, help=f"results by extension ({', '.join(RESULTS)}), or -")
    parser.add_argument(
        "--kind", choices=get_args(Kind), default="failure", help="what is asked (default: %(default)s)"
    )
    parser.add_argument(
        "--columns",
        metavar="NAME,…",
        help="only these fields of the results (horizons.7d is one of horizons)",
    )
    parser.add_argument(
        "--store",
        action=argparse.BooleanOptionalAction,
        help="put the verdicts into the fleet and the cache (default: only those of .json files)",
    )
    parser.add_argument(
        "--map", action="append", default=[], metavar="OLD=NEW", help="rename a column of a CSV file"
    )
    units = ", ".join(f"{name}={unit}" for name, known in UNITS.items() for unit in known)
    parser.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="FIELD=UNIT",
        help=f"convert a column of a CSV file ({units})",
    )
    parser.add_argument(
        "--semicolons",
        action="store_true",
        help="read a CSV file with semicolons and decimal commas, as Excel writes it in many countries",
    )
    parser.add_argument(
        "--check", action="store_true", help="check the file here, without a service, and score nothing"
    )
    parser.add_argument("--input-format", metavar="FORMAT", help="for -, or against the extension")
    parser.add_argument("--output-format", metavar="FORMAT", help="the same for the results")
    _add_service(parser)
    _add_patience(parser, 300.0)
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job too")
    return parser


def jobs_parser(prog: str) -> argparse.ArgumentParser:
    """Parser of the forms that list, show and cancel jobs."""
    parser = argparse.ArgumentParser(prog=prog, description="List, show and cancel batch jobs.")
    commands = parser.add_subparsers(dest="action", required=True)
    listing = commands.add_parser("list", help="the jobs, newest first")
    listing.add_argument("--status", choices=get_args(JobStatus), help="only those of a status")
    listing.add_argument(
        "--limit", type=int, default=LISTED_JOBS, metavar="N", help="at most so many (default: %(default)d)"
    )
    showing = commands.add_parser("status", help="one job")
    cancelling = commands.add_parser("cancel", help="cancel a job; rows that are done stay readable")
    for command in (showing, cancelling):
        command.add_argument("job", metavar="JOB", help="its id")
    for command in (listing, showing, cancelling):
        command.add_argument("--json", action="store_true", help="print the service's documents, one a line")
        _add_service(command)
        _add_patience(command, 10.0)
    return parser


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the service (default: ML_SERVICE_URL, or http://localhost:PORT)")
    parser.add_argument("--tenant", help="X-Tenant-ID")


def _add_patience(parser: argparse.ArgumentParser, default_s: float) -> None:
    parser.add_argument(
        "--patience",
        type=float,
        default=default_s,
        metavar="S",
        help="seconds without an answer before giving up (default: %(default)g)",
    )
