"""The flood of one tenant: whole requests, each with a reading of its own, over few connections."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.flood import Flood
from bench.load import Load

CONNECTIONS = 3
ENOUGH = 50


def test_a_flood_sends_whole_requests_over_few_connections() -> None:
    asked: list[tuple[str | None, str]] = []
    clients: set[tuple[str, int]] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body["charger_id"] == body["metrics"]["charger_id"]
            asked.append((self.headers["X-Tenant-ID"], body["charger_id"]))
            clients.add(self.client_address)
            if len(asked) >= ENOUGH:
                flood.stop()
            status = 503 if len(asked) % 2 else 200
            self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/predictions"
        flood = Flood(Load(url, "key", "unique", "w", tenant="a"), CONNECTIONS)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        counts = flood.run(10_000)
        server.shutdown()
    assert len(clients) <= CONNECTIONS
    assert {tenant for tenant, _ in asked} == {"a"}
    assert len({charger for _, charger in asked}) == len(asked) >= ENOUGH
    assert counts["sent"] >= len(asked)
    assert counts["due"] > counts["sent"]
    assert set(counts["statuses"]) == {200, 503}
