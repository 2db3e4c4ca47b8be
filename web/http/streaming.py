"""Answers that are sent as they are made.

A view that streams holds a thread for as long as its client listens, so that it must learn at once when the
client has gone (`web/http/connection.py`). A stream that cannot go on is cut, which a client notices, and
never ended as if it were complete.
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

# Between thread and client lie ten of these at most.
PIECE_BYTES: Final = 131_072
IN_MEMORY_BYTES: Final = 1_000_000


class StreamBroken(Exception):
    """Raised where a stream cannot go on, with the reason."""


def receiving(request: Request) -> AbstractContextManager[object]:
    """Around the reading of a body: a place among those who wait, unless it has come already.

    Raises `QueueFull` on entry.
    """
    return nullcontext() if connection_of(request.environ).body_is_here else services().waiting_threads


def check_length(request: Request) -> None:
    """For bodies of which half looks whole. Raises werkzeug's 411 where the server would not tell."""
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
    """An answer in parts, each sent when it is made; making one may raise `StreamBroken` and `RedisError`.

    Takes one of the places for those who wait, and one of `within`. What goes wrong before the first part is
    raised here, so that it can still become a problem document; `QueueFull` too. Half of what does not show
    its end looks complete: where the server cannot cut it, it is made before it is sent.
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
