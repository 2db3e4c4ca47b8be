"""Streamed responses: each part is sent as soon as it is produced.

A streaming view occupies a thread until its client disconnects, so disconnects must be detected at once
(`web/http/connection.py`). A stream that fails midway is aborted, which the client can detect. It never ends
as if it were complete.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from typing import IO, Final

from redis import RedisError
from werkzeug.exceptions import LengthRequired

from web.http.connection import Connection, connection_of
from web.http.messages import Request, Response, current_request
from web.http.services import Capacity, services

log = logging.getLogger(__name__)

# At most ten pieces are buffered between the thread and the client.
PIECE_BYTES: Final = 131_072
IN_MEMORY_BYTES: Final = 1_000_000


class StreamBroken(Exception):
    """Raised if a stream cannot continue, with the reason."""


def receiving(request: Request) -> AbstractContextManager[object]:
    """A context for reading a body. Takes one of `waiting_threads`, unless the body is already received.

    Raises `QueueFull` on entry.
    """
    return nullcontext() if connection_of(request.environ).body_is_here else services().waiting_threads


def check_length(request: Request) -> None:
    """Check that a truncated body would be detected. Raises werkzeug's 411 if not.

    For formats in which half a body is valid too.
    """
    if request.content_length is None and not connection_of(request.environ).tells_cut_bodies:
        raise LengthRequired(
            "Send Content-Length: without it, half of this body cannot be told from the whole."
        )


def stream(
    make: Callable[[Connection], Iterator[bytes]],
    *,
    content_type: str,
    headers: Mapping[str, str],
    within: Capacity | None = None,
    shows_its_end: bool = True,
) -> Response:
    """A response in parts, each sent when `make` produces it. Blocks until the first part is ready.

    Takes one of `waiting_threads` and one of `within` until the response is closed. `StreamBroken` or
    `RedisError` while a part is produced aborts the response. Half of a format without an end marker (not
    `shows_its_end`) looks complete. On servers that cannot abort, it is produced in full before it is sent.

    Raises `QueueFull`, and any error before the first part, which can still become a problem document.
    """
    request = current_request()
    if request.method == "HEAD":
        response = Response((), content_type=content_type, headers=headers)
        response.automatically_set_content_length = False
        return response
    connection = connection_of(request.environ)
    coming = make(connection)
    with ExitStack() as held:
        held.enter_context(services().waiting_threads)
        if within is not None:
            held.enter_context(within)
        if shows_its_end or connection.can_cut:
            first = next(coming, b"")
            connection.listen()
            body, size = _sent(connection, first, coming), {}
        else:
            file = held.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES))
            file.writelines(coming)
            body, size = _read(file), {"Content-Length": str(file.tell())}
        response = Response(body, content_type=content_type, headers={**headers, **size})
        response.call_on_close(held.pop_all().close)
    return response


def _sent(connection: Connection, first: bytes, coming: Iterator[bytes]) -> Iterator[bytes]:
    try:
        for part in chain([first], coming):
            for start in range(0, len(part), PIECE_BYTES):
                if connection.over():
                    return
                yield part[start : start + PIECE_BYTES]
    except (StreamBroken, RedisError) as error:
        log.warning("a stream is cut: %s", error)
        connection.cut()
    except Exception:
        log.exception("a stream is cut")
        connection.cut()


def _read(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        yield piece
