"""The two recordings of the demo: real sessions, and a simulated fleet."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from consumers.replay.recording import Recording, load
from settings import ROOT
from stack.demo.api import DemoFailed
from stack.sample.sessions import SESSIONS_FILE, load_chargers

SEED: Final = 11  # not that of the fleet which the committed models have learnt from
SIMULATED_WITHIN_S: Final = 120.0


def real_sessions(limit: int | None = None) -> Recording:
    """The newest `limit` sessions of the sample, all by default, with site and model of each charger."""
    recording = load(SESSIONS_FILE)
    if limit is not None and limit < len(recording):
        recording = dataclasses.replace(
            recording, rows=recording.rows.slice(len(recording) - limit), times=recording.times[-limit:]
        )
    chargers = load_chargers().values()
    return dataclasses.replace(
        recording,
        attributes={each.charger_id: {"site_id": each.site, "model": each.model} for each in chargers},
    )


def simulated_fleet(chargers: int, days: int) -> Recording:
    """The readings of a simulated fleet, two a day of each charger. Blocks for some seconds.

    The models' own command makes them, in a process of its own: it takes memory that the demo does not need.
    Equal arguments give equal readings. Raises `DemoFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="evzone-demo-") as folder:
        options = {"--chargers": chargers, "--days": days, "--seed": SEED, "--out": folder}
        words = [str(word) for option in options.items() for word in option]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "models", "simulate", *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SIMULATED_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"The fleet was not simulated within {SIMULATED_WITHIN_S:.0f} s.") from None
        if done.returncode:
            raise DemoFailed(f"The fleet could not be simulated: {done.stderr.strip() or done.returncode}")
        return load(Path(folder))
