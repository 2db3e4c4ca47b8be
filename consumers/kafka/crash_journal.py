"""Recognise the record that ended a consumer process.

A memory-mapped file contains the position of the record that the process is handling. The kernel keeps the
file's pages if the process is killed. The next process with the same member slot reads the position, and
counts a death for the record. Storing a position only copies some bytes; nothing is written to the disk.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import mmap
import os
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from errors import ServiceError
from private_files import make_folder, opener

log = logging.getLogger(__name__)

# After this many deaths at one position, its record is not processed any more.
MOST_DEATHS: Final = 3
# Deaths further apart than this are unrelated, seconds.
FORGOTTEN_AFTER_S: Final = 86_400.0
_MARK_BYTES: Final = 1_024
_LENGTH: Final = struct.Struct("<I")
_NONE: Final = _LENGTH.pack(0)
_IS_PLACE: Final = re.compile(r".+:[0-9]+:[0-9]+").fullmatch


class ProcessDied(ServiceError):
    """Raised for a record at which the consumer process has died repeatedly."""

    code = "process_died"


class CrashJournal:
    """The current position of one process, and the deaths of all processes of a group on this host.

    Positions are `topic:partition:offset`. Without a writable folder nothing outlives the process. Methods
    raise nothing. Not thread-safe.
    """

    def __init__(
        self, folder: Path | None, group_id: str, slot: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._deaths_file: Path | None = None
        self._map: mmap.mmap | bytearray = bytearray(_MARK_BYTES)
        if folder is None:
            return
        try:
            self._map = _mapped(folder / f"{group_id}-{slot}.mark")
        except OSError as error:
            log.warning("a record that ends this process will not be recognised (%s)", error)
            return
        self._deaths_file = folder / f"{group_id}.deaths"
        self.count_death()
        self.reload()

    def begin(self, place: str) -> None:
        """Store the position of the record that is handled from now on, until `end`."""
        payload = place.encode()[: _MARK_BYTES - _LENGTH.size]
        self._map[_LENGTH.size : _LENGTH.size + len(payload)] = payload
        self._map[: _LENGTH.size] = _LENGTH.pack(len(payload))

    def end(self) -> None:
        """Clear the position: the record has been handled."""
        self._map[: _LENGTH.size] = _NONE

    def deaths(self, place: str) -> int:
        """The number of deaths at this position on this host within the last 24 hours."""
        return len(self._deaths.get(place, ())) if self._deaths else 0

    def forget(self, places: Iterable[str]) -> None:
        """Remove the deaths at these positions, whose records have outcomes. Waits for the file's lock."""
        if not self._deaths:
            return
        known = self._deaths.keys() & set(places)
        if known:
            with self._shared() as shared:
                for place in known:
                    shared.pop(place, None)
                self._deaths = dict(shared)

    def reload(self) -> None:
        """Read the deaths that other processes have counted. Waits for the file's lock."""
        with self._shared() as shared:
            self._deaths = dict(shared)

    def count_death(self) -> None:
        """Count a death at the stored position, if there is one, and clear the position."""
        (length,) = _LENGTH.unpack(self._map[: _LENGTH.size])
        payload = bytes(self._map[_LENGTH.size : _LENGTH.size + min(length, _MARK_BYTES)])
        place = payload.decode(errors="replace")
        self.end()
        if not _IS_PLACE(place):
            return
        log.warning("a process died at record %s", place)
        with self._shared() as shared:
            shared.setdefault(place, []).append(self._clock())
            self._deaths = dict(shared)

    @contextmanager
    def _shared(self) -> Iterator[dict[str, list[float]]]:
        """The deaths of all processes of this group on this host, under a file lock. Writes changes back."""
        deaths = dict(self._deaths)
        with ExitStack() as held:
            file = None
            if self._deaths_file is not None:
                try:
                    file = held.enter_context(open(self._deaths_file, "a+b", buffering=0, opener=opener))
                    fcntl.flock(file, fcntl.LOCK_EX)
                    deaths = self._of_late(_read(file))
                except OSError as error:
                    log.warning("deaths of processes cannot be read (%s)", error)
            before = json.dumps(deaths)
            yield deaths
            if file is not None and json.dumps(deaths) != before:
                try:
                    file.truncate(0)
                    file.write(json.dumps(deaths).encode())
                except OSError as error:
                    log.warning("deaths of processes cannot be written (%s)", error)

    def _of_late(self, deaths: dict[str, list[float]]) -> dict[str, list[float]]:
        oldest = self._clock() - FORGOTTEN_AFTER_S
        found = {place: [at for at in times if at > oldest] for place, times in deaths.items()}
        return {place: times for place, times in found.items() if times}


def _mapped(path: Path) -> mmap.mmap:
    make_folder(path.parent)
    with open(path, "a+b", opener=opener) as file:
        # Allocate the blocks: on a full disk a store into a sparse file would kill the process.
        os.posix_fallocate(file.fileno(), 0, _MARK_BYTES)
        return mmap.mmap(file.fileno(), _MARK_BYTES)


def _read(file: io.FileIO) -> dict[str, list[float]]:
    file.seek(0)
    try:
        found: Any = json.loads(file.read() or b"{}")
        return {str(name): [float(at) for at in times] for name, times in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # a process was killed while writing
