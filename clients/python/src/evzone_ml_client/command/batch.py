"""`evzone-ml batch`: score a file of any size, check one, or look after jobs."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from evzone_ml_client import (
    InvalidSettings,
    MLClient,
    MLClientError,
    RequestRejected,
    ServiceUnavailable,
    Settings,
)
from evzone_ml_client.command.check import check
from evzone_ml_client.command.connection import ANY_ROLE, MAY_PREDICT, read_settings
from evzone_ml_client.command.csv_changes import Changes, parse_changes, write_changed
from evzone_ml_client.command.display import Display
from evzone_ml_client.command.failures import Outages, outage, refusal
from evzone_ml_client.command.field_names import result_columns
from evzone_ml_client.command.formats import STDIO, input_format, output_format
from evzone_ml_client.command.implausible import warnings_of_start
from evzone_ml_client.command.jobs import run_job_command
from evzone_ml_client.command.memory import MemoryFile, fingerprint
from evzone_ml_client.command.options import JOB_COMMANDS, jobs_parser, score_parser
from evzone_ml_client.command.outcome import Exit, GivenUp, Refused, Unreachable
from evzone_ml_client.command.run import Run, Wanted
from evzone_ml_client.downloads import regular_file

PROG: Final = "evzone-ml batch"


def main(arguments: Sequence[str], *, prog: str = PROG) -> Exit:
    """Run the command under the name `prog`. Blocks until it ends. Returns the exit code."""
    if arguments and arguments[0] in JOB_COMMANDS:
        options = jobs_parser(prog).parse_args(arguments)
        return _explained(lambda _held: _run_job_command(options))
    options = score_parser(prog, scores="--check" not in arguments).parse_args(arguments)
    return _explained(lambda held: _check_or_score(options, held, prog))


def _explained(run: Callable[[ExitStack], Exit]) -> Exit:
    with ExitStack() as held:
        try:
            code = run(held)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # `| head` has enough: no line is owed to anybody
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit flushes it again
            return Exit.READER_GONE
        except GivenUp as error:
            _complain(str(error))
            return error.code
        except InvalidSettings as error:
            for problem in error.problems:
                _complain(f"Wrong setting: {problem}")
            return Exit.REFUSED
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except OSError as error:
            _complain(f"{error.filename or 'File'}: {error.strerror or error}")
            return Exit.REFUSED


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _print_out(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _run_job_command(options: argparse.Namespace) -> Exit:
    roles = MAY_PREDICT if options.action == "cancel" else ANY_ROLE
    settings = read_settings(options.url, options.tenant, options.patience, roles)
    with (
        _failures_explained(settings.url, options.patience),
        MLClient(settings, on_retry=Outages(settings.url, options.patience, _complain)) as service,
    ):
        return run_job_command(options, service, _print_out)


def _check_or_score(options: argparse.Namespace, held: ExitStack, prog: str) -> Exit:
    changes = parse_changes(options.map, options.unit, semicolons=options.semicolons)
    if options.check:
        reads = input_format(options.file, options.input_format)
        file = _input_file(options, held)
        file, reads = _changed(file, reads, changes, held)
        return check(file, reads, _print_out)
    settings = read_settings(options.url, options.tenant, options.patience, MAY_PREDICT)
    to_stdout = options.out == STDIO
    regular = None if to_stdout else _regular_file(options.out, options.file)
    columns = result_columns(options.columns, options.kind) if options.columns is not None else None
    reads = input_format(options.file, options.input_format)
    file = original = _input_file(options, held)
    writes = output_format(options.out, options.output_format or (to_stdout and "ndjson") or None)
    file, sends = _changed(file, reads, changes, held)
    wanted = Wanted(
        file=file,
        input_format=sends,
        kind=options.kind,
        out=None if to_stdout else Path(options.out),
        output_format=writes,
        resumable=regular is not None,
        store=options.store,
        columns=columns,
        original=original,
        original_format=reads,
    )
    parameters = [settings.url, options.kind, options.tenant or "", sends, writes]
    # Only what is asked for enters the fingerprint, so that the runs of an earlier release are resumed.
    parameters += [] if options.store is None else [f"store={options.store}"]
    parameters += [] if columns is None else [f"columns={','.join(columns)}"]
    memory = MemoryFile(
        None if regular is None else regular.with_name(f"{regular.name}.job"), fingerprint(file, *parameters)
    )
    display = held.enter_context(Display())
    service = held.enter_context(
        MLClient(settings, on_retry=Outages(settings.url, options.patience, display.print_line))
    )
    for warning in warnings_of_start(file, sends):
        display.print_line(warning)
    with _failures_explained(settings.url, options.patience):
        try:
            return Run(wanted, service, memory, display, sys.stdout.buffer)()
        except KeyboardInterrupt:
            _interrupted(settings, memory, display, prog, cancel=options.cancel_on_interrupt)
            return Exit.INTERRUPTED


@contextmanager
def _failures_explained(url: str, patience_s: float) -> Iterator[None]:
    """Raise `GivenUp` for errors of the client."""
    try:
        yield
    except ServiceUnavailable as error:
        raise Unreachable(f"Given up after {patience_s:g} s: {outage(error, url)}.") from None
    except RequestRejected as error:
        raise refusal(error) from None


def _regular_file(out: str, file: str) -> Path | None:
    """The regular file that results of `file` go to, or None for a device or pipe. Raises `Refused`."""
    path = Path(out)
    regular = regular_file(path)
    folder = (regular or path).parent
    if not folder.is_dir():
        named = path.parent if not path.is_symlink() else folder
        raise Refused(f"--out {out}: there is no folder {named}.")
    if path.is_dir():
        raise Refused(f"--out {out}: is a folder.")
    if regular is not None and regular == Path(file).resolve():
        raise Refused(f"--out {out}: is the file of readings.")
    return regular


def _input_file(options: argparse.Namespace, held: ExitStack) -> Path:
    """The file of readings. Standard input is copied, so that a broken upload can be repeated."""
    if options.file != STDIO:
        return Path(options.file)
    path = held.enter_context(_temporary_file())
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _changed(file: Path, reads: str, changes: Changes, held: ExitStack) -> tuple[Path, str]:
    """The file and its format after `--map` and `--unit`."""
    if not changes:
        return file, reads
    path = held.enter_context(_temporary_file())
    write_changed(file, reads, changes, path)
    return path, "csv"


@contextmanager
def _temporary_file() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="batch-") as file:
        yield Path(file.name)


def _interrupted(
    settings: Settings, memory: MemoryFile, display: Display, prog: str, *, cancel: bool
) -> None:
    job_id = memory.now.job_id
    if job_id is None:
        display.print_line("Interrupted before there was a job; the same command begins again.")
    elif cancel and _cancelled(settings, job_id):
        memory.forget()
        display.print_line(f"Job {job_id} is cancelled.")
    else:
        tenant = "" if settings.tenant is None else f" --tenant {settings.tenant}"
        display.print_line(
            f"Job {job_id} goes on in the service. The same command takes it up; to cancel it:\n"
            f"  {prog} cancel {job_id} --url {settings.url}{tenant}"
        )


def _cancelled(settings: Settings, job_id: str) -> bool:
    """Whether the job was cancelled. One attempt, because the user wants to leave."""
    with MLClient(replace(settings, attempts=1, patience_s=None)) as service:
        try:
            service.cancel_job(job_id)
        except MLClientError:
            return False
    return True
