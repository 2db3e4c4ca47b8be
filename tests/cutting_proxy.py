"""A TCP proxy that cuts connections after so many bytes, as bad networks do."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
PIECE_BYTES = 16_384


class CuttingProxy:
    """Passes on to `target`, a URL. `up_bytes`, `down_bytes`: what a connection may carry, None: any."""

    def __init__(self, target: str) -> None:
        self._target = (LOOPBACK, urlsplit(target).port)
        self._predictor = socket.create_server((LOOPBACK, 0))
        self.url = f"http://{LOOPBACK}:{self._predictor.getsockname()[1]}"
        self.up_bytes: int | None = None
        self.down_bytes: int | None = None
        self.cuts = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._predictor.shutdown(socket.SHUT_RDWR)
        self._predictor.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._predictor.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink, most in ((client, server, self.up_bytes), (server, client, self.down_bytes)):
                threading.Thread(target=self._pass_on, args=(source, sink, most), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                passed += len(piece)
                if most is not None and passed > most:
                    self.cuts += 1
                    break
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                # At once, without the polite goodbye.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()
