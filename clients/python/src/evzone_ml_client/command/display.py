"""Progress display on standard error: a bar on a terminal, otherwise plain lines every few seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evzone_ml_client.schemas import Job

PLAIN_LINE_EVERY_S: Final = 5.0


class Display:
    """Shows one stage at a time. Call `stage`, then `show` for each advance."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
            self._bars = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._bar: TaskID | None = None
        self._name = ""
        self._note = ""
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def print_line(self, text: str) -> None:
        """Print a line that stays visible."""
        self._console.print(text, markup=False)

    def stage(self, name: str) -> None:
        """Start a new stage."""
        self._name = name
        self._shown_at = 0.0
        if self._bars is not None:
            self._bar = self._bars.add_task(name, total=None, note="")

    def show(self, done: int, total: int, note: str) -> None:
        """Show `done` of `total` of this stage, with `note` as text."""
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, note=note)
        elif note != self._note and (
            done == total or time.monotonic() - self._shown_at >= PLAIN_LINE_EVERY_S
        ):
            self._note, self._shown_at = note, time.monotonic()
            self.print_line(f"{self._name}: {note}")


def sizes(done: int, total: int) -> str:
    """Format two byte counts as text."""
    return f"{decimal(done)} of {decimal(total)}"


def rows(done: int, total: int) -> str:
    """Format two row counts as text."""
    return f"{done:,} of {total:,} rows"


def scored(job: Job) -> str:
    """Format rows, rows per second and remaining seconds, as far as the service reports them."""
    parts = [rows(job["done"], job["total"])]
    if job.get("rows_per_second"):
        parts.append(f"{job['rows_per_second']:,.0f} rows/s")
    if job["eta_seconds"] and job["finished_at"] is None:
        parts.append(f"{job['eta_seconds']:,.0f} s left")
    return ", ".join(parts)
