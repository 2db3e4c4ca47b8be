"""What a caller sees of a service that is gone, mute, cut off or slow, and comes back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driven import Connect, circuit, reading
from proxy import Proxy

from evzone_ml_client import MLClient, ServiceUnavailable
from tests import readings
from tests.processes import Web

Outage = Callable[[Proxy], None]

BREAKER_OPEN_S = 1.0
OUTAGES: dict[str, tuple[Outage, str]] = {
    "refused": (Proxy.refuse, "unreachable"),
    "mute": (Proxy.hang, "timeout"),
    "cut in the head": (lambda proxy: proxy.cut(down_bytes=40), "unreachable"),
    "cut in the body": (lambda proxy: proxy.cut(down_bytes=600), "unreachable"),
    "slow": (lambda proxy: proxy.trickle(after_bytes=600), "timeout"),
}


@pytest.fixture
def impatient(connect: Connect, proxy: Proxy) -> MLClient:
    return connect(proxy.url, timeout_s=1.0, attempts=2, breaker_open_s=BREAKER_OPEN_S)


def unavailable(ml: MLClient, charger_id: str | None = None) -> ServiceUnavailable:
    with pytest.raises(ServiceUnavailable) as raised:
        ml.predict_failure(reading(charger_id))
    return raised.value


@pytest.mark.parametrize(("outage", "reason"), OUTAGES.values(), ids=OUTAGES)
def test_an_outage_gives_the_last_prediction_marked_stale_until_the_service_is_back(
    impatient: MLClient, proxy: Proxy, outage: Outage, reason: str
) -> None:
    ml, charger_id = impatient, readings.new_charger_id()
    prediction = ml.predict_failure(reading(charger_id))
    outage(proxy)

    error = unavailable(ml, charger_id)
    assert error.reason == reason
    assert error.request_id
    assert error.stale is not None
    assert error.stale.prediction == prediction
    assert error.stale.age_s > 0

    proxy.recover()
    again = ml.predict_failure(reading(charger_id))
    assert again["fingerprint"] == prediction["fingerprint"]


def test_the_last_prediction_is_that_of_the_charger_asked_about(impatient: MLClient, proxy: Proxy) -> None:
    ml, charger_id = impatient, readings.new_charger_id()
    prediction = ml.predict_failure(reading(charger_id))
    ml.predict_failure(reading())
    proxy.refuse()
    assert unavailable(ml).stale is None
    with pytest.raises(ServiceUnavailable) as raised:
        ml.get_cached_prediction(charger_id)
    assert raised.value.stale is not None
    assert raised.value.stale.prediction == prediction


def test_what_is_invalidated_is_not_given_as_stale(impatient: MLClient, proxy: Proxy) -> None:
    ml, charger_id = impatient, readings.new_charger_id()
    ml.predict_failure(reading(charger_id))
    ml.invalidate_cache(charger_id)
    proxy.refuse()
    assert unavailable(ml, charger_id).stale is None


def test_no_last_predictions_are_kept_where_none_are_wanted(connect: Connect, proxy: Proxy) -> None:
    ml, charger_id = connect(proxy.url, stale_entries=0), readings.new_charger_id()
    ml.predict_failure(reading(charger_id))
    proxy.refuse()
    assert unavailable(ml, charger_id).stale is None


def test_the_circuit_opens_after_five_failed_calls_and_closes_when_the_service_is_back(
    impatient: MLClient, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    ml, charger_id = impatient, readings.new_charger_id()
    caplog.set_level(logging.INFO, "evzone_ml_client")
    prediction = ml.predict_failure(reading(charger_id))
    proxy.refuse()
    for _ in range(5):
        assert circuit(ml) == "closed"
        assert unavailable(ml).reason == "unreachable"
    assert circuit(ml) == "open"

    proxy.recover()
    connections = proxy.connections
    error = unavailable(ml, charger_id)
    assert error.reason == "circuit_open"
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= BREAKER_OPEN_S
    assert error.stale is not None
    assert error.stale.prediction == prediction
    assert proxy.connections == connections  # nothing was sent

    proxy.refuse()
    later(error)
    assert unavailable(ml).reason == "unreachable"  # the one that is let through, in vain
    error = unavailable(ml)
    assert error.reason == "circuit_open"

    proxy.recover()
    later(error)
    ml.predict_failure(reading())
    assert circuit(ml) == "closed"
    told = [record.getMessage() for record in caplog.records if "circuit of" in record.getMessage()]
    assert [text.rpartition(": ")[2] for text in told] == [
        "open, was closed",
        "half_open, was open",
        "open, was half_open",
        "half_open, was open",
        "closed, was half_open",
    ]


def later(error: ServiceUnavailable) -> None:
    """When the service may be asked again."""
    time.sleep(error.retry_after_s or 0.0)


def test_only_failures_in_a_row_open_the_circuit(impatient: MLClient, proxy: Proxy) -> None:
    ml = impatient
    for _ in range(2):
        proxy.refuse()
        for _ in range(4):
            unavailable(ml)
        proxy.recover()
        ml.predict_failure(reading())
    assert ml.circuit == "closed"


def test_health_can_be_asked_for_while_the_circuit_is_open(impatient: MLClient, proxy: Proxy) -> None:
    ml = impatient
    proxy.refuse()
    for _ in range(5):
        unavailable(ml)
    with pytest.raises(ServiceUnavailable, match="unreachable"):
        ml.health_check()
    proxy.recover()
    assert ml.health_check()["service"] == "evzone-ml-service"
    assert ml.circuit == "open"  # who only looks does not decide


def test_a_service_that_is_switched_off_is_not_asked(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url, enabled=False, api_key="")
    assert unavailable(ml).reason == "disabled"
    assert proxy.connections == 0
    assert ml.circuit == "closed"


def test_an_upload_that_is_cut_is_one_job(connect: Connect, proxy: Proxy, web: Web, tmp_path: Path) -> None:
    tenant = f"uploads-{readings.new_charger_id()}"
    ml = connect(proxy.url, tenant=tenant)
    file = tmp_path / "fleet.csv"
    rows = "".join(f"{readings.new_charger_id()},CHARGING\n" for _ in range(20_000))
    file.write_text("charger_id,connector_status\n" + rows)

    proxy.cut(up_bytes=100_000, down_bytes=1_000_000, times=1)
    job = ml.submit_batch(file)
    assert proxy.cuts == 1
    proxy.cut(down_bytes=100, times=1)  # the answer: the job is there, and its sender does not know
    again = ml.submit_batch(file)
    assert proxy.cuts == 2

    jobs = web.client.get("/api/v1/jobs", headers={"X-Tenant-ID": tenant}).json()["items"]
    assert {each["job_id"] for each in jobs} == {job["job_id"], again["job_id"]}
    for each in (job, again):
        *_, last = ml.stream_job(each["job_id"])
        assert (last.job["status"], last.job["done"]) == ("SUCCEEDED", 20_000)


def test_progress_is_told_on_after_a_cut(connect: Connect, proxy: Proxy) -> None:
    ml = connect(proxy.url)
    job = ml.submit_batch([reading() for _ in range(30_000)], kind="all", store=False)
    proxy.cut(down_bytes=1200, times=1)
    told = list(ml.stream_job(job["job_id"]))
    assert proxy.cuts == 1
    assert told[-1].name == "done"
    assert [event.name for event in told].count("done") == 1
    done = [event.job["done"] for event in told]
    assert done == sorted(done)
