"""The framing of Redis' protocol (RESP2 and RESP3): where a reply ends, and the names of commands."""

from __future__ import annotations

from typing import Final

LINE_END: Final = b"\r\n"
_LINES: Final = b"+-:_,#("
_TEXTS: Final = b"$!="
_MANY: Final = {b"*"[0]: 1, b"~"[0]: 1, b">"[0]: 1, b"%"[0]: 2, b"|"[0]: 2}


def reply_end(data: bytes, start: int = 0) -> int | None:
    """The end of the reply that begins at `start`, or None if it is not whole. Raises `ValueError`."""
    line_end = data.find(LINE_END, start)
    if line_end < 0:
        return None
    kind, end = data[start], line_end + len(LINE_END)
    if kind in _LINES:
        return end
    number = int(data[start + 1 : line_end])
    if kind in _TEXTS:
        end += number + len(LINE_END) if number >= 0 else 0
        return end if end <= len(data) else None
    # An attribute (RESP3) comes before the value that it belongs to.
    values = max(number, 0) * _MANY[kind] + (kind == b"|"[0])
    for _ in range(values):
        found = reply_end(data, end)
        if found is None:
            return None
        end = found
    return end


def command_names(data: bytes) -> tuple[list[bytes], bytes]:
    """The names of the whole commands in `data`, in capitals, and the bytes of the last one if not whole.

    Raises `ValueError` for bytes that are no commands.
    """
    names, start = [], 0
    while start < len(data) and (end := reply_end(data, start)) is not None:
        length_at = data.index(b"$", start)
        name_at = data.index(LINE_END, length_at) + len(LINE_END)
        names.append(data[name_at : name_at + int(data[length_at + 1 : name_at])].upper())
        start = end
    return names, data[start:]
