"""Output during a start: one live line on a terminal, otherwise plain lines."""

from __future__ import annotations

import sys
import time
from typing import Final

PLAIN_LINE_EVERY_S: Final = 15.0


class LiveLine:
    """A line that is rewritten in place. Without a terminal, a plain line is printed every 15 s."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = False
        self._plain_at = time.monotonic()

    def show(self, text: str) -> None:
        """Replace the live line by `text`. The terminal cuts it to its width."""
        if self._live:
            print(f"\r\033[2K\033[?7l{text}\033[?7h", end="", flush=True)
            self._shown = True
        elif time.monotonic() - self._plain_at > PLAIN_LINE_EVERY_S:
            self._plain_at = time.monotonic()
            print_line(text)

    def clear(self) -> None:
        """Remove the live line."""
        if self._shown:
            print("\r\033[2K", end="", flush=True)
            self._shown = False

    def print_line(self, text: str) -> None:
        """Print a line that stays visible."""
        self.clear()
        print_line(text)


def print_line(text: str = "") -> None:
    """Print a line at once. Prints nothing after the terminal was closed."""
    try:
        print(text, flush=True)
    except OSError:
        # Otherwise Python would flush again at exit, and report an error.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - stays open to the end


def clock() -> str:
    """Return the local time as HH:MM:SS."""
    return time.strftime("%H:%M:%S")
