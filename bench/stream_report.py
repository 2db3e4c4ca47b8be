"""The section of `docs/benchmarks.md` about the stream."""

from __future__ import annotations

from typing import Any, Final

HEADING: Final = "## The stream"
OURS, LIMIT, BARE = "ours", "limit", "bare-limit"
SHOWN: Final = {
    OURS: "ours, exactly once: failure and anomaly, cache, history, alerts",
    "plain, ONNX": "one record, one prediction in process (ONNX), auto-commit",
    "plain, scikit-learn": "the same with scikit-learn",
    BARE: "no scoring at all: consume, write 1.7 kB, one transaction for each poll; kafka-python by itself",
    LIMIT: "the same with checksums in C (`crc32c`), as the service has them",
}

Found = dict[str, Any]


def section(found: Found) -> list[str]:
    """Return the lines of the section, heading first."""
    throughput = found["throughput"]
    return [
        HEADING,
        "",
        '`make bench` measures it too; `make bench BENCH="--only stream"` measures nothing else.',
        "",
        "| | aim | this run |",
        "|---|---|---|",
        *(f"| {text} | {aim} | {value} |" for text, aim, value in _aims(throughput)),
        "",
        f"Apache Kafka {found['kafka']}, one node on the same machine, six partitions, readings of 200 bytes",
        "that wait on the topic, about one in a hundred of them an anomaly. Counted is what a `read_committed`",
        "reader has seen; it, the broker and Redis share the processors with what is measured. CPU is that of the",
        "contestant's own processes.",
        "",
        "| | readings/s | CPU µs a reading |",
        "|---|---:|---:|",
        *(
            f"| {text} | {throughput[name]['per_s']:,.0f} | {throughput[name]['cpu_us']:,.0f} |"
            for name, text in SHOWN.items()
        ),
        "",
        "Ours makes two predictions for each reading, with its history, and keeps both in cache and fleet store;",
        "scoring alone (`python -m bench.scoring`) costs about what the limit does in all.",
        "",
        "From the producer's call to the committed prediction:",
        "",
        "| readings/s | p50 ms | p99 ms |",
        "|---:|---:|---:|",
        *(
            f"| {rate} | {each['p50_ms']:.0f} | {each['p99_ms']:.0f} |"
            for rate, each in found["latency"].items()
        ),
        "",
    ]


def _aims(throughput: Found) -> list[tuple[str, str, str]]:
    ours = throughput[OURS]["per_s"]
    return [
        (f"ours / {text}", aim, f"{ours / throughput[name]['per_s']:.2f}")
        for name, text, aim in (
            (BARE, "the limit of kafka-python by itself", "> 0.7"),
            (LIMIT, "the limit with checksums in C (docs/adr/0010: out of reach on two cores)", "> 0.7"),
            ("plain, ONNX", "plain, ONNX", "> 1"),
            ("plain, scikit-learn", "plain, scikit-learn", "> 1"),
        )
    ]
