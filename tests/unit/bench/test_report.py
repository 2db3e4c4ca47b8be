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
    assert "Old." in page.read_text()


@pytest.mark.parametrize("is_there", [True, False])
def test_new_measurements_replace_their_own_section_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    from bench import overload_report, report

    batch = f"{report.PARTS['batch'].HEADING}\n\nOf batches.\n\n"
    old = f"{overload_report.HEADING}\n\nOld.\n\n" if is_there else ""
    by_hand = f"{report.BY_HAND}\n\nA table.\n\n{report.HOW}\n\nThe way.\n"
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Benchmarks\n\n{batch}{old}{by_hand}")
    (tmp_path / "overload.json").write_text("{}")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(overload_report, "section", lambda found: [overload_report.HEADING, "", "New.", ""])
    report.renew_parts()
    new = f"{overload_report.HEADING}\n\nNew.\n\n"
    assert page.read_text() == f"# Benchmarks\n\n{batch}{new}{by_hand}"
