"""What a person sees while things start: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final

PLAIN_LINE_EVERY_S: Final = 15.0


class LiveLine:
    """A line that is rewritten in place; where output is no terminal, a plain one now and then."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = False
        self._plain_at = time.monotonic()

    def show(self, text: str) -> None:
        """Replace the live line by `text` (cut to the terminal's width by the terminal itself)."""
        if self._live:
            print(f"\r\033[2K\033[?7l{text}\033[?7h", end="", flush=True)
            self._shown = True
        elif time.monotonic() - self._plain_at > PLAIN_LINE_EVERY_S:
            self._plain_at = time.monotonic()
            print_line(text)

    def clear(self) -> None:
        if self._shown:
            print("\r\033[2K", end="", flush=True)
            self._shown = False

    def print_line(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print_line(text)


def print_line(text: str = "") -> None:
    """Print a line at once. Silent when nobody can read it any more: the terminal was closed."""
    try:
        print(text, flush=True)
    except OSError:
        # Python would try again at exit, and complain.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - stays open to the end


def clock() -> str:
    return time.strftime("%H:%M:%S")
