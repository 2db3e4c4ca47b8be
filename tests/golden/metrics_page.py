"""A page of metrics as names, types and labels. Values differ from run to run and are left out."""

from __future__ import annotations

from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

# These of prometheus_client's own depend on Python and its version.
FOREIGN: Final = ("python_", "process_")
# Labels whose values depend on timing: what was looked at while something was starting.
UNSTABLE: Final = frozenset({"status", "reason"})
# Counted only where a consumer had to wait; what it is called is on the page of a single process.
NOT_ALWAYS: Final = frozenset({"ml_stream_paused_seconds"})


def read(text: str, *, of_several: bool = False) -> dict[str, Any]:
    """Every metric of ours: type, help, the samples' names with their labels, and the labels' values.

    With `of_several` the page adds up several processes, and names only what has been counted.
    """
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(FOREIGN) or (of_several and family.name in NOT_ALWAYS):
            continue
        samples: dict[str, set[str]] = {}
        values: dict[str, set[str]] = {}
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
        found[family.name] = {
            "type": family.type,
            "help": family.documentation,
            "samples": {name: sorted(labels) for name, labels in samples.items()},
            "label_values": {label: sorted(seen) for label, seen in values.items() if label not in UNSTABLE},
        }
    return found
