"""`evzone-ml batch` against the real service: what its options ask for, and the commands about jobs."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from tests.devices import FULL, full_device
from tests.processes import KEY, READ_KEY, Web
from tests.readings import metrics, new_charger_id
from tests.services import RunningServer

COMMAND = ("evzone_ml_client.command", "batch")


def run(*arguments: str | Path, url: str, program: Sequence[str] = COMMAND, **extra: str) -> Any:
    """The ended process of a command. Its output is text."""
    return subprocess.run(
        [sys.executable, "-m", *program, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ML_SERVICE_API_KEY": KEY, "ML_SERVICE_URL": url, **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def fleet(folder: Path, *rows: str, header: str = "charger_id,connector_status,temperature") -> Path:
    file = folder / "fleet.csv"
    file.write_text("\n".join((header, *rows)) + "\n")
    return file


def written(ran: Any, out: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of results, once the command has ended well."""
    assert ran.returncode == 0, ran.stderr
    with out.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_old_name_goes_on_working(web: Web, tmp_path: Path) -> None:
    file = fleet(tmp_path, "EVZ-1,CHARGING,41")
    ran = run(file, "--out", tmp_path / "o.csv", url=web.url, program=("batch",))
    assert [row["charger_id"] for row in written(ran, tmp_path / "o.csv")] == ["EVZ-1"]


def test_verdicts_enter_the_fleet_if_asked_to(web: Web, tmp_path: Path) -> None:
    for flag, said, held in (
        ((), "--store the verdicts of a file enter it", False),
        (("--store",), "The verdicts are in the fleet", True),
    ):
        charger_id = new_charger_id()
        file = fleet(tmp_path, f"{charger_id},CHARGING,41")
        ran = run(file, "--out", tmp_path / "o.csv", *flag, "--tenant", "stored", url=web.url)
        assert said in ran.stderr
        headers = {"X-Tenant-ID": "stored"}
        chargers = web.client.get("/api/v1/chargers", headers=headers).json()["items"]
        assert (charger_id in [each["charger_id"] for each in chargers]) is held


def test_results_follow_links_and_stay_out_of_the_way_of_devices(web: Web, tmp_path: Path) -> None:
    file = fleet(tmp_path, "EVZ-1,CHARGING,41")
    (tmp_path / "kept").mkdir()
    link = tmp_path / "latest.csv"
    link.symlink_to("kept/2026.csv")
    ran = run(file, "--out", link, url=web.url)
    assert len(written(ran, tmp_path / "kept/2026.csv")) == 1
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "2026.csv",
        "fleet.csv",
        "kept",
        "latest.csv",
    ]

    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        ran = run(file, "--out", pipe, url=web.url)
        read, _ = reader.communicate(timeout=60)
    assert (ran.returncode, read.count(b"EVZ-1")) == (0, 1)
    assert stat.S_ISFIFO(pipe.stat().st_mode)

    ran = run(file, "--out", "/dev/stdout", "--output-format", "csv", url=web.url)
    assert (ran.returncode, ran.stdout.count("EVZ-1")) == (0, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes devices, and may replace them")
def test_a_device_that_takes_nothing_is_named_and_stays_as_root_too(web: Web, tmp_path: Path) -> None:
    full = full_device(tmp_path)
    file = fleet(tmp_path, "EVZ-1,CHARGING,41")
    ran = run(file, "--out", full, "--output-format", "csv", url=web.url)
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (2, f"{full}: No space left on device")
    assert full.stat().st_rdev == FULL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "full"]


def test_the_readings_are_not_overwritten_by_results(tmp_path: Path) -> None:
    file = fleet(tmp_path, "E,A,1")
    (tmp_path / "link.csv").symlink_to("fleet.csv")
    for out in (file, tmp_path / "link.csv"):
        ran = run(file, "--out", out, url="http://127.0.0.1:1")
        assert (ran.returncode, ran.stderr) == (2, f"--out {out}: is the file of readings.\n")


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    ran = run(fleet(tmp_path, "E,A,1"), "--out", tmp_path, "--output-format", "csv", url="http://127.0.0.1:1")
    assert (ran.returncode, ran.stderr) == (2, f"--out {tmp_path}: is a folder.\n")


