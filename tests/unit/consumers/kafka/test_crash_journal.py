"""Marks that outlive their process, and what is counted from them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.kafka.crash_journal import FORGOTTEN_AFTER_S, CrashJournal
from settings import ROOT
from tests.unit.consumers.doubles import Clock

PLACE = "charger.metrics:3:120"


def killed_at(folder: Path, action: str, slot: int = 0) -> None:
    """Run a process that is killed with SIGKILL after `action` on its `journal`."""
    code = (
        "import os, pathlib, signal; from consumers.kafka.crash_journal import CrashJournal; "
        f"journal = CrashJournal(pathlib.Path({str(folder)!r}), 'group', {slot}); {action}; "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


def test_a_process_that_is_killed_at_a_record_leaves_its_place_behind(tmp_path: Path) -> None:
    killed_at(tmp_path, f"journal.begin({PLACE!r})")
    assert CrashJournal(tmp_path, "group", 0).deaths(PLACE) == 1
    assert CrashJournal(tmp_path, "group", 0).deaths(PLACE) == 1  # counted once


def test_a_process_that_is_killed_between_records_leaves_nothing_behind(tmp_path: Path) -> None:
    killed_at(tmp_path, f"journal.begin({PLACE!r}); journal.end()")
    assert CrashJournal(tmp_path, "group", 0).deaths(PLACE) == 0


def test_deaths_of_all_members_of_a_host_are_added_up(tmp_path: Path) -> None:
    journal = CrashJournal(tmp_path, "group", 2)
    for slot in (0, 1):
        killed_at(tmp_path, f"journal.begin({PLACE!r})", slot)
        CrashJournal(tmp_path, "group", slot)
    assert journal.deaths(PLACE) == 0
    journal.reload()
    assert journal.deaths(PLACE) == 2
    journal.forget([PLACE])
    assert CrashJournal(tmp_path, "group", 0).deaths(PLACE) == 0


def test_deaths_long_ago_do_not_count(tmp_path: Path) -> None:
    clock = Clock()
    journal = CrashJournal(tmp_path, "group", 0, clock=clock)
    journal.begin(PLACE)
    journal.count_death()
    clock.now += FORGOTTEN_AFTER_S + 1
    journal.reload()
    assert journal.deaths(PLACE) == 0


def test_damaged_files_count_no_death(tmp_path: Path) -> None:
    (tmp_path / "group-0.mark").write_bytes(b"\xff" * 20_000)
    (tmp_path / "group.deaths").write_bytes(b'{"in:0:1": [')
    journal = CrashJournal(tmp_path, "group", 0)
    journal.begin(PLACE)
    journal.count_death()
    journal.reload()
    assert journal.deaths(PLACE) == 1


def test_without_a_folder_deaths_are_known_to_this_process_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = CrashJournal(tmp_path / "file", "group", 0)
    journal.begin(PLACE)
    journal.count_death()
    assert journal.deaths(PLACE) == 1
    assert CrashJournal(tmp_path / "file", "group", 0).deaths(PLACE) == 0


def test_a_disk_without_space_costs_only_the_recognition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    journal = CrashJournal(tmp_path, "group", 0)
    journal.begin(PLACE)
    journal.end()
    assert journal.deaths(PLACE) == 0
