"""Hosts whose clocks are wrong, or step: a program runs with libfaketime."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import httpx

from tests.faults.services import CannotCause
from tests.host.live_service import LiveService
from tests.processes import wait_until

LIBRARIES: Final = "*/faketime/libfaketimeMT.so.1"
STOP_WITHIN_S: Final = 30.0
# A clock may be told a second after it is wrong, on a busy machine.
TOLERANCE_S: Final = 2.0


class WrongClock:
    """The cause of a fault: the clock of one program is `offset_s` ahead.

    The program is replaced by one with that clock, and again by one with the right clock. With `steps` it has
    the right time first: its clock steps while it runs. The monotonic clock is right always.
    """

    def __init__(self, name: str, offset_s: int, *, steps: bool = False) -> None:
        self._name, self._offset_s, self._steps = name, offset_s, steps

    def __call__(self, service: LiveService, fault_s: float) -> None:
        library = next(Path("/usr/lib").glob(LIBRARIES), None)
        if library is None:
            raise CannotCause("a wrong clock needs libfaketime: apt-get install libfaketime")
        clock = Path(service.environments["web"]["STATE_DIR"]) / "clock"
        _set(clock, 0 if self._steps else self._offset_s)
        variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self._replace(service, **variables)
        if self._steps:
            _wait_until_told(service, self._name, 0)
            _set(clock, self._offset_s)
        began = time.monotonic()
        _wait_until_told(service, self._name, self._offset_s)
        time.sleep(max(0.0, began + fault_s - time.monotonic()))
        if self._steps:
            _set(clock, 0)
            _wait_until_told(service, self._name, 0)
        self._replace(service)
        _wait_until_told(service, self._name, 0)

    def _replace(self, service: LiveService, **variables: str) -> None:
        service.programs[self._name].end(STOP_WITHIN_S)
        service.start(self._name, **variables)
        service.wait_ready(self._name)


def _set(clock: Path, offset_s: int) -> None:
    clock.write_text(f"{offset_s:+d}s\n")


def _wait_until_told(service: LiveService, name: str, offset_s: int) -> None:
    """Wait until readiness and metrics tell the offset of a program's clock. Raises `AssertionError`."""

    def is_told() -> bool:
        web = service.webs.get(name, service.web)
        answer = web.client.get("/health/ready")
        if answer.status_code != 200:  # the worker's first heartbeat is not seen yet
            return False
        check: dict[str, Any] = answer.json()["checks"]["clocks"]
        direction = "ahead of" if offset_s > 0 else "behind" if offset_s < 0 else "within"
        return direction in check["detail"] and abs(_offset_s(service, name) - offset_s) < TOLERANCE_S

    wait_until(is_told, what=f"readiness and metrics to tell {offset_s:+d} s of {name}")


def _offset_s(service: LiveService, name: str) -> float:
    """The offset of a program's clock in seconds, as its metrics say."""
    page = httpx.get(f"{service.admin[name]}/metrics").text
    found = [
        float(line.split()[1]) for line in page.splitlines() if line.startswith("ml_clock_offset_seconds")
    ]
    return max(found, key=abs)
