"""The page of benchmarks keeps its part that is written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import environment


def test_new_measurements_keep_the_part_that_is_written_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    from bench import report  # one of its parts reads the settings

    page = tmp_path / "benchmarks.md"
    by_hand = f"{report.BY_HAND}\n\nA table.\n\n## Soak\n\nA figure.\n\n{report.HOW}\n\nThe way.\n"
    page.write_text(f"# Benchmarks\n\n{report.PARTS['stream'].HEADING}\n\nOld.\n\n{by_hand}")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "FOLDER", tmp_path)  # no part was measured
    report.renew_parts()
    assert page.read_text().endswith(by_hand)
    assert "Old." not in page.read_text()
