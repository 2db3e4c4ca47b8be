"""Garbage collection for processes that hold much at once, hardly any of it in a cycle.

Python looks through all that is alive again and again, for nothing: a tenth of a batch worker's time
(docs/adr/0009), and more of the consumer's; in the web process those who wait notice (docs/adr/0008).
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLD: Final = 100_000


def seldom() -> None:
    """Collect a hundred times more seldom, and never look at what is loaded now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
