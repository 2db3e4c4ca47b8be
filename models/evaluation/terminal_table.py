"""The figures of an evaluation as lines of text for a terminal. Offline only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from models.evaluation.evaluation_report import number

COLUMNS: Final = (
    ("pr_auc", "PR-AUC"),
    ("difference", "model minus this"),
    ("roc_auc", "ROC-AUC"),
    ("ece", "ECE"),
    ("top_decile", "obs/pred, top tenth"),
    ("precision_2%", "precision 2 %"),
    ("recall_2%", "recall 2 %"),
)
WITH_INTERVAL: Final = {"pr_auc", "difference", "top_decile"}


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """A table for each horizon, one line per scorer, and an empty line after it."""
    for horizon, found in figures.items():
        if not found["by"]:
            yield f"within {horizon}: too few readings with or without failure to judge"
            yield ""
            continue
        yield f"within {horizon}: {found['rows']} readings, {found['prevalence']:.4f} followed by a failure"
        rows = [["", *(label for _, label in COLUMNS)]]
        for name, values in found["by"].items():
            rows.append([name, *(_cell(values, key) for key, _ in COLUMNS)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield ""


def _cell(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "-"
    return number(values[key] if key in WITH_INTERVAL else values[key][:1])
