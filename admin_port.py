"""The admin port of a program: `/health`, `/health/ready` and `/metrics`, for probes and Prometheus.

A thread of its own answers, so neither callers nor tasks can occupy it. There is no key: the port belongs on
loopback or a network for operators (`ADMIN_HOST`).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from metrics import exposition
from settings import SERVICE, VERSION, Settings

log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 9464
# An idle or slow client is disconnected after this time.
CLIENT_TIMEOUT_S: Final = 5.0
MAX_CLIENTS: Final = 32
# A port that is in use may be that of a process of the same program that is ending.
RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a program.

    `ready`: it can do its work now. `healthy`: no part is down. `checks`: state and detail of each part.
    """

    ready: bool
    healthy: bool
    checks: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The JSON document of `/health`."""
        return {
            "status": "healthy" if self.healthy else "degraded",
            "service": SERVICE,
            "version": VERSION,
            "checks": {
                name: {"status": state, "detail": detail} for name, (state, detail) in self.checks.items()
            },
        }


class AdminPort:
    """Answers on `ADMIN_PORT` until the process ends.

    `health` must return at once and be thread-safe. `collector` adds metrics that are computed for a scrape.

    The processes of one web server share a port: one of them has it, the others wait for it.
    """

    def __init__(
        self, settings: Settings, health: Callable[[], Health], collector: Collector | None = None
    ) -> None:
        port = DEFAULT_PORT if settings.admin_port is None else settings.admin_port
        self._address = (settings.admin_host, port)
        self._health = health
        self._collector = collector
        self._stopped = threading.Event()
        self._server: _Server | None = None

    def start(self) -> None:
        """Start the thread. Does nothing if the port is 0."""
        if self._address[1]:
            threading.Thread(target=self._run, name="admin port", daemon=True).start()
            # A forked child must not hold the port when its parent has ended.
            os.register_at_fork(after_in_child=self._close_socket)

    def close(self) -> None:
        """Stop answering. Blocks for half a second at most."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _run(self) -> None:
        said = False
        while not self._stopped.is_set():
            try:
                self._server = _Server(self._address, self._health, self._collector)
            except OSError as error:
                if not said:
                    level = logging.INFO if error.errno == errno.EADDRINUSE else logging.ERROR
                    log.log(level, "admin port %s:%d: %s; trying again", *self._address, error.strerror)
                    said = True
                self._stopped.wait(RETRY_S)
                continue
            log.info("health and metrics on http://%s:%d", *self._address)
            self._server.serve_forever()
            return

    def _close_socket(self) -> None:
        if self._server is not None:
            self._server.socket.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], health: Callable[[], Health], collector: Collector | None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.health = health
        self.collector = collector
        self._capacity = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name, which may block for seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own. Closes the connection if too many clients are connected."""
        if self._capacity.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one client, then free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._capacity.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error of one client. A client that disconnects is none."""
        log.debug("admin port: a client's request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer one of the three paths. An error of a health check or a metric costs this answer only."""
        try:
            self._respond(self.path.partition("?")[0])
        except (ConnectionError, TimeoutError):
            raise  # the client is gone, or reads nothing
        except Exception:
            log.exception("admin port: %s failed", self.path)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _respond(self, path: str) -> None:
        if path == "/metrics":
            registry = exposition.of_program(self.server.collector)
            self._send(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST)
        elif path in ("/health", "/health/ready"):
            health = self.server.health()
            unready = path == "/health/ready" and not health.ready
            status = HTTPStatus.SERVICE_UNAVAILABLE if unready else HTTPStatus.OK
            self._send(status, orjson.dumps(health.document()), "application/json")
        else:
            self.send_error(HTTPStatus.NOT_FOUND, explain="Try /health, /health/ready or /metrics.")

    def version_string(self) -> str:
        """The Server header, without Python's version."""
        return SERVICE

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes come every second."""

    def _send(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
