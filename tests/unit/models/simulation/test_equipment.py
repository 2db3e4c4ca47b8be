"""Sites, vendors and models of a simulated fleet: valid, reproducible, and drawn apart from the readings."""

from __future__ import annotations

import csv
from pathlib import Path

from models.simulation.equipment import SITES
from models.simulation.simulate import simulate
from readings.attributes import FIELDS, parse_cells


def test_every_charger_has_attributes_that_the_service_accepts(tmp_path: Path) -> None:
    fleet = simulate(60, 2, 11)
    fleet.write(tmp_path)
    with (tmp_path / "chargers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["charger_id"] for row in rows} == set(fleet.readings["charger_id"])
    for row in rows:
        stated = parse_cells({name: row[name] for name in FIELDS})
        assert None not in stated.values()
        assert ("CCS2" in stated["connector_types"]) == (stated["rated_power_kw"] >= 50)
    assert len({row["name"] for row in rows}) == 60
    assert len({row["vendor"] for row in rows}) > 2


def test_power_agrees_with_the_plate() -> None:
    fleet = simulate(60, 20, 11)
    plates = fleet.chargers.set_index("charger_id")["rated_power_kw"]
    highest = fleet.readings.groupby("charger_id")["power"].max()
    assert (highest <= plates).all()
    assert (highest > 0.3 * plates).any()


def test_the_same_seed_gives_the_same_equipment() -> None:
    first, second, other = (simulate(20, 1, seed).chargers for seed in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)


def test_more_sites_than_names_are_numbered() -> None:
    sites = set(simulate(1000, 1, 3).chargers["site_id"])
    assert len(sites) > len(SITES)
    assert "Harbour Car Park 2" in sites
