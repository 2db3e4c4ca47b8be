"""Isolate an error to the item that caused it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import metrics

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def together_or_alone(
    do: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    *,
    unit: str,
    name: Callable[[Item], str] = str,
    passes: tuple[type[Exception], ...] = (),
) -> list[Result | Exception]:
    """Call `do` with all items. If that raises, call it with each item alone.

    Args:
        do: returns one result for each item, in order. It gets `items` itself, or a list of one. It must be
            safe to repeat.
        unit: label of `ml_unexpected_errors_total`, which counts the items that fail alone.
        name: returns an item's name for the log.
        passes: errors not caused by an item, such as those of an unavailable server.

    Returns:
        One result for each item, in order. An item that fails alone gets its error, without its traceback.

    Raises:
        The errors of `passes`.
    """
    try:
        return list(do(items))
    except passes:
        raise
    except Exception as error:
        if len(items) == 1:
            log.exception("%s %s failed", unit, name(items[0]))
            metrics.UNEXPECTED_ERRORS.labels(unit=unit).inc()
            return [error.with_traceback(None)]
        log.exception("%d %ss failed together; each is done alone", len(items), unit)
    results: list[Result | Exception] = []
    for item in items:
        try:
            results += do([item])
        except passes:
            raise
        except Exception as error:
            # No traceback: a file may have a million such items.
            log.warning("%s %s failed alone: %r", unit, name(item), error)
            metrics.UNEXPECTED_ERRORS.labels(unit=unit).inc()
            # A traceback holds this frame, and so `results`. Memory that the item has taken would stay.
            results.append(error.with_traceback(None))
    return results
