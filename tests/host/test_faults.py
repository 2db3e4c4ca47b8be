"""The few faults that CI causes; `make faults` causes all."""

from __future__ import annotations

import sys

import pytest

from tests.faults.__main__ import HEADER, run
from tests.faults.causes import FAULTS, SMOKE

pytestmark = pytest.mark.host


@pytest.mark.parametrize("name", SMOKE)
@pytest.mark.owasp("API4", "single predictions are answered while a part of the service is gone")
def test_the_promise_is_kept_while_it_lasts(name: str) -> None:
    row = run(name, FAULTS[name])
    sys.stdout.write(f"\n{HEADER}\n{chr(10).join(row.lines(FAULTS[name]))}\n")
    assert row.broken(FAULTS[name]) == []
