"""Counting answers, the same for Flask's and for those of `web/fast_path.py`."""

from __future__ import annotations

import time
from functools import lru_cache

from prometheus_client import Counter, Histogram

import metrics


def count(endpoint: str, method: str, status: int, started: float) -> None:
    """One answer; `started` is `time.perf_counter()` at the request's arrival."""
    answers, seconds = _meters(endpoint, method, status)
    answers.inc()
    seconds.observe(time.perf_counter() - started)


@lru_cache(maxsize=1024)
def _meters(endpoint: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Counter and histogram with these labels: finding them costs as much as counting."""
    # Labels are bounded, methods that callers make up are not.
    known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
    answers = metrics.HTTP_REQUESTS.labels(endpoint=endpoint, method=known, status=status)
    return answers, metrics.HTTP_SECONDS.labels(endpoint=endpoint)
