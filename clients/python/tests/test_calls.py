"""Every call of both clients, against the running service."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from driven import Connect, reading

from evzone_ml_client import JobNotFinished, MLClient, NotFound, RequestRejected
from tests import readings
from tests.processes import READ_KEY, Web


def ended(ml: MLClient, job_id: str) -> str:
    """A job's status at its end."""
    *_, last = ml.stream_job(job_id)
    assert last.name == "done"
    return last.job["status"]


def test_health(ml: MLClient) -> None:
    health = ml.health_check()
    assert health["service"] == "evzone-ml-service"
    assert health["checks"]["redis"]["status"] == "ok"


def test_a_failure_prediction_can_be_had_again_until_it_is_invalidated(ml: MLClient) -> None:
    charger_id = readings.new_charger_id()
    assert ml.get_cached_prediction(charger_id) is None
    prediction = ml.predict_failure(reading(charger_id))
    assert prediction["charger_id"] == charger_id
    assert 0 <= prediction["horizons"]["7d"] <= prediction["failure_probability"] <= 1
    cached = ml.get_cached_prediction(charger_id)
    assert cached is not None
    assert cached["fingerprint"] == prediction["fingerprint"]
    ml.invalidate_cache(charger_id)
    assert ml.get_cached_prediction(charger_id) is None


def test_maintenance_and_anomaly(ml: MLClient) -> None:
    hot = reading(temperature=95.0, error_codes=["HighTemperature"])
    assert ml.predict_maintenance(hot)["cost_benefit"]["currency"] == "USD"
    assert ml.detect_anomaly(hot)["is_anomaly"]


def test_an_identifier_may_have_any_letter_that_ocpp_allows(ml: MLClient) -> None:
    charger_id = f"DE*ABC+{readings.new_charger_id()}|1=:@."
    assert ml.predict_failure(reading(charger_id))["charger_id"] == charger_id
    assert ml.get_cached_prediction(charger_id) is not None
    ml.invalidate_cache(charger_id)
    assert ml.get_cached_prediction(charger_id) is None


def test_a_batch_is_answered_at_once_where_it_ends_in_time(ml: MLClient) -> None:
    batch = [reading() for _ in range(30)]
    result = ml.batch_predictions(batch, kind="anomaly")
    assert [row["charger_id"] for row in result["predictions"]] == [row["charger_id"] for row in batch]


def test_a_batch_that_takes_longer_goes_on(connect: Connect, unserved: Web) -> None:
    ml = connect(unserved.url)
    with pytest.raises(JobNotFinished) as raised:
        ml.batch_predictions([reading()], wait_s=1)
    job_id = raised.value.job["job_id"]
    assert ml.get_job(job_id)["status"] in ("PENDING", "RUNNING")
    assert ml.cancel_job(job_id)["status"] == "CANCELLED"


def test_a_batch_is_not_waited_for_longer_than_the_time_out(connect: Connect, unserved: Web) -> None:
    with pytest.raises(JobNotFinished):
        connect(unserved.url, timeout_s=1.0, attempts=1).batch_predictions([reading()])


def test_a_job_is_followed_to_its_end_and_its_results_are_read_page_by_page(ml: MLClient) -> None:
    batch = [reading() for _ in range(2500)]
    del batch[1200]["connector_status"]  # type: ignore[misc]  # a broken row
    job = ml.submit_batch(batch, store=False)
    assert job["total"] == 2500
    assert ended(ml, job["job_id"]) == "SUCCEEDED"
    rows = list(ml.job_results(job["job_id"]))
    assert [row["charger_id"] for row in rows] == [row["charger_id"] for row in batch]
    assert [row["row"] for row in rows if "error" in row] == [1200]
    assert list(ml.job_results(job["job_id"], start=2400)) == rows[2400:]
    assert list(ml.stream_job(job["job_id"]))[-1].job == ml.get_job(job["job_id"])


def test_results_of_a_job_that_runs_are_those_that_are_there(connect: Connect, unserved: Web) -> None:
    ml = connect(unserved.url)
    job = ml.submit_batch([reading()])
    assert list(ml.job_results(job["job_id"])) == []


