"""List, show and cancel jobs: `evzone-ml batch list`, `status` and `cancel`."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from evzone_ml_client import MLClient, NotFound
from evzone_ml_client.command.display import scored
from evzone_ml_client.command.outcome import Exit, Refused
from evzone_ml_client.schemas import Job


def run_job_command(options: argparse.Namespace, service: MLClient, print_out: Callable[[str], None]) -> Exit:
    """Carry out a command about jobs. Blocks for the service. Raises `Refused` for an unknown job."""
    shown = _as_json if options.json else _as_text
    if options.action == "list":
        jobs = service.list_jobs(status=options.status)
        shown_line = _as_json if options.json else _as_line
        for job in itertools.islice(jobs, max(0, options.limit)):
            print_out(shown_line(job))
        return Exit.SCORED
    call = service.cancel_job if options.action == "cancel" else service.get_job
    try:
        print_out(shown(call(options.job)))
    except NotFound:
        raise Refused(f"The service does not know job {options.job}, or no longer.") from None
    return Exit.SCORED


def _as_json(job: Job) -> str:
    return json.dumps(job, ensure_ascii=False)


def _as_line(job: Job) -> str:
    failed = f", {job['failed']:,} failed" if job["failed"] else ""
    return (
        f"{job['job_id']}  {job['created_at']}  {job['kind']:<11}  {job['status']:<9}  {scored(job)}{failed}"
    )


def _as_text(job: Job) -> str:
    """Every field of a job on a line of its own, whatever fields the service adds."""
    return "\n".join(_lines(job))


def _lines(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in document.items():
        if name == "errors":
            lines += [
                f"  row {error['row']}, {error['pointer'].lstrip('/') or 'the row'}: {error['detail']}"
                for error in value
            ]
        elif value is not None and value != []:
            lines.append(f"{name}: {value}")
    return lines
