"""`evzone-ml`: the commands by name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evzone_ml_client.command import batch
from evzone_ml_client.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the process's) name. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evzone-ml", description="Commands of the EVzone ML Service.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=("batch",), help="batch: score a file, or look after jobs")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the command; -h explains them")
    options = parser.parse_args(arguments)
    return batch.main(options.arguments)
