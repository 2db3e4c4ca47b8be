"""Which jobs a list shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile

from tasks.jobs.job_store import Job, JobKind


def matching(
    newest_first: Iterable[Job],
    *,
    status: str | None,
    kind: JobKind | None,
    created_after: float | None,
    offset: int,
    limit: int,
) -> list[Job]:
    """At most `limit` of these jobs after the first `offset`, of those that are as asked (None: any).

    `created_after` is in epoch seconds; older jobs are not looked at.
    """
    recent = takewhile(lambda job: created_after is None or job.created_at >= created_after, newest_first)
    wanted = (job for job in recent if status in (None, job.status) and kind in (None, job.kind))
    return list(islice(wanted, offset, offset + limit))
