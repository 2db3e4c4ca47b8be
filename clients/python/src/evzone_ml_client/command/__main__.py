"""Entry point of `evzone-ml`, also as `python -m evzone_ml_client.command`."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Final

# Top-level packages of the extra `command`.
EXTRA: Final = ("dotenv", "rich")


def main() -> int:
    """Run the command. Blocks until it ends. Returns the exit code: 2 if the extra is not installed."""
    try:
        from evzone_ml_client.command.program import main as run
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        sys.stderr.write(
            f"The package {error.name} is missing. Install: pip install 'evzone-ml-client[command]'\n"
        )
        return 2
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does by default
    return run()


if __name__ == "__main__":
    sys.exit(main())
