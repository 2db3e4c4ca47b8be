"""`python -m bench.flood URL KEY TENANT RATE`: one tenant's single predictions at a rate above the capacity.

An open loop as in `bench/steady.py`, but over a bounded number of connections, as of a backend's pool. A
request that is due while all connections wait for a response is counted, and not sent. Uses bare sockets,
because asyncio's streams cannot send so many. Runs until SIGTERM or SIGINT, then prints
`{due, sent, seconds, cpu_s, statuses}` (status 0: the connection failed).
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import sys
import time
import uuid
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

from bench.load import Load, body_of

CONNECTIONS: Final = 512
# Length of a round. Requests that are due within it are sent together.
ROUND_S: Final = 0.002
MOST_BYTES: Final = 65_536


class Flood:
    """Requests of one tenant, each with a reading of its own. Use it in one thread."""

    def __init__(self, load: Load, connections: int) -> None:
        address = urlsplit(load.url)
        self._address = (address.hostname or "", address.port or 80)
        self._most = connections
        word = f"{load.word}-{0:010d}"
        body = json.dumps(body_of(load, 0, 0))
        # The charger's id is in the body twice. Only these digits change from request to request.
        old = f"{load.word}-0-0"
        self._parts = [part.encode() for part in body.replace(old, word).split(word)]
        self._word = load.word.encode()
        length = len(body.replace(old, word))
        self._head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {self._address[0]}\r\nX-API-Key: {load.key}\r\n"
            f"X-Tenant-ID: {load.tenant}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()
        self._poller = select.epoll()
        self._busy: dict[int, socket.socket] = {}
        self._idle: list[socket.socket] = []
        self._over = False
        self.sent = 0
        self.statuses: Counter[int] = Counter()

    def stop(self) -> None:
        """End `run` soon."""
        self._over = True

    def run(self, rate: float) -> dict[str, Any]:
        """Send `rate` requests a second until `stop`, and close the connections. Returns the counts."""
        started, due = time.monotonic(), 0
        while not self._over:
            now_due = int((time.monotonic() - started) * rate)
            for _ in range(min(now_due - due, self._most)):
                if not self._send():
                    break
            due = now_due
            self._receive()
        for connection in (*self._busy.values(), *self._idle):
            connection.close()
        self._poller.close()
        counts = {"due": due, "sent": self.sent, "statuses": dict(self.statuses)}
        return counts | {"seconds": time.monotonic() - started, "cpu_s": time.process_time()}

    def _send(self) -> bool:
        """Send the next request. False if no connection is free."""
        if self._idle:
            connection = self._idle.pop()
        elif len(self._busy) < self._most:
            try:
                connection = socket.create_connection(self._address, timeout=1)
            except OSError:
                self.statuses[0] += 1
                return False
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self._poller.register(connection, select.EPOLLIN)
        else:
            return False
        self.sent += 1
        name = b"%b-%010d" % (self._word, self.sent)
        try:
            connection.send(self._head + name.join(self._parts))
        except OSError:
            self._fail(connection)
        else:
            self._busy[connection.fileno()] = connection
        return True

    def _receive(self) -> None:
        """Read responses until the next round. A response is read as a whole: they are of some 2 kB."""
        until = time.monotonic() + ROUND_S
        while (left_s := until - time.monotonic()) > 0:
            for number, _ in self._poller.poll(left_s):
                connection = self._busy.pop(number, None)
                if connection is None:  # closed by the server while it was idle
                    continue
                try:
                    status = int(connection.recv(MOST_BYTES)[9:12])
                except (OSError, ValueError):
                    self._fail(connection)
                else:
                    self.statuses[status] += 1
                    self._idle.append(connection)

    def _fail(self, connection: socket.socket) -> None:
        self.statuses[0] += 1
        self._poller.unregister(connection)
        connection.close()


def main() -> None:
    """Run with the arguments of the command line and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood")
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("tenant")
    parser.add_argument("rate", type=float, help="requests a second")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    given = parser.parse_args()
    load = Load(given.url, given.key, "unique", uuid.uuid4().hex[:8], tenant=given.tenant)
    flood = Flood(load, given.connections)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: flood.stop())
    json.dump(flood.run(given.rate), sys.stdout)


if __name__ == "__main__":
    main()
