"""Lua scripts that do the same for many things in one call.

redis-py asks for `SCRIPT EXISTS` before each pipeline that holds a registered script: a round trip more for
every task. Sending the text once for a whole batch is cheaper than that, and than one call for each thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redis.client import Pipeline

# A script keeps everybody else waiting, so that it does so much at once and no more.
MOST_AT_ONCE: Final = 64

Things = Sequence[tuple[Sequence[str], Sequence[bytes | str | int | float]]]


def for_each(pipeline: Pipeline, script: str, constants: Sequence[int | float], things: Things) -> None:
    """Queue `script` for all `things`: the keys and arguments of each. Nothing is sent yet.

    The script finds all keys in `KEYS`, in `ARGV` the constants and then everybody's arguments.
    """
    for start in range(0, len(things), MOST_AT_ONCE):
        some = things[start : start + MOST_AT_ONCE]
        keys = [key for its_keys, _ in some for key in its_keys]
        arguments = [argument for _, its_arguments in some for argument in its_arguments]
        pipeline.eval(script, len(keys), *keys, *constants, *arguments)
