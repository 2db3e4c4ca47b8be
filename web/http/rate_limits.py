"""The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

from collections.abc import Sequence

from errors import LimitState


def limit_headers(limits: Sequence[LimitState]) -> dict[str, str]:
    """The headers that tell a caller about its limits; none without limits.

    Names of limits are in lower case with hyphens, so they need no escape in a structured field.
    """
    if not limits:
        return {}
    return {
        "RateLimit-Policy": ", ".join(map(_policy, limits)),
        "RateLimit": ", ".join(map(_service_limit, limits)),
    }


def _policy(limit: LimitState) -> str:
    unit = ';qu="content-bytes"' if limit.name.endswith("-bytes") else ""
    window = f";w={limit.window_s}" if limit.window_s else ""
    return f'"{limit.name}";q={limit.quota}{unit}{window}'


def _service_limit(limit: LimitState) -> str:
    reset = f";t={limit.reset_s}" if limit.reset_s else ""
    return f'"{limit.name}";r={limit.left}{reset}'
