"""What a process remembers of OCPP events is bounded, and too much of it is never a reason to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import settings_for
from tests.unit.consumers.ocpp.bench import P1, Bench, code_of
from tests.unit.consumers.ocpp.events import envelope, status


@pytest.mark.owasp("API10", "events of ever new charge points end as dead letters, and known ones go on")
def test_the_charge_points_of_a_process_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(settings_for(), tmp_path)
    monkeypatch.setattr("consumers.ocpp.translation.CHARGE_POINTS_KNOWN", 2)
    entries = bench.take(*(status(0, "Charging") | {"chargePointId": f"CP-{number}"} for number in range(4)))
    again = bench.take(status(1, "Available") | {"chargePointId": "CP-1"}, partition=P1)
    known = bench.take(status(1, "Available") | {"chargePointId": "CP-1"})
    assert [code_of(entry) for entry in entries] == [None, None, b"invalid_event", b"invalid_event"]
    assert [code_of(entry) for entry in again + known] == [b"invalid_event", None]


@pytest.mark.owasp("API10", "an OCPP message with a hundred thousand problems keeps 64 of them")
def test_problems_without_end_keep_the_state_small(tmp_path: Path) -> None:
    bench = Bench(settings_for(), tmp_path)
    problems = [
        {
            "trigger": "Alerting",
            "actualValue": "true",
            "techCode": "V" * 5_000,
            "component": {"name": f"Vendor{number}" * 50},
            "variable": {"name": "Problem"},
        }
        for number in range(2_000)
    ]
    entries = bench.take(
        status(0, "Charging"), envelope(1, "NotifyEvent", {"eventData": problems}, ocppVersion="2.0.1")
    )
    assert [code_of(entry) for entry in entries] == [None, None]
    (record,) = bench.commit(entries).remembered
    assert len(record.value or b"") < 64 * 500
