"""`python -m batch fleet.csv --out predictions.parquet`: score a file, whatever its size, from a terminal."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from batch.display import Display
from batch.failures import Outages, outage, refusal
from batch.formats import INPUTS, STDIO, input_format, output_format
from batch.memory import MemoryFile, fingerprint
from batch.outcome import Exit, GivenUp, Refused, Unreachable
from batch.run import Run, Wanted
from errors import SettingsInvalid
from evzone_ml_client import (
    InvalidSettings,
    MLClient,
    MLClientError,
    RequestRejected,
    ServiceUnavailable,
    Settings,
)
from evzone_ml_client.formats import RESULTS
from settings import read_client_settings
from settings.checks import is_http_url

KINDS: Final = ("failure", "maintenance", "anomaly", "all")
EPILOG: Final = """\
Exit codes: 0 all rows scored; 1 done, but some rows failed; 2 wrong usage, or refused by the service; 3 the
service was unreachable for longer than --patience; 4 the job failed or was cancelled; 130 interrupted.
A run that ended early is taken up where it was by the same command. The key is ML_SERVICE_API_KEY's.
"""


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command. Blocks until the job ends. Returns the exit code."""
    options = _parser().parse_args(arguments)
    with ExitStack() as held:
        try:
            return _run(options, held)
        except GivenUp as error:
            print(error, file=sys.stderr)
            return error.code
        except (SettingsInvalid, InvalidSettings) as error:
            for problem in error.problems:
                print(f"Wrong setting: {problem}", file=sys.stderr)
            return Exit.REFUSED
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except OSError as error:
            print(f"{error.filename or 'File'}: {error.strerror or error}", file=sys.stderr)
            return Exit.REFUSED


def _run(options: argparse.Namespace, held: ExitStack) -> Exit:
    settings = read_client_settings()
    if settings.api_key is None:
        raise Refused("ML_SERVICE_API_KEY (environment or .env) has no key that may ask for predictions.")
    if options.url is not None and not is_http_url(options.url):
        raise Refused(f"--url: must look like http://host:port, not {options.url}")
    url = (options.url or settings.url).rstrip("/")
    to_stdout = options.out == STDIO
    folder = Path(options.out).parent
    if not to_stdout and not folder.is_dir():
        raise Refused(f"--out {options.out}: there is no folder {folder}.")
    reads = input_format(options.file, options.input_format)
    file = held.enter_context(_standard_input()) if options.file == STDIO else Path(options.file)
    wanted = Wanted(
        file=file,
        input_format=reads,
        kind=options.kind,
        out=None if to_stdout else Path(options.out),
        output_format=output_format(options.out, options.output_format or (to_stdout and "ndjson") or None),
    )
    calls = Settings(
        url=url,
        api_key=settings.api_key,
        tenant=options.tenant or None,
        timeout_s=60.0,
        patience_s=max(0.0, options.patience),
    )
    work = fingerprint(file, url, options.kind, options.tenant or "", reads, wanted.output_format)
    memory = MemoryFile(None if to_stdout else Path(f"{options.out}.job"), work)
    display = held.enter_context(Display())
    outages = Outages(url, options.patience, display.print_line)
    service = held.enter_context(MLClient(calls, on_retry=outages))
    try:
        return Run(wanted, service, memory, display, sys.stdout.buffer)()
    except ServiceUnavailable as error:
        raise Unreachable(f"Given up after {options.patience:g} s: {outage(error, url)}.") from None
    except RequestRejected as error:
        raise refusal(error) from None
    except KeyboardInterrupt:
        _interrupted(calls, memory, display, cancel=options.cancel_on_interrupt)
        return Exit.INTERRUPTED


def _interrupted(calls: Settings, memory: MemoryFile, display: Display, *, cancel: bool) -> None:
    job_id = memory.now.job_id
    if job_id is None:
        display.print_line("Interrupted before there was a job; the same command begins again.")
    elif cancel and _cancelled(calls, job_id):
        memory.forget()
        display.print_line(f"Job {job_id} is cancelled.")
    else:
        display.print_line(
            f"Job {job_id} goes on in the service. The same command takes it up; to cancel it:\n"
            f"  curl -X DELETE -H 'X-API-Key: …' {calls.url}/api/v1/jobs/{job_id}"
        )


def _cancelled(calls: Settings, job_id: str) -> bool:
    """Whether the job was cancelled. One attempt, because the user wants to leave."""
    with MLClient(replace(calls, attempts=1, patience_s=None)) as service:
        try:
            service.cancel_job(job_id)
        except MLClientError:
            return False
    return True


@contextmanager
def _standard_input() -> Iterator[Path]:
    """Copy standard input to a file, so that a broken upload can be repeated."""
    with tempfile.NamedTemporaryFile(prefix="batch-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batch", description=__doc__, epilog=EPILOG)
    inputs = ", ".join(INPUTS)
    parser.add_argument(
        "file", help=f"readings by extension ({inputs}, each also with .gz), or - for standard input"
    )
    parser.add_argument("--out", required=True, help=f"results by extension ({', '.join(RESULTS)}), or -")
    parser.add_argument(
        "--kind", choices=KINDS, default="failure", help="what is asked (default: %(default)s)"
    )
    parser.add_argument("--input-format", metavar="FORMAT", help="for -, or against the extension")
    parser.add_argument("--output-format", metavar="FORMAT", help="the same for the results")
    parser.add_argument("--url", help="the service (default: ML_SERVICE_URL, or http://localhost:PORT)")
    parser.add_argument("--tenant", help="X-Tenant-ID")
    parser.add_argument(
        "--patience",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds without an answer before giving up (default: %(default)g)",
    )
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
