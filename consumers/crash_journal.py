"""Recognise the record that ended a consumer process.

A mark in a mapped file says which record the process is at. The kernel keeps the file's pages when the
process is killed. The next process that takes the member slot finds the mark, and counts a death for the
record. Setting a mark is a copy of some bytes; nothing is written to the disk for it.

A mark is of one record at a time, or of the places that a poll fetches from: a compressed batch that is too
large for the memory ends the process while it is unpacked, before anybody has seen its records.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal

from errors import ServiceError

log = logging.getLogger(__name__)

# After so many deaths at one place, its record is no longer tried.
MOST_DEATHS: Final = 3
# Deaths further apart than this have nothing to do with each other, seconds.
FORGOTTEN_AFTER_S: Final = 86_400.0
_MARK_BYTES: Final = 16_384
_LENGTH: Final = struct.Struct("<I")
_NONE: Final = _LENGTH.pack(0)
_IS_PLACE: Final = re.compile(r".+:[0-9]+:[0-9]+").fullmatch

Stage = Literal["record", "fetch"]
STAGES: Final[tuple[Stage, ...]] = ("record", "fetch")


class ProcessDied(ServiceError):
    """Raised for a record at which the consumer process has died again and again."""

    code = "process_died"


class CrashJournal:
    """Marks of one process, and deaths counted by all processes of a group on this host. For one thread.

    Places are written `topic:partition:offset`. In a folder that cannot be written to, nothing outlives the
    process.
    """

    def __init__(
        self, folder: Path, group_id: str, slot: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._deaths_file = folder / f"{group_id}.deaths"
        self._map: mmap.mmap | bytearray
        try:
            self._map = _mapped(folder / f"{group_id}-{slot}.mark")
            self.count_death()
        except OSError as error:
            log.warning("a record that ends this process will not be recognised (%s)", error)
            self._map = bytearray(_MARK_BYTES)
        self.reload()

    def begin(self, place: str) -> None:
        """This process is at a record from now on, until `end`."""
        self._mark("record", place.encode())

    def fetching(self, places: Iterable[str]) -> None:
        """This process fetches the records at these places from now on, until `end`."""
        self._mark("fetch", " ".join(places).encode())

    def end(self) -> None:
        """The process has survived."""
        self._map[: _LENGTH.size] = _NONE

    def deaths(self, stage: Stage, place: str) -> int:
        """How often a process of this host has died there of late."""
        return len(self._deaths.get(f"{stage} {place}", ())) if self._deaths else 0

    def suspects(self) -> dict[str, int]:
        """The places at which a process has died while it fetched, with the number of deaths."""
        return {
            name.removeprefix("fetch "): len(times)
            for name, times in self._deaths.items()
            if name.startswith("fetch ")
        }

    def forget(self, places: Iterable[str]) -> None:
        """The records there have their outcomes, or have turned out to be harmless."""
        if not self._deaths:
            return
        names = {f"{stage} {place}" for place in places for stage in STAGES} & self._deaths.keys()
        if names:
            with self._shared() as shared:
                for name in names:
                    shared.pop(name, None)
                self._deaths = dict(shared)

    def reload(self) -> None:
        """Learn of deaths that other processes have counted."""
        with self._shared() as shared:
            self._deaths = dict(shared)

    def _mark(self, stage: Stage, text: bytes) -> None:
        payload = b"%b %b" % (stage.encode(), text[: _MARK_BYTES - 64])
        self._map[_LENGTH.size : _LENGTH.size + len(payload)] = payload
        self._map[: _LENGTH.size] = _LENGTH.pack(len(payload))

    def count_death(self) -> None:
        """Count a death at each place that the mark names, and clear the mark."""
        (length,) = _LENGTH.unpack(self._map[: _LENGTH.size])
        payload = bytes(self._map[_LENGTH.size : _LENGTH.size + min(length, _MARK_BYTES)])
        text = payload.decode(errors="replace")
        self.end()
        stage, *places = text.split(" ")
        places = [place for place in places if _IS_PLACE(place)]  # a long list is cut somewhere
        if stage not in STAGES or not places:
            return
        log.warning("a process died at %s %s", stage, ", ".join(places))
        with self._shared() as shared:
            for place in places:
                shared.setdefault(f"{stage} {place}", []).append(self._clock())
            self._deaths = dict(shared)

    @contextmanager
    def _shared(self) -> Iterator[dict[str, list[float]]]:
        """The deaths of all processes of this group on this host, locked; changes are written."""
        try:
            file = self._deaths_file.open("a+b")
        except OSError:
            yield dict(self._deaths)
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = _read(file)
            oldest = self._clock() - FORGOTTEN_AFTER_S
            deaths = {name: [at for at in times if at > oldest] for name, times in before.items()}
            deaths = {name: times for name, times in deaths.items() if times}
            yield deaths
            if deaths != before:
                file.truncate(0)
                file.write(json.dumps(deaths).encode())


def _mapped(path: Path) -> mmap.mmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.truncate(_MARK_BYTES)
        return mmap.mmap(file.fileno(), _MARK_BYTES)


def _read(file: IO[bytes]) -> dict[str, list[float]]:
    file.seek(0)
    try:
        found: Any = json.loads(file.read() or b"{}")
        return {str(name): [float(at) for at in times] for name, times in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # a process was killed while it wrote
