"""Requests and responses between the policy of a call and the network.

The policy (`policy.py`) is a generator. It yields exchanges and receives responses or exceptions. It neither
waits nor sends; `MLClient` and `AsyncMLClient` do both, with the same policy (docs/adr/0013).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import httpx

T = TypeVar("T")
SENT_AT_ONCE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. It can be sent repeatedly. A `Path` as `content` is sent in pieces.

    `on_sent` is called after each piece with the bytes sent so far. `streamed` is a media type: a response
    body of this type stays unread in `ApiResponse.stream`.
    """

    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Path | None = None
    on_sent: Callable[[int], None] | None = None
    streamed: str | None = None

    @property
    def large(self) -> bool:
        """Whether a response may arrive before the whole body is sent.

        Socket buffers accept smaller bodies at once.
        """
        return isinstance(self.content, Path) or len(self.content or b"") > SENT_AT_ONCE_BYTES


@dataclass(frozen=True, slots=True)
class Exchange:
    """Wait `pause_s`, then send `request` and receive the response within `timeout_s`.

    May raise `httpx.TransportError`, `httpx.DecodingError`, `TimeoutError`.
    """

    request: Request
    pause_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response with its whole `body`, or with an open `stream` for the caller to close."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes = b""
    stream: httpx.Response | None = None


Flow: TypeAlias = Generator[Exchange, ApiResponse, T]
