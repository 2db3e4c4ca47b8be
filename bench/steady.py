"""`python -m bench.steady URL KEY`: single predictions at a fixed rate (an open loop).

Requests are sent on time even if earlier ones are unanswered. A latency counts from the time at which its
request was due, so that a stalled server is not favoured. Runs until SIGTERM or SIGINT, then prints `[[due,
latency_ms, status], …]` (epoch seconds; status 0 without a response). Uses asyncio's plain streams, because a
generator that needs 10 % of a core would disturb the measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from bench.load import Load, body_of

TIMEOUT_S: Final = 10.0

Sample = tuple[float, float, int]


class Source:
    """Sends requests over as many connections as needed."""

    def __init__(self, load: Load) -> None:
        self._load = load
        address = urlsplit(load.url)
        self._host, self._port, self._path = address.hostname or "", address.port or 80, address.path
        self._tenant = f"X-Tenant-ID: {load.tenant}\r\n" if load.tenant else ""
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._count = 0
        self.samples: list[Sample] = []

    async def send(self, due: float) -> None:
        """Send one request and store its sample."""
        self._count += 1
        status = 0
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._post(json.dumps(body_of(self._load, 0, self._count)).encode())
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            status = 0
        self.samples.append((due, (time.time() - due) * 1000, status))

    async def _post(self, body: bytes) -> int:
        reader, writer = await self._connection()
        writer.write(
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nX-API-Key: {self._load.key}\r\n"
            f"{self._tenant}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()  # the server may close idle connections
        return await asyncio.open_connection(self._host, self._port)


async def steady(load: Load, rate: float) -> list[Sample]:
    """Send `rate` requests per second until SIGTERM or SIGINT. Returns the samples."""
    source = Source(load)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    under_way: set[asyncio.Task[None]] = set()
    due = time.time()
    while not over.is_set():
        due += 1 / rate
        if (wait_s := due - time.time()) > 0:
            await asyncio.sleep(wait_s)
        task = asyncio.create_task(source.send(due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return source.samples


def summary(samples: Sequence[Sample], start: float, end: float) -> dict[str, Any]:
    """Summarise requests due from `start` to `end`: `requests`, `errors` by status, percentiles in ms."""
    some = [(latency_ms, status) for due, latency_ms, status in samples if start <= due < end]
    latencies = [latency_ms for latency_ms, _ in some]
    cuts = statistics.quantiles(latencies, n=100) if len(some) > 1 else [float("nan")] * 99
    errors = Counter(str(status) for _, status in some if status != 200)
    found = {"requests": len(some), "errors": dict(errors), "seconds": end - start}
    return found | {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98]}


def main() -> None:
    """Run with the arguments of the command line and print the samples."""
    parser = argparse.ArgumentParser(prog="python -m bench.steady")
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--tenant")
    given = parser.parse_args()
    load = Load(given.url, given.key, "unique", uuid.uuid4().hex[:8], tenant=given.tenant)
    json.dump(asyncio.run(steady(load, given.rate)), sys.stdout)


if __name__ == "__main__":
    main()