FILES = ["fleet.json", "fleet.ndjson", "fleet.csv", "fleet.parquet", "fleet.jsonl.gz", "fleet.csv.gz"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_what_its_name_says(ml: MLClient, tmp_path: Path, name: str) -> None:
    batch = [readings.metrics(error_codes=["HighTemperature", "ReaderFailure"]) for _ in range(300)]
    file = written(tmp_path / name, batch)
    job = ml.submit_batch(file, kind="all")
    assert (job["kind"], job["total"]) == ("all", 300)
    assert ended(ml, job["job_id"]) == "SUCCEEDED"
    rows = list(ml.job_results(job["job_id"]))
    assert [row["charger_id"] for row in rows] == [row["charger_id"] for row in batch]
    assert not any("error" in row for row in rows)


def written(file: Path, batch: list[dict[str, object]]) -> Path:
    kind = file.suffixes[0]
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(batch), file)
        return file
    if kind == ".json":
        text = json.dumps({"chargers": batch})
    elif kind == ".csv":
        lines = [",".join(batch[0])]
        lines += [
            ",".join(";".join(cell) if isinstance(cell, list) else str(cell) for cell in row.values())
            for row in batch
        ]
        text = "\r\n".join(lines)
    else:
        text = "\n".join(json.dumps(row) for row in batch)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def test_what_a_file_is_must_be_in_its_name(ml: MLClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fleet\.xlsx: must end in one of \.json"):
        ml.submit_batch(tmp_path / "fleet.xlsx")


def test_the_same_key_is_the_same_job(ml: MLClient) -> None:
    batch, key = [reading()], readings.new_charger_id()
    job = ml.submit_batch(batch, idempotency_key=key)
    assert ml.submit_batch(batch, idempotency_key=key)["job_id"] == job["job_id"]
    assert ml.submit_batch(batch)["job_id"] != job["job_id"]
    with pytest.raises(RequestRejected) as raised:
        ml.submit_batch([reading()], idempotency_key=key)
    assert (raised.value.status, raised.value.code) == (409, "conflict")


def test_the_fleet_by_risk(connect: Connect, web: Web) -> None:
    ml = connect(web.url, tenant=f"fleet-{readings.new_charger_id()}")
    batch = [reading(temperature=20.0 + row % 60) for row in range(1005)]
    ml.batch_predictions(batch, store=True, wait_s=20)
    risks = [charger["failure_probability"] or 0.0 for charger in ml.fleet(filters={"scored": True})]
    assert len(risks) == 1005
    assert risks == sorted(risks, reverse=True)


def test_attributes_and_the_fleet_by_them(connect: Connect, web: Web, tmp_path: Path) -> None:
    ml = connect(web.url, tenant=f"attributes-{readings.new_charger_id()}")
    chargers = [f"A-{number}" for number in range(3)]
    ml.batch_predictions([reading(charger) for charger in chargers], store=True, wait_s=20)
    stored = ml.put_attributes("A-0", {"site_id": "S 1", "vendor": "ABB", "rated_power_kw": 150})
    assert stored["attributes"] == {"site_id": "S 1", "vendor": "ABB", "rated_power_kw": 150.0}
    file = tmp_path / "chargers.csv"
    file.write_text("charger_id,site_id\nA-1,S 1\nA-2,S 2\nwrong id,S 3\n")
    uploaded = ml.upload_attributes(file)
    assert (uploaded["stored"], uploaded["failed"], uploaded["errors"][0]["row"]) == (2, 1, 2)
    by_site = ml.fleet(sort="charger_id", filters={"site": ["S 1", "S 3"], "min_risk": 0.0})
    assert [each["charger_id"] for each in by_site] == ["A-0", "A-1"]
    assert [each["attributes"]["vendor"] for each in ml.fleet(filters={"vendor": "ABB"})] == ["ABB"]
    assert [(each["site_id"], each["chargers"]) for each in ml.sites(sort="site_id")] == [
        ("S 1", 2),
        ("S 2", 1),
    ]
    charger = ml.get_charger("A-0")
    assert charger["attributes"] == stored["attributes"]
    assert charger["failure"] is not None
    with pytest.raises(NotFound):
        ml.get_charger("never")
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        ml.upload_attributes(tmp_path / "chargers.parquet")


def test_models(ml: MLClient) -> None:
    models = ml.list_models()
    assert {model["name"] for model in models["models"]} == {"failure", "maintenance", "anomaly"}


def test_the_service_names_its_brokers_and_topics(ml: MLClient) -> None:
    kafka = ml.service_info()["kafka"]
    assert kafka["bootstrap_servers"] == ["127.0.0.1:1"]
    assert kafka["topics"]["readings"] == "charger.metrics"


def test_an_outcome_is_compared_with_the_verdict_before_it(ml: MLClient) -> None:
    charger_id = readings.new_charger_id()
    taken = datetime.now(UTC) - timedelta(hours=1)
    ml.predict_failure(reading(charger_id, timestamp=taken.isoformat()))
    accepted = ml.post_outcome(charger_id, "failed", datetime.now(UTC))
    assert accepted["verdict_known"]
    with pytest.raises(ValueError, match="time zone"):
        ml.post_outcome(charger_id, "failed", datetime(2026, 11, 1))  # noqa: DTZ001 - refused


def test_an_outcome_is_listed_corrected_and_deleted(ml: MLClient) -> None:
    charger_id = readings.new_charger_id()
    with pytest.raises(NotFound) as raised:
        ml.post_outcome(charger_id, "failed", datetime.now(UTC))
    assert raised.value.code == "unknown_charger"
    ml.predict_failure(reading(charger_id))
    outcome_id = ml.post_outcome(charger_id, "failed", datetime.now(UTC))["outcome_id"]
    corrected = ml.correct_outcome(outcome_id, outcome="repaired", occurred_at="2026-11-01T08:00:00Z")
    assert (corrected["outcome"], corrected["occurred_at"]) == ("repaired", "2026-11-01T08:00:00.000Z")
    assert list(ml.list_outcomes(charger_id=charger_id)) == [corrected]
    assert outcome_id in [each["outcome_id"] for each in ml.list_outcomes()]
    ml.delete_outcome(outcome_id)
    assert list(ml.list_outcomes(charger_id=charger_id)) == []
    with pytest.raises(NotFound) as raised:
        ml.delete_outcome(outcome_id)
    assert raised.value.code == "unknown_outcome"
    with pytest.raises(ValueError, match="give outcome"):
        ml.correct_outcome(outcome_id)


def test_a_charger_and_a_tenant_are_erased_by_jobs_with_receipts(connect: Connect, web: Web) -> None:
    tenant, charger_id = f"erased-{readings.new_charger_id()}", readings.new_charger_id()
    ml = connect(web.url, tenant=tenant)
    ml.predict_failure(reading(charger_id))
    for job, subject in ((ml.erase_charger(charger_id), "charger"), (ml.erase_tenant(tenant), "tenant")):
        assert job["kind"] == "erase"
        assert ended(ml, job["job_id"]) == "SUCCEEDED"
        (receipt,) = ml.job_results(job["job_id"])
        assert receipt["subject"] == subject
    assert list(ml.fleet()) == []


def test_a_request_that_is_wrong_says_which_field(ml: MLClient) -> None:
    with pytest.raises(RequestRejected) as raised:
        ml.predict_failure(reading(temperature=1000.0))
    rejected = raised.value
    assert (rejected.status, rejected.code) == (422, "invalid_reading")
    assert [error["pointer"] for error in rejected.errors] == ["/metrics/temperature"]
    assert rejected.problem is not None
    assert rejected.request_id == rejected.problem["request_id"]


def test_a_job_that_is_not_there(ml: MLClient) -> None:
    for call in (ml.get_job, ml.cancel_job, lambda job_id: next(ml.job_results(job_id))):
        with pytest.raises(NotFound) as raised:
            call("none")
        assert raised.value.code == "unknown_job"
    with pytest.raises(NotFound):
        next(iter(ml.stream_job("none")))


def test_a_key_without_the_role_is_refused(connect: Connect, web: Web) -> None:
    ml = connect(web.url, api_key=READ_KEY)
    assert ml.list_models()["total"] == 3
    with pytest.raises(RequestRejected) as raised:
        ml.predict_failure(reading())
    assert raised.value.status == 403


def test_a_large_file_is_refused_before_it_is_sent(connect: Connect, web: Web, tmp_path: Path) -> None:
    ml = connect(web.url, api_key=READ_KEY)
    file = tmp_path / "fleet.csv"
    with file.open("w") as opened:
        opened.writelines(["charger_id,connector_status\n", *["EVZ-1,CHARGING\n"] * 2_000_000])
    for batch in (file, [reading("EVZ-1")] * 50_000):
        with pytest.raises(RequestRejected) as raised:
            ml.submit_batch(batch)
        assert raised.value.status == 403


def test_tenants_do_not_see_each_other(connect: Connect, web: Web) -> None:
    charger_id = readings.new_charger_id()
    assert connect(web.url, tenant="acme").predict_failure(reading(charger_id))["tenant_id"] == "acme"
    assert connect(web.url, tenant="other").get_cached_prediction(charger_id) is None
