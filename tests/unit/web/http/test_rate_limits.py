"""The headers that tell a caller about its limits are structured fields (RFC 9651)."""

from __future__ import annotations

import re

import pytest

from errors import LimitState, RateLimited
from web.http.errors import problem_of
from web.http.rate_limits import limit_headers

ITEM = r'"[a-z-]+"(;[a-z]+=([0-9]+|"[a-z-]+"))+'
LIST = re.compile(rf"{ITEM}(, {ITEM})*")


def test_a_rate_has_its_window() -> None:
    limits = [LimitState("key-readings", 100, 50, 1, 1), LimitState("tenant-readings", 1000, 0, 1, 3)]
    headers = limit_headers(limits)
    assert headers == {
        "RateLimit-Policy": '"key-readings";q=100;w=1, "tenant-readings";q=1000;w=1',
        "RateLimit": '"key-readings";r=50;t=1, "tenant-readings";r=0;t=3',
    }
    assert all(LIST.fullmatch(value) for value in headers.values())


def test_a_limit_of_jobs_has_no_window() -> None:
    limits = [LimitState("tenant-jobs", 5, 0), LimitState("tenant-job-bytes", 10**9, 7)]
    headers = limit_headers(limits)
    assert headers == {
        "RateLimit-Policy": '"tenant-jobs";q=5, "tenant-job-bytes";q=1000000000;qu="content-bytes"',
        "RateLimit": '"tenant-jobs";r=0, "tenant-job-bytes";r=7',
    }
    assert all(LIST.fullmatch(value) for value in headers.values())


def test_a_caller_without_limits_gets_no_headers() -> None:
    assert limit_headers(()) == {}


@pytest.mark.parametrize(("wait_s", "seconds"), [(0.0, "1"), (0.2, "1"), (1.01, "2"), (9.9, "10")])
def test_a_refusal_has_whole_seconds_of_at_least_one(wait_s: float, seconds: str) -> None:
    limits = [LimitState("tenant-readings", 1, 0, 1, 1)]
    problem = problem_of(RateLimited("Over.", limit="tenant-readings", wait_s=wait_s, limits=limits))
    assert (problem.status, problem.code) == (429, "rate_limited")
    assert problem.headers["Retry-After"] == seconds
    assert problem.headers["RateLimit"] == '"tenant-readings";r=0;t=1'
