"""Counting and logging answers, the same for Flask's and for those of `web/fast_path.py`."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from prometheus_client import Counter, Histogram

import metrics
from process import ACCESS_LOGGER

log = logging.getLogger(ACCESS_LOGGER)


def count(
    endpoint: str,
    method: str,
    status: int,
    started: float,
    *,
    path: str,
    request_id: str,
    tenant: str | None,
) -> None:
    """Count one answer, and log it where `ACCESS_LOG` is on.

    `started` is `time.perf_counter()` at the request's arrival, `path` has no query.
    """
    answers, seconds = _meters(endpoint, method, status)
    answers.inc()
    took_s = time.perf_counter() - started
    seconds.observe(took_s)
    if log.isEnabledFor(logging.INFO):
        fields = {
            "method": method,
            "path": path,
            "status": int(status),  # problems have an HTTPStatus
            "duration_ms": round(took_s * 1000, 1),
            "request_id": request_id,
            "tenant": tenant,
        }
        log.info("answered", extra=fields)


@lru_cache(maxsize=1024)
def _meters(endpoint: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Counter and histogram with these labels: finding them costs as much as counting."""
    # Labels are bounded, methods that callers make up are not.
    known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
    answers = metrics.HTTP_REQUESTS.labels(endpoint=endpoint, method=known, status=status)
    return answers, metrics.HTTP_SECONDS.labels(endpoint=endpoint)
