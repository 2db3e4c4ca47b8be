# mypy: ignore-errors
"""Plot throughput against p99 as SVG. Runs in the tools' environment, the only one with matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "benchmarks"
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be set first

found = [one for one in json.loads(Path("results.json").read_text()) if one["answer"] == "full"]
figure, axes = plt.subplots(figsize=(10, 5))
for name in dict.fromkeys(result["name"] for result in found):
    own = [result for result in found if result["name"] == name and result["requests"]]
    style = "-" if name.startswith("ours") else "--"
    axes.plot(
        [one["per_second"] for one in own], [one["p99_ms"] for one in own], style, marker="o", label=name
    )
    for one in own:
        point = (one["per_second"], one["p99_ms"])
        axes.annotate(str(one["connections"]), point, (4, 4), textcoords="offset points", fontsize=7)
axes.set_yscale("log")
axes.set_xlabel("requests/s")
axes.set_ylabel("p99, ms")
axes.set_title("Throughput against p99 (numbers: connections)")
axes.grid(alpha=0.3)
axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))  # beside the lines, not on them
figure.tight_layout()
figure.savefig(sys.argv[1], metadata={"Date": None})
