"""HTTP exchanges over blocking sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import IO, Final

import httpx

from evzone_ml_client.events import SILENT_S
from evzone_ml_client.exchange import ApiResponse, Exchange
from evzone_ml_client.settings import Settings
from evzone_ml_client.transport import client_options, is_stream, read_timeout, request_options

PIECE_BYTES: Final = 262_144


class BlockingTransport:
    """Make exchanges over a connection pool. Safe for any number of threads."""

    def __init__(self, settings: Settings) -> None:
        self._http = httpx.Client(**client_options(settings))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def exchanged(self, exchange: Exchange) -> ApiResponse:
        """Wait `exchange.pause_s`, send the request and return the response. Blocks for both.

        Checks the deadline between the pieces of a body, because httpx limits each piece and not the whole.
        Raises `TimeoutError`, `httpx.TransportError`, `httpx.DecodingError`.
        """
        time.sleep(exchange.pause_s)
        until = time.monotonic() + exchange.timeout_s
        request, content = exchange.request, exchange.request.content
        with content.open("rb") if isinstance(content, Path) else nullcontext(content) as opened:
            body = opened if opened is None or isinstance(opened, bytes) else _pieces(opened, request.on_sent)
            asked = self._http.build_request(**request_options(request, exchange.timeout_s), content=body)
            response = self._http.send(asked, stream=True)
        if is_stream(response, request.streamed):
            read_timeout(response, SILENT_S)
            return ApiResponse(response.url, response.status_code, response.headers, stream=response)
        with closing(response):
            received = bytearray()
            read_timeout(response, until - time.monotonic())
            for piece in response.iter_bytes():
                received += piece
                if time.monotonic() > until:
                    raise TimeoutError
            return ApiResponse(response.url, response.status_code, response.headers, bytes(received))


def _pieces(file: IO[bytes], on_sent: Callable[[int], None] | None) -> Iterator[bytes]:
    sent = 0
    while piece := file.read(PIECE_BYTES):
        yield piece
        sent += len(piece)
        if on_sent is not None:
            on_sent(sent)
