"""What a person sees while things start: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time


class LiveLine:
    """A line that is rewritten in place; where output is no terminal, only `say` prints."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the live line by `text` (cut to the terminal's width by the terminal itself)."""
        if self._live:
            print(f"\r\033[2K\033[?7l{text}\033[?7h", end="", flush=True)
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            print("\r\033[2K", end="", flush=True)
            self._shown = False

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        say(text)


def say(text: str = "") -> None:
    """Print a line at once. Silent when nobody can read it any more: the terminal was closed."""
    try:
        print(text, flush=True)
    except OSError:
        # Python would try again at exit, and complain.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - stays open to the end


def clock() -> str:
    return time.strftime("%H:%M:%S")