def test_columns_of_other_names_and_units_are_scored_as_those_of_the_contract(
    web: Web, tmp_path: Path
) -> None:
    ours = fleet(
        tmp_path,
        "EVZ-1,Charging,31,18.4,100,2026-11-20T08:30:00Z",
        header="charger_id,connector_status,power,energy_delivered,temperature,timestamp",
    )
    expected = written(run(ours, "--out", tmp_path / "a.csv", url=web.url), tmp_path / "a.csv")
    theirs = fleet(
        tmp_path,
        "EVZ-1,Charging,31000,18400,212,2026-11-20T08:30:00Z",
        header="Id,state,power,energy_delivered,Temp,timestamp",
    )
    maps = ("--map", "Id=charger_id", "--map", "state=connector_status", "--map", "Temp=temperature")
    units = ("--unit", "power=W", "--unit", "energy_delivered=Wh", "--unit", "temperature=F")
    ran = run(theirs, "--out", tmp_path / "b.csv", *maps, *units, url=web.url)
    found = written(ran, tmp_path / "b.csv")
    assert [row["fingerprint"] for row in found] == [row["fingerprint"] for row in expected]
    assert "Warning" not in ran.stderr


def test_a_file_is_checked_without_a_service(tmp_path: Path) -> None:
    file = fleet(tmp_path, 'EVZ-1,Charging,"41,5"', "EVZ-2,Charging,41", header="Id,connector_status,power")
    ran = run(file, "--check", "--map", "Id=charger_id", url="", ML_SERVICE_API_KEY="")
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.splitlines()[:2] == [
        "  line 2, power: '41,5' is not a number; use a decimal point",
        "2 rows checked, 1 with problems.",
    ]
    assert "Not checked: limits of values" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.csv"]


def test_ignored_columns_are_warned_of_with_the_nearest_name(web: Web, tmp_path: Path) -> None:
    file = fleet(tmp_path, "EVZ-1,Charging,71,3", header="charger_id,connector_status,temprature,Power")
    ran = run(file, "--out", tmp_path / "o.csv", url=web.url)
    assert ran.returncode == 0
    assert "Warning: 2 columns are ignored: temprature (temperature?), Power (power?)." in ran.stderr


@pytest.mark.parametrize("out", ["o.csv", "o.ndjson"])
def test_results_have_the_chosen_columns_alone(web: Web, tmp_path: Path, out: str) -> None:
    file = fleet(tmp_path, "EVZ-1,CHARGING,41")
    ran = run(file, "--out", tmp_path / out, "--columns", "charger_id,horizons.7d", url=web.url)
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / out).read_text()
    if out.endswith("csv"):
        assert [column.strip('"') for column in text.splitlines()[0].split(",")] == [
            "charger_id",
            "horizons.7d",
        ]
    else:
        (row,) = map(json.loads, text.splitlines())
        assert (row.keys(), row["horizons"].keys()) == ({"charger_id", "horizons"}, {"7d"})


def test_jobs_are_listed_shown_and_cancelled(lonely: tuple[Web, RunningServer]) -> None:
    web, _ = lonely
    tenant = "listed"
    headers = {"X-Tenant-ID": tenant}
    body = {"chargers": [metrics()] * 3}
    ids = [
        web.client.post("/api/v1/predictions/batch", json=body, headers=headers).json()["job_id"]
        for _ in range(3)
    ]
    reader = {"ML_SERVICE_API_KEY": f"{READ_KEY}:read"}
    listed = run("list", "--tenant", tenant, "--limit", "2", url=web.url, **reader)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ids[:0:-1]
    assert "PENDING    0 of 3 rows" in listed.stdout

    shown = run("status", ids[0], "--tenant", tenant, "--json", url=web.url, **reader)
    assert json.loads(shown.stdout)["job_id"] == ids[0]
    cancelled = run("cancel", ids[0], "--tenant", tenant, url=web.url)
    assert (cancelled.returncode, "status: CANCELLED" in cancelled.stdout) == (0, True), cancelled.stderr
    listed = run("list", "--tenant", tenant, "--status", "PENDING", url=web.url)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ids[:0:-1]

    unknown = run("status", "none", "--tenant", tenant, url=web.url)
    assert (unknown.returncode, unknown.stderr) == (2, "The service does not know job none, or no longer.\n")
    refused = run("cancel", ids[1], "--tenant", tenant, url=web.url, **reader)
    assert (refused.returncode, "ML_SERVICE_API_KEY" in refused.stderr) == (2, True)


def test_jobs_of_a_service_that_is_away_are_waited_for_as_told() -> None:
    ran = run("list", "--patience", "0.1", url="http://127.0.0.1:1")
    assert ran.returncode == 3
    assert "Given up after 0.1 s: http://127.0.0.1:1 cannot be reached" in ran.stderr
