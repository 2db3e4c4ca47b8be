"""The batcher with requests of several tenants."""

from __future__ import annotations

import pytest

from tasks.client.batcher import MAX_BATCH, MOST_IN_FLIGHT_SHARED, SHARED_FOR_S, Batch
from tests.unit.tasks.client.simulation import Simulation


def tenants_of(batch: Batch) -> list[str | None]:
    return [request.key[1] for request in batch.load]


@pytest.mark.owasp("API4", "a tenant's flood of requests does not delay another one's")
def test_a_request_beside_a_flood_is_in_the_next_task_which_is_short(simulation: Simulation) -> None:
    for _ in range(10 * MAX_BATCH):
        simulation.request(tenant="a")
    simulation.now += SHARED_FOR_S
    simulation.reply(simulation.take()[0])
    (full,) = simulation.take()
    assert full.size == MAX_BATCH, "nobody else asks"
    simulation.request(tenant="b")
    simulation.reply(full)
    (following,) = simulation.take()
    assert tenants_of(following)[:3] == ["a", "b", "a"]
    assert following.size < MOST_IN_FLIGHT_SHARED


def test_while_several_tenants_ask_few_readings_are_in_flight(simulation: Simulation) -> None:
    in_flight: list[Batch] = []
    for number in range(800):
        simulation.request(tenant="b" if number % 50 == 0 else "a")
        in_flight += simulation.take()
        if number % 40 == 39:
            simulation.now += 0.01
            simulation.reply(in_flight.pop(0))
            in_flight += simulation.take()
        assert sum(batch.size for batch in in_flight) <= MOST_IN_FLIGHT_SHARED
    simulation.now += SHARED_FOR_S
    simulation.tick()
    in_flight += simulation.take()
    simulation.reply(in_flight.pop(0))
    assert max(batch.size for batch in [*in_flight, *simulation.take()]) == MAX_BATCH
