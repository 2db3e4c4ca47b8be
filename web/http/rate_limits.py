"""The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from errors import LimitState


def limit_headers(limits: Sequence[LimitState]) -> dict[str, str]:
    """The headers that tell a caller about its limits; none without limits.

    Names of limits are in lower case with hyphens, so they need no escape in a structured field.
    """
    if not limits:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            [_policy(name, quota, window_s) for name, quota, _, window_s, _ in limits]
        ),
        "RateLimit": ", ".join([_service_limit(limit) for limit in limits]),
    }


@lru_cache(maxsize=256)  # it is the same for all answers to a caller
def _policy(name: str, quota: int, window_s: int | None) -> str:
    unit = ';qu="content-bytes"' if name.endswith("-bytes") else ""
    window = f";w={window_s}" if window_s else ""
    return f'"{name}";q={quota}{unit}{window}'


def _service_limit(limit: LimitState) -> str:
    reset = f";t={limit.reset_s}" if limit.reset_s else ""
    return f'"{limit.name}";r={limit.left}{reset}'
