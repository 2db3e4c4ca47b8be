"""What lies between the policy of a call and the network: a request to make, and the answer to it.

The policy (`policy.py`) is a generator that yields exchanges and is sent answers, or thrown what went wrong.
It neither waits nor sends, so that one policy serves `MLClient` and `AsyncMLClient`, which do both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import httpx

T = TypeVar("T")
SENT_AT_ONCE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as often as it is made. A `Path` as `content` is sent piece by piece.

    `on_sent` is called with the number of bytes of a file that have been sent, after each piece of it.
    `streamed` is the media type of a body that is not read, but left to the caller in `ApiResponse.stream`.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Path | None = None
    on_sent: Callable[[int], None] | None = None
    streamed: str | None = None

    @property
    def large(self) -> bool:
        """Whether it may be answered before all of it is sent. What is smaller, sockets take at once."""
        return isinstance(self.content, Path) or len(self.content or b"") > SENT_AT_ONCE_BYTES


@dataclass(frozen=True, slots=True)
class Exchange:
    """Wait `pause_s`, then make `request`, and have the answer within `timeout_s` or raise.

    What may be raised: `httpx.TransportError`, `httpx.DecodingError`, `TimeoutError`.
    """

    request: Request
    pause_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ApiResponse:
    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes = b""
    stream: httpx.Response | None = None


Flow: TypeAlias = Generator[Exchange, ApiResponse, T]
