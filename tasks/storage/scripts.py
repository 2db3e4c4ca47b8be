"""Lua scripts that do the same for many things in one call.

A registered script has to be asked for (`SCRIPT EXISTS`), a round trip more for every task. Sending the text
once for a whole batch is cheaper than that, and than one call for each thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tasks.storage.redis_connection import Command

# A script keeps everybody else waiting, so that it does so much at once and no more.
MOST_AT_ONCE: Final = 64

Things = Sequence[tuple[Sequence[str], Sequence[bytes | str | int | float]]]


def for_each(script: str, constants: Sequence[int | float], things: Things) -> list[Command]:
    """Commands that run `script` for all `things`: the keys and arguments of each.

    The script finds all keys in `KEYS`, in `ARGV` the constants and then everybody's arguments.
    """
    commands: list[Command] = []
    for start in range(0, len(things), MOST_AT_ONCE):
        some = things[start : start + MOST_AT_ONCE]
        keys = [key for its_keys, _ in some for key in its_keys]
        arguments = [argument for _, its_arguments in some for argument in its_arguments]
        commands.append(("EVAL", script, len(keys), *keys, *constants, *arguments))
    return commands
