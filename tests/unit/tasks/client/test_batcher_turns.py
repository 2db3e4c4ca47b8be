"""The batcher with requests of several tenants."""

from __future__ import annotations

import pytest

from tasks.client.batcher import MAX_BATCH, Batch
from tests.unit.tasks.client.simulation import Simulation


def tenants_of(batch: Batch) -> list[str | None]:
    return [request.key[1] for request in batch.load]


@pytest.mark.owasp("API4", "a tenant's flood of requests does not delay another one's")
def test_a_request_beside_a_flood_is_in_the_next_task(simulation: Simulation) -> None:
    for _ in range(10 * MAX_BATCH):
        simulation.request(tenant="a")
    simulation.reply(simulation.take()[0])
    (full,) = simulation.take()
    assert full.size == MAX_BATCH
    simulation.request(tenant="b")
    simulation.reply(full)
    (following,) = simulation.take()
    assert tenants_of(following)[:3] == ["a", "b", "a"]
